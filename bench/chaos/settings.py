"""Settings of a throw-away installation whose disk can be filled where none can be mounted."""

from skinapp.settings.env import env
from skinapp.settings.local import *  # noqa: F403 - a settings module extends another by design
from skinapp.settings.local import STORAGES

STORAGES = STORAGES | {
    # Pages are asked for, not looked at: no need to collect and compress first.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# While this file exists, the disk is full; unset where a small file system was mounted.
if env.str("CHAOS_FULL", default=""):
    STORAGES["default"] = {"BACKEND": "bench.chaos.full_disk.FullDiskStorage"}
