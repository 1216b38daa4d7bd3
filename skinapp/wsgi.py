"""WSGI entry point for gunicorn."""

import gc
import os

import django
from django.urls import get_resolver

from skinapp.databases import bound_statements
from skinapp.incoming import Application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.production")

# As Django's own function does, but for the kind of its requests.
django.setup(set_prefix=False)
application = Application()
bound_statements()
# Every view is imported now, so that the first person to call does not wait for it.
get_resolver().url_patterns  # noqa: B018 - the reading is what does it
# What is loaded now stays until the end. Without this, each process looks through all of it once
# more when it stops (half a second of a core, many on a busy machine), and a forked one copies the
# memory that it looks at.
gc.freeze()
