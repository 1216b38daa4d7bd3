"""Shares: their interval, and the rule of too few."""

from __future__ import annotations

import pytest

from classifier.selectors.rates import TOO_FEW, Share


def test_a_share_has_wilsons_interval() -> None:
    """The textbook's example: 81 of 263 gives 25.5 to 36.6 %."""
    share = Share(81, 263)
    assert share.interval == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share.value == pytest.approx(81 / 263)
    assert share.percent == "31 %"
    assert share.percent_interval == "26 to 37 %"
    assert share.counts == "81 of 263"


@pytest.mark.parametrize("whole", [0, 1, TOO_FEW - 1])
def test_of_few_cases_no_share_is_told(whole: int) -> None:
    """Neither a percentage nor an interval, only the counts."""
    share = Share(whole, whole)
    assert not share.enough
    assert share.value is None
    assert share.interval is None
    assert share.percent == "too few to say"
    assert share.percent_interval == ""
    assert share.counts == f"{whole} of {whole}"


def test_thirty_cases_are_enough() -> None:
    """All of thirty is still no certainty."""
    share = Share(TOO_FEW, TOO_FEW)
    assert share.enough
    assert share.percent == "100 %"
    assert share.percent_interval == "89 to 100 %"


def test_rounding_makes_no_certainty() -> None:
    """One of a thousand is not 0 %, and 999 are not 100 %."""
    assert Share(1, 1000).percent == "1 %"
    assert Share(999, 1000).percent == "99 %"
    assert Share(0, 1000).percent == "0 %"


@pytest.mark.parametrize(("part", "whole"), [(-1, 5), (6, 5), (0, -1)])
def test_what_is_no_share_is_refused(part: int, whole: int) -> None:
    """A count above its whole is a mistake of the caller, not a percentage above 100."""
    with pytest.raises(ValueError, match="no share"):
        Share(part, whole)
