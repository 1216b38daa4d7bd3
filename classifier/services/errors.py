"""What a service raises when a rule forbids the request; views turn them into plain answers."""


class RuleError(Exception):
    """A rule forbids this. ``str(error)`` is a translated sentence for the person."""


class ConflictError(RuleError):
    """Somebody else was faster; nothing was changed."""
