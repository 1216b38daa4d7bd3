"""Shares of counted cases: the interval around them, and when there are too few to say.

Every page that shows a share (sensitivity, agreement, abstentions …) takes it from here, so that
none shows a percentage of nine cases beside one of nine hundred as if they weighed the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from mlcore.figures.measures import wilson

# Below it no share is shown. With 30 cases a 95 % interval is at its widest 34 points; of fewer, a
# reader would remember the percentage and forget the interval.
TOO_FEW = 30


@dataclass(frozen=True)
class Share:
    """So many of so many.

    Attributes:
        part: how many of them, 0 to ``whole``.
        whole: how many there are, at least 0.

    Raises:
        ValueError: the part is negative or larger than the whole.
    """

    part: int
    whole: int

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if not 0 <= self.part <= self.whole:
            msg = f"{self.part} of {self.whole} is no share."
            raise ValueError(msg)

    @property
    def enough(self) -> bool:
        """Whether there are enough cases to show the share."""
        return self.whole >= TOO_FEW

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None where there are too few cases."""
        return self.part / self.whole if self.enough else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The share's 95 % interval, 0 to 1; None where there are too few cases.

        Wilson, Journal of the American Statistical Association 22, 1927 (the score interval):
        unlike the textbook's one around the share itself it stays within 0 and 1, and 30 of 30
        does not pass for certainty.
        """
        return wilson(self.part, self.whole) if self.enough else None

    @property
    def percent(self) -> str:
        """The share for people: "87 %", or "too few to say"."""
        if self.value is None:
            return _("too few to say")
        return f"{_whole_percent(self.value)} %"

    @property
    def percent_interval(self) -> str:
        """The interval for people: "81 to 92 %", or nothing where there are too few."""
        if self.interval is None:
            return ""
        low, high = (round(bound * 100) for bound in self.interval)
        return _("%(low)d to %(high)d %%") % {"low": low, "high": high}

    @property
    def counts(self) -> str:
        """What the share was counted from: "87 of 100"."""
        return _("%(part)d of %(whole)d") % {"part": self.part, "whole": self.whole}


def _whole_percent(share: float) -> int:
    """Return whole percents; 100 and 0 only where nothing is left out."""
    rounded = round(share * 100)
    if rounded == 100 and share < 1:  # noqa: PLR2004 - percent
        return 99
    if rounded == 0 and share > 0:
        return 1
    return rounded
