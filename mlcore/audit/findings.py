"""What an audit finds: the kinds, most important first, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass

FIX, DECIDE, LOOK = "fix first", "decide", "look at"


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        key: stable name in JSON.
        title: as a heading.
        urgency: ``fix first``, ``decide`` or ``look at``.
        why: what it does to training or to the figures.
        advice: what to do.
    """

    key: str
    title: str
    urgency: str
    why: str
    advice: str


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: key of its kind.
        files: names of the files concerned, sorted; none for a fault of the folder.
        says: one sentence with what was measured.
        pairs: which two files to put side by side, for a contact sheet.
    """

    kind: str
    files: tuple[str, ...]
    says: str
    pairs: tuple[tuple[str, str], ...] = ()


_KINDS = (
    Kind(
        "unreadable",
        "Files that cannot be read",
        FIX,
        "Training stops at such a file, or leaves it out without a word.",
        "Copy the file again from where it came; drop it if there is no whole copy.",
    ),
    Kind(
        "misspelt",
        "Names that are no UTF-8",
        FIX,
        "Other programs, and tables beside the pictures, spell such a name otherwise.",
        "Give the file or its folder another name, or unpack the archive with its own encoding.",
    ),
    Kind(
        "one_class",
        "Only one class",
        FIX,
        "A network needs at least two classes to tell apart.",
        "Add the other classes as folders beside this one.",
    ),
    Kind(
        "empty_class",
        "Classes without a picture",
        FIX,
        "A class that a split lacks cannot be learned there, or cannot be measured.",
        "Add pictures, or take the class out of every split.",
    ),
    Kind(
        "unknown_class",
        "Classes that the label set does not have",
        FIX,
        "The network has no output for such a class.",
        "Rename the folder to the label it means, or take it out.",
    ),
    Kind(
        "contradiction",
        "The same picture under two labels",
        FIX,
        "The network is taught two answers to one picture. At least one of them is wrong.",
        "Keep the copy under the right label; where no rule says which, ask who labelled them.",
    ),
    Kind(
        "crossing",
        "The same picture in two splits",
        FIX,
        "Figures on a split that shares pictures with training are too good.",
        "Take the copies out of training; keep the ones of the test split.",
    ),
    Kind(
        "group_crossing",
        "The same lesion in two splits",
        FIX,
        "Another photograph of a lesion that was trained on is no test of the network.",
        "Split by lesion, not by picture: take the group out of training.",
    ),
    Kind(
        "label_differs",
        "Folder and table disagree",
        FIX,
        "The folder says one diagnosis and the metadata another.",
        "Find out which is right; the manifest proposes the table's.",
    ),
    Kind(
        "group_labels",
        "One lesion under two labels",
        DECIDE,
        "Photographs of one lesion carry different diagnoses.",
        "Ask for the final diagnosis of the lesion and give it to all its pictures.",
    ),
    Kind(
        "repeat",
        "Pictures that repeat another one",
        DECIDE,
        "A picture that is there twice counts twice, and may end up in two folds.",
        "Keep one of each; the manifest drops the others.",
    ),
    Kind(
        "elsewhere",
        "Pictures that another set holds too",
        DECIDE,
        "Once the sets are used together, a copy is trained on here and tested on there.",
        "Leave one of the copies out, or keep both on the same side of every split.",
    ),
    Kind(
        "tiny_class",
        "Classes with very few pictures",
        DECIDE,
        "So few pictures are not learned, and a figure measured on them says little.",
        "Collect more, or merge the class; always give its figures with an interval.",
    ),
    Kind(
        "imbalance",
        "One class far larger than another",
        DECIDE,
        "Accuracy rewards a network that always names the large class.",
        "Weigh or resample the classes, and judge by balanced accuracy.",
    ),
    Kind(
        "shortcut",
        "Something beside the lesion that gives the class away",
        DECIDE,
        "A network learns the camera or the cropping instead of the skin, and fails elsewhere.",
        "Crop it away, add pictures that break the link, and report figures by source.",
    ),
    Kind(
        "name_clash",
        "Different pictures with the same name",
        DECIDE,
        "Whoever joins tables or folders by name mixes them up or overwrites one.",
        "Give one of them another name.",
    ),
    Kind(
        "suffix",
        "Names that say another format than the content",
        DECIDE,
        "Some programs trust the name and fail, or leave the file out.",
        "Rename the file after its content.",
    ),
    Kind(
        "stray",
        "Pictures beside the class folders",
        DECIDE,
        "They carry no label, so they are not trained on; they were not looked at here.",
        "Move them into a class folder, or away.",
    ),
    Kind(
        "odd_size",
        "Very small or oddly shaped pictures",
        LOOK,
        "Little detail is left, or squashing to a square distorts the lesion.",
        "Look for the original; crop it; drop what nobody could judge.",
    ),
    Kind(
        "blank",
        "Pictures of one flat colour",
        LOOK,
        "There is nothing to learn from.",
        "Drop them.",
    ),
    Kind(
        "drawing",
        "Drawings, diagrams and cut-outs",
        LOOK,
        "A large part is exactly one colour, as in a drawing, a slide or a cut-out.",
        "Drop what is no photograph of skin.",
    ),
    Kind(
        "grey",
        "Pictures without colour",
        LOOK,
        "Colour carries much of the diagnosis.",
        "Look for the original in colour.",
    ),
    Kind(
        "odd_colour",
        "Colours far from the rest",
        LOOK,
        "Another camera, light or white balance, a stain, or no skin at all.",
        "Look at them; drop what is no such picture.",
    ),
    Kind(
        "border",
        "Black or white bars",
        LOOK,
        "The bars, not the skin, fill part of what the network sees.",
        "Crop the bars away.",
    ),
    Kind(
        "dark_corners",
        "Black corners",
        LOOK,
        "The round field of a dermatoscope: a mark of the camera.",
        "Crop to the field, or make sure that every class has such pictures.",
    ),
)
KINDS = {kind.key: kind for kind in _KINDS}
# One picture with such a mark is nothing; only the rare ones are listed file by file.
MARKS = ("grey", "border", "dark_corners")


def in_order(findings: list[Finding]) -> list[Finding]:
    """Return the findings by kind, most important first, then by file."""
    rank = {key: number for number, key in enumerate(KINDS)}
    return sorted(findings, key=lambda f: (rank[f.kind], f.files, f.says))
