"""Recipes: everything that decides how a network is trained, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

# What recipes said once, with what it is for everything that can still be made: the runs whose mean
# a network was.
_RETIRED: dict[str, Any] = {"members": []}


class UnknownRecipeError(ValueError):
    """No recipe has this name."""


@dataclass(frozen=True)
class Stage:
    """A run of epochs at one input size.

    Attributes:
        epochs: how many.
        side: pixels of the square input.
        frozen: name of the last layer that stays as published, so that only what follows it is
            trained (see :mod:`mlcore.train.frozen`); empty to train everything. Frozen stages come
            first.
        variants: how many random variants of a picture a frozen stage keeps at most.
        learning_rate: peak; None takes the recipe's. Neighbouring stages that train the same part
            at the same rate share one schedule.
    """

    epochs: int
    side: int
    frozen: str = ""
    variants: int = 0
    learning_rate: float | None = None


@dataclass(frozen=True)
class Augmentation:
    """How much a training picture is changed; zero everywhere changes nothing.

    Attributes:
        rotation: largest turn, in degrees either way.
        zoom: largest share by which the picture grows or shrinks.
        shift: largest move, as a share of the side.
        shear: largest shear, in degrees.
        flip_horizontal: mirror half of the pictures.
        flip_vertical: turn half of the pictures upside down.
        brightness: largest change, as a share.
        contrast: largest change, as a share.
        saturation: largest change, as a share.
        tint: largest change of one colour channel against the others, as a share.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    flip_horizontal: bool = False
    flip_vertical: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    tint: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One way to train one network.

    Attributes:
        name: how the command line asks for it.
        label_set: ``isic9`` or ``clinical5``.
        network: ``lite0``, ``lite1``, ``lite2`` or ``small_cnn``.
        stages: input sizes in order; the last one is the released network's.
        batch: pictures in a step.
        learning_rate: peak, of AdamW with warm-up and cosine decay.
        weight_decay: of AdamW.
        warm_up: share of the steps.
        label_smoothing: 0 to 1.
        dropout: before the last layer.
        epoch_size: pictures drawn in an epoch.
        class_power: a class of n pictures is drawn in proportion to n to this power; 0 draws
            every class alike, 1 as often as it occurs.
        ham_share: with HAM10000, the share of a class's draws that come from it where both
            sources have the class. It breaks the tie between source and class.
        stratum_power: instead of ``ham_share``, draw the pictures of a class that come from one
            collection of the ISIC Archive in proportion to their number to this power
            (see :mod:`mlcore.train.draws`).
        averaging: momentum of an exponential moving average of the weights, a step; it is the
            average that is measured and released. 0 for none.
    """

    name: str
    label_set: str
    network: str
    stages: tuple[Stage, ...]
    augmentation: Augmentation
    batch: int = 32
    learning_rate: float = 4e-4
    weight_decay: float = 0.02
    warm_up: float = 0.08
    label_smoothing: float = 0.1
    dropout: float = 0.2
    epoch_size: int = 4096
    class_power: float = 0.4
    ham_share: float = 0.5
    with_ham: bool = False
    patience: int = 6
    freeze_normalisation: bool = True
    mixup: float = 0.0
    stratum_power: float | None = None
    outside_share: float = 0.0
    even_labels: bool = True
    averaging: float = 0.0

    @property
    def side(self) -> int:
        """Return the released network's input side in pixels."""
        return self.stages[-1].side

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready facts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Recipe:
        """Return the recipe that :meth:`as_dict` wrote down, in this version or an older one.

        What a recipe could not say then, it does as it was done then: that is what the defaults do.
        What it cannot say any more, it may say only in the way everything is done today.

        Raises:
            UnknownRecipeError: the facts are of a newer version, or no recipe.
        """
        try:
            stages = tuple(Stage(**stage) for stage in facts["stages"])
            how = Augmentation(**facts["augmentation"])
            kept = {k: v for k, v in facts.items() if k not in _RETIRED or v != _RETIRED[k]}
            return cls(**kept | {"stages": stages, "augmentation": how})
        except (KeyError, TypeError) as error:
            msg = f"These facts are of no recipe that this version knows: {error}."
            raise UnknownRecipeError(msg) from error


_DERMOSCOPIC = Augmentation(
    rotation=180,
    zoom=0.25,
    shift=0.08,
    shear=8,
    flip_horizontal=True,
    flip_vertical=True,
    brightness=0.25,
    contrast=0.25,
    saturation=0.35,
    tint=0.10,
)
_CLINICAL = Augmentation(
    rotation=25,
    zoom=0.3,
    shift=0.10,
    shear=8,
    flip_horizontal=True,
    brightness=0.25,
    contrast=0.25,
    saturation=0.25,
    tint=0.06,
)
# What the public student projects do: rescale, shear, zoom and flip at 64 by 64, softmax, no more.
_PROTOTYPE = Augmentation(shear=11.5, zoom=0.2, flip_horizontal=True)


def _prototype(label_set: str) -> Recipe:
    return Recipe(
        name=f"small_cnn_{label_set}",
        label_set=label_set,
        network="small_cnn",
        stages=(Stage(25, 64),),
        augmentation=_PROTOTYPE,
        learning_rate=1e-3,
        weight_decay=0.0,
        warm_up=0.0,
        label_smoothing=0.0,
        dropout=0.0,
        epoch_size=0,
        class_power=1.0,
        patience=25,
        freeze_normalisation=False,
    )


def _linear(recipe: Recipe) -> Recipe:
    """Return the recipe with everything but the last layer left as published."""
    return replace(
        recipe,
        stages=(Stage(16, recipe.side, "embedding", 20, learning_rate=3e-3),),
        mixup=0.0,
    )


_MIXED = Recipe(
    name="isic9_lite0_mixed",
    label_set="isic9",
    network="lite0",
    stages=(Stage(8, 128), Stage(6, 176)),
    augmentation=_DERMOSCOPIC,
    with_ham=True,
    class_power=0.15,
    ham_share=0.4,
    mixup=0.3,
    label_smoothing=0.05,
    dropout=0.3,
)
_STRATA = Recipe(
    name="isic9_lite0_strata",
    label_set="isic9",
    network="lite0",
    stages=(Stage(8, 128), Stage(6, 176)),
    augmentation=replace(_DERMOSCOPIC, zoom=0.35, tint=0.15),
    with_ham=True,
    class_power=0.15,
    stratum_power=0.3,
    mixup=0.3,
    label_smoothing=0.05,
    dropout=0.3,
)
_CLINICAL_FROZEN = Recipe(
    name="clinical5_lite0_frozen",
    label_set="clinical5",
    network="lite0",
    stages=(Stage(16, 224, frozen="block4_add", variants=24),),
    augmentation=_CLINICAL,
    epoch_size=512,
    class_power=0.5,
    learning_rate=3e-4,
    dropout=0.3,
    mixup=0.2,
    patience=16,
    even_labels=False,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="isic9_lite0",
            label_set="isic9",
            network="lite0",
            stages=(Stage(10, 128), Stage(6, 176)),
            augmentation=_DERMOSCOPIC,
            with_ham=True,
        ),
        Recipe(
            name="clinical5_lite0",
            label_set="clinical5",
            network="lite0",
            stages=(Stage(16, 160), Stage(10, 224)),
            augmentation=_CLINICAL,
            epoch_size=512,
            class_power=0.5,
            learning_rate=3e-4,
            dropout=0.3,
            patience=10,
        ),
        # Source and class leave the network less to hold on to: classes are drawn almost alike, the
        # nine-class archive's own pictures more often, and every picture is half of a mixture.
        _MIXED,
        # The same for more than twice as long: drawn almost alike, six in ten of the largest class
        # are never seen in the time that the mixed one takes.
        replace(_MIXED, name="isic9_lite0_longer", stages=(Stage(18, 128), Stage(14, 176))),
        # Longer, with normalisation that learns the look of dermoscopy, and averaged on the way.
        Recipe(
            name="isic9_lite0_averaged",
            label_set="isic9",
            network="lite0",
            stages=(Stage(10, 128), Stage(8, 176)),
            augmentation=_DERMOSCOPIC,
            with_ham=True,
            class_power=0.2,
            ham_share=0.4,
            mixup=0.2,
            label_smoothing=0.05,
            dropout=0.3,
            freeze_normalisation=False,
            averaging=0.998,
        ),
        # As the mixed one, and the large collections of the Archive give a class away less: within
        # a class the small ones are drawn more often than they occur.
        _STRATA,
        # What each choice is worth, one at a time.
        replace(_STRATA, name="isic9_lite0_without_ham", with_ham=False),
        replace(_STRATA, name="isic9_lite0_by_class", stratum_power=None, ham_share=0.4),
        replace(_linear(_STRATA), name="isic9_linear"),
        # The same with everything before block 3 as published, which takes half of the time.
        replace(
            _STRATA,
            name="isic9_lite0_frozen",
            stages=(Stage(16, 160, frozen="block2_add", variants=20),),
        ),
        replace(_STRATA, name="isic9_lite2", network="lite2"),
        _prototype("isic9"),
        # The same pictures in the same proportions as the released network sees them.
        replace(
            _prototype("isic9"),
            name="small_cnn_isic9_ham",
            with_ham=True,
            epoch_size=4096,
            class_power=0.4,
        ),
        _CLINICAL_FROZEN,
        replace(_CLINICAL_FROZEN, name="clinical5_lite0_exposed", outside_share=0.2),
        replace(_linear(_CLINICAL_FROZEN), name="clinical5_linear"),
        replace(
            _CLINICAL_FROZEN,
            name="clinical5_lite2",
            network="lite2",
            stages=(Stage(16, 224, frozen="block6_add", variants=24),),
        ),
        # The same with a larger network at its own input size, and taught what it does not know.
        replace(
            _CLINICAL_FROZEN,
            name="clinical5_lite2_exposed",
            network="lite2",
            stages=(Stage(16, 260, frozen="block6_add", variants=24),),
            outside_share=0.2,
        ),
        _prototype("clinical5"),
    )
}


def recipe_named(name: str) -> Recipe:
    """Return a recipe.

    Raises:
        UnknownRecipeError: there is none of this name.
    """
    try:
        return RECIPES[name]
    except KeyError:
        msg = f"There is no recipe {name!r}; there are {', '.join(sorted(RECIPES))}."
        raise UnknownRecipeError(msg) from None
