"""The gate: what a browser sent becomes stored copies, or is refused with a sentence."""

from classifier.intake.accepting import Accepted, Refused, accept
from classifier.intake.limits import current_limits, describe_limits

__all__ = ["Accepted", "Refused", "accept", "current_limits", "describe_limits"]
