"""What every engine does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EngineError(RuntimeError):
    """An engine cannot be loaded or run."""


@dataclass(frozen=True)
class Outputs:
    """What one forward pass gives.

    Attributes:
        logits: float32 (n, labels), before temperature.
        evidence: float32 (n, h, w, labels); its mean over h and w is the logit without bias.
        embedding: float32 (n, 1280).
        pooled: float32 (n, c), see :class:`mlcore.detectors.Features`; None in releases without a
            gate.
    """

    logits: NDArray[Any]
    evidence: NDArray[Any]
    embedding: NDArray[Any]
    pooled: NDArray[Any] | None = None


class Engine(Protocol):
    """Runs a released network."""

    name: str

    def run(self, squares: NDArray[Any]) -> Outputs:
        """Run pictures through the network.

        Args:
            squares: uint8 (n, side, side, 3), RGB.

        Raises:
            ValueError: another shape or type.
        """
        ...


def check_squares(squares: NDArray[Any], side: int) -> None:
    """Refuse an input that the network was not made for.

    Raises:
        ValueError: not uint8, or not (n, side, side, 3).
    """
    if squares.dtype != "uint8" or squares.ndim != 4 or squares.shape[1:] != (side, side, 3):  # noqa: PLR2004 - a batch of colour pictures
        msg = (
            f"The network reads uint8 pictures of shape (n, {side}, {side}, 3); "
            f"this is {squares.dtype} of shape {squares.shape}."
        )
        raise ValueError(msg)
