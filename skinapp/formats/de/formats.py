"""Dates and numbers of the German pages: those of the English ones.

A probability stands in sentences, tables, drawings and files that travel on. With a comma here and
a point there, somebody would one day read 0.95 as 95.
"""

from skinapp.formats.en.formats import *  # noqa: F403 - the same, by intent

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = "\N{NARROW NO-BREAK SPACE}"
