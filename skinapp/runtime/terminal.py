"""The window of the person who started it: what is said there, and whether it is still there."""

from __future__ import annotations

import os
import select
import sys


def say(sentence: str) -> None:
    """Print a line of progress."""
    show(f"skinapp: {sentence}")


def show(text: str) -> None:
    """Print; where nobody can read any more (a closed terminal, a broken pipe) go on in silence."""
    try:
        print(text, flush=True)  # noqa: T201 - the command's own words
    except OSError:
        # Python would try once more at its end, and fail there.
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, sys.stdout.fileno())
        os.close(silent)


class Terminal:
    """The window that this was started in, if it was.

    Its closing is not always told: where make leads the session (``ssh -t host make run``), make
    gets the signal and waits for us, and we get none.
    """

    def __init__(self) -> None:
        """Remember which of the standard streams lead to a window."""
        self._poll = select.poll()
        for descriptor in range(3):
            if os.isatty(descriptor):
                # Nothing but a hang-up, which is always reported.
                self._poll.register(descriptor, 0)

    def is_gone(self) -> bool:
        """Say whether a window that was there has been closed."""
        return any(event & select.POLLHUP for _descriptor, event in self._poll.poll(0))
