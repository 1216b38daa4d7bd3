#!/usr/bin/env python
"""Django's command line for Skinapp."""

import os
import sys


def main() -> None:
    """Run the management command named in ``sys.argv``."""
    # The strict ones: with those of `make run` a forgotten variable would let demo accounts into a
    # hospital's database.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.production")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - after the setting

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
