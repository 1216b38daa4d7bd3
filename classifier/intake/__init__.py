"""Taking in what people upload: bounds first, then the picture, then its stored copies."""

from classifier.intake.accept import Accepted, accept
from classifier.intake.refusals import REFUSALS, STATUS_OF_REFUSAL, Refused, describe_limits

__all__ = [
    "REFUSALS",
    "STATUS_OF_REFUSAL",
    "Accepted",
    "Refused",
    "accept",
    "describe_limits",
]
