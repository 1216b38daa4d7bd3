"""From pictures to results: the one path that the command line and the workers use."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.bundle import load_release
from mlcore.decision import decide
from mlcore.detectors import Features
from mlcore.drift import CONFIDENCE, GATE_PREFIX, SUSPICION
from mlcore.engines import EngineError, load_engine
from mlcore.evaluate import softmax
from mlcore.imaging import to_array
from mlcore.labels import TRIAGE_ORDER
from mlcore.outside import GATE, first_to_hold, load_gate
from mlcore.quality import QualityLimits, fault_of, measure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from mlcore.bundle import Release
    from mlcore.engines import Engine
    from mlcore.engines.base import Outputs
    from mlcore.labels import LabelSet
    from mlcore.quality import Quality

# A group counts as plausible from this probability on where no threshold of its own is set.
_PLAUSIBLE = 0.2


@dataclass(frozen=True)
class Result:
    """What a network says of one picture.

    Attributes:
        probabilities: calibrated, one for every label key, summing to 1.
        top: key of the most probable label.
        confidence: its probability.
        decision: ``answer``, ``cannot_say`` or ``rejected``.
        reason_code: why it is not an answer, or "".
        reason: the same as a plain sentence, or "".
        triage_group: the worst group that is plausible.
        measures: what the picture is like and what the network says of it, as numbers that can be
            compared with the release's reference; see :mod:`mlcore.drift`.
        evidence: float32 (h, w, labels), see :class:`mlcore.engines.base.Outputs`.
        embedding: float32 (1280,).
    """

    probabilities: dict[str, float]
    top: str
    confidence: float
    decision: str
    reason_code: str
    reason: str
    triage_group: str
    measures: dict[str, float] = field(repr=False)
    evidence: NDArray[Any] = field(repr=False)
    embedding: NDArray[Any] = field(repr=False)

    def map_for(self, label: str) -> NDArray[np.float32]:
        """Return the class activation map of a label: float32 (h, w), 0 to 1.

        Raises:
            KeyError: the label is not in the set.
        """
        if label not in self.probabilities:
            raise KeyError(label)
        evidence = np.maximum(self.evidence.astype(np.float32), 0)
        values: NDArray[np.float32] = evidence[..., list(self.probabilities).index(label)]
        # All labels share one scale, so a label with little evidence has a faint map.
        top = np.float32(evidence.max())
        return np.asarray(values / top if top > 0 else values, dtype=np.float32)


class Predictor:
    """A loaded release. The engine is loaded at the first use, once, whatever the threads."""

    def __init__(
        self, release: Release, *, engine: str | None = None, threads: int | None = None
    ) -> None:
        """Keep the release; load nothing yet."""
        self.release = release
        self._engine_name = engine
        self._threads = threads
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        facts = release.manifest
        self._temperature = float(facts["temperature"])
        self._answer_threshold = float(facts["answer_threshold"])
        self._triage_threshold = float(facts["triage_threshold"])
        self._limits = QualityLimits(**facts["quality"])
        # Releases before 1.1.0 have none.
        self._gate = (
            load_gate(release.file(GATE), facts["gate"]["checks"]) if "gate" in facts else None
        )

    @classmethod
    def load(
        cls, folder: Path, *, engine: str | None = None, threads: int | None = None
    ) -> Predictor:
        """Verify a release folder and make a predictor of it.

        Raises:
            ReleaseError: the folder does not match its manifest.
        """
        return cls(load_release(folder), engine=engine, threads=threads)

    @property
    def key(self) -> str:
        """Return the label set's key."""
        return self.release.key

    @property
    def version(self) -> str:
        """Return the release's version."""
        return self.release.version

    @property
    def artefact_sha256(self) -> str:
        """Return the SHA-256 that names the release."""
        return self.release.artefact_sha256

    @property
    def labels(self) -> LabelSet:
        """Return the label set."""
        return self.release.labels

    @property
    def engine(self) -> Engine:
        """Return the engine, loading it if nobody has yet."""
        with self._lock:
            if self._engine is None:
                self._engine = load_engine(self.release, self._engine_name, threads=self._threads)
            return self._engine

    def predict(
        self, pictures: Sequence[Picture], qualities: Sequence[Quality | None] | None = None
    ) -> list[Result]:
        """Judge pictures that came out of :func:`mlcore.imaging.network_source`.

        Args:
            pictures: mode RGB, any size.
            qualities: what :func:`mlcore.quality.measure` says of them, where it was asked before.

        Raises:
            EngineError: the network gives what is no number, or lacks what its gate reads.
        """
        if not pictures:
            return []
        side = self.release.input_side
        outputs = self.engine.run(np.stack([to_array(picture, side) for picture in pictures]))
        if not np.isfinite(outputs.logits).all():
            msg = f"{self.release.folder} gave what is no number; restore its files."
            raise EngineError(msg)
        chances = softmax(outputs.logits, self._temperature)
        margins = self._margins(outputs)
        known = qualities or [None] * len(pictures)
        return [
            self._judge(quality or measure(picture), i, chances[i], margins, outputs)
            for i, (picture, quality) in enumerate(zip(pictures, known, strict=True))
        ]

    def _margins(self, outputs: Outputs) -> dict[str, NDArray[np.float64]]:
        if self._gate is None:
            return {}
        if outputs.pooled is None:
            msg = f"{self.release.folder} has a gate, but a network without its features."
            raise EngineError(msg)
        return self._gate.margins(Features(outputs.logits, outputs.pooled, outputs.embedding))

    def _judge(
        self,
        quality: Quality,
        row: int,
        chances: NDArray[Any],
        margins: dict[str, NDArray[np.float64]],
        outputs: Outputs,
    ) -> Result:
        keys = self.labels.keys
        top = int(chances.argmax())
        confidence = float(chances[top])
        decision = decide(
            fault_of(quality, self._limits),
            first_to_hold(margins, row),
            confidence,
            needed=self._answer_threshold,
            modality=self.labels.modality,
        )
        suspicion = self._suspicion(chances)
        return Result(
            probabilities={key: float(p) for key, p in zip(keys, chances, strict=True)},
            top=keys[top],
            confidence=confidence,
            decision=decision.kind,
            reason_code=decision.code,
            reason=decision.reason,
            triage_group=self._triage_group(chances, top, suspicion),
            measures=asdict(quality)
            | {CONFIDENCE: confidence, SUSPICION: suspicion}
            | {GATE_PREFIX + name: float(values[row]) for name, values in margins.items()},
            evidence=outputs.evidence[row],
            embedding=outputs.embedding[row],
        )

    def _suspicion(self, chances: NDArray[Any]) -> float:
        """Return the summed probability of everything malignant or pre-malignant."""
        pairs = zip(chances, self.labels.labels, strict=True)
        return float(sum(p for p, label in pairs if label.malignant))

    def _triage_group(self, chances: NDArray[Any], top: int, suspicion: float) -> str:
        """Return the worst plausible group.

        Suspicion of anything malignant or pre-malignant counts from the release's own triage
        threshold on: then the likeliest of them names a group, and so does each group of them that
        reaches the threshold by itself. Any other group counts where one of its labels has one in
        five. The first label's group always counts.
        """
        labels = self.labels.labels
        plausible = {labels[top].triage_group}
        plausible |= {
            label.triage_group
            for p, label in zip(chances, labels, strict=True)
            if p >= _PLAUSIBLE and (not label.malignant or suspicion >= self._triage_threshold)
        }
        if suspicion >= self._triage_threshold:
            dangers = [i for i, label in enumerate(labels) if label.malignant]
            plausible.add(labels[max(dangers, key=lambda i: chances[i])].triage_group)
            for group in {labels[i].triage_group for i in dangers}:
                share = sum(chances[i] for i in dangers if labels[i].triage_group == group)
                if share >= self._triage_threshold:
                    plausible.add(group)
        return min(plausible, key=TRIAGE_ORDER.index)
