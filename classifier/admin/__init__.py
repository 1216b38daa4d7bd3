"""The admin panel: stock Django admin, branded.

``AdminConfig.autodiscover`` imports this package, which registers every model admin.
"""

from classifier.admin import (
    analyses,
    audit,
    kept,
    people,
    programs,
    records,
    registry,
    second_factor,
)

__all__ = [
    "analyses",
    "audit",
    "kept",
    "people",
    "programs",
    "records",
    "registry",
    "second_factor",
]
