"""How long a task that nobody waits for may keep its worker."""

from __future__ import annotations

import time

from classifier.selectors.workplace import fresh_waits

# Asking the database costs about a millisecond: not for every file of a thousand.
_ASK_SECONDS = 0.5


class Turn:
    """Some seconds, and none more once an image waits for its answer.

    The one worker of a small installation does everything: whoever has uploaded an image waits
    until it leaves off. Ask after a piece of the work, never before the first: where images wait
    all day long, each message still gets something done.
    """

    def __init__(self, seconds: float, *, at_least: float = 0.0) -> None:
        """Begin a turn.

        Args:
            seconds: after so long it is over in any case.
            at_least: not before, for pieces so small that one would get nobody anywhere.
        """
        now = time.monotonic()
        self._until = now + seconds
        self._ask_at = now + at_least

    def is_over(self) -> bool:
        """Tell whether to leave off."""
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + _ASK_SECONDS
            if fresh_waits():
                self._until = now
        return now >= self._until
