"""The REST API under /api/v1/: the pages' rules and services, for programs."""
