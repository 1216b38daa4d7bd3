"""Nothing crosses from one part of a split into another: not a file, a lesion or a look-alike."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlcore.data import splits
from mlcore.data.curation import same_lesions
from mlcore.data.hashing import difference_hash, near_pairs
from mlcore.data.sets import Record, archive_id, ham_facts, read_picture
from mlcore.data.splits import PARTS, digest_of, load_records, load_split, split_groups
from mlcore.labels import label_set
from tests.mlcore.sets import REAL, make_folder_set, make_ham, make_published_groups, put

if TYPE_CHECKING:
    from pathlib import Path

Split = dict[str, list[Record]]


def _assert_whole(parts: Split) -> None:
    assert tuple(parts) == PARTS
    for one, other in combinations(PARTS, 2):
        assert not {r.group for r in parts[one]} & {r.group for r in parts[other]}
        assert not {r.name for r in parts[one]} & {r.name for r in parts[other]}


def _part_of(parts: Split, name: str) -> str | None:
    found = [part for part, records in parts.items() if name in {r.name for r in records}]
    assert len(found) <= 1
    return found[0] if found else None


def _everywhere(parts: Split, names: list[str]) -> set[str | None]:
    return {_part_of(parts, name) for name in names}


def test_parts_are_disjoint_and_hold_every_label(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "clinical5", train=10, test=2)
    parts = load_split("clinical5", tmp_path, seed=1)
    _assert_whole(parts)
    assert {part: len(records) for part, records in parts.items()} == {
        "train": 40,
        "validation": 5,
        "calibration": 5,
        "test": 10,
    }
    for records in parts.values():
        assert {r.label for r in records} == set(label_set("clinical5").keys)
    assert {r.split for r in parts["test"]} == {"test"}


def test_the_deal_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "clinical5", train=10, test=1)
    once, again = (load_split("clinical5", tmp_path, seed=1) for _ in range(2))
    assert once == again
    other = load_split("clinical5", tmp_path, seed=2)
    assert {r.name for r in other["train"]} != {r.name for r in once["train"]}
    assert {r.name for r in other["test"]} == {r.name for r in once["test"]}
    everything = [r for records in once.values() for r in records]
    turned = split_groups(list(reversed(everything)), seed=1)
    assert {part: {r.name for r in rs} for part, rs in turned.items()} == {
        part: {r.name for r in rs} for part, rs in once.items()
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_look_alikes_stay_together_and_leave_when_one_is_tested(tmp_path: Path, seed: int) -> None:
    make_folder_set(tmp_path, "clinical5", train=8, test=2)
    train, test = (tmp_path / "clinical5" / split for split in ("train", "test"))
    twins = [train / "acne" / f"twin-{n}.jpg" for n in range(4)]
    for number, path in enumerate(twins):
        # The same picture, compressed and squashed in another way each time.
        put(path, 77, quality=60 + 10 * number, size=(96 - 4 * number, 80 + 4 * number))
    put(train / "vitiligo" / "leak.jpg", 78)
    put(test / "vitiligo" / "seen.jpg", 78, quality=55)
    parts = load_split("clinical5", tmp_path, seed=seed)
    _assert_whole(parts)
    names = [path.relative_to(tmp_path).as_posix() for path in twins]
    assert len(_everywhere(parts, names)) == 1
    assert None not in _everywhere(parts, names)
    assert _part_of(parts, "clinical5/train/vitiligo/leak.jpg") is None
    assert _part_of(parts, "clinical5/test/vitiligo/seen.jpg") == "test"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lesion_of_ham10000_stays_together_whatever_its_photographs_look_like(
    tmp_path: Path, seed: int
) -> None:
    make_folder_set(tmp_path, "isic9", train=4, test=1)
    tested = next((tmp_path / "isic9" / "test" / "nevus").iterdir()).stem
    make_ham(
        tmp_path,
        [
            *((f"ISIC_70000{n:02d}", f"HAM_{n // 3}", "mel", 7000 + n) for n in range(30)),
            # Two photographs of a lesion whose third one is in the test split.
            (tested, "HAM_tested", "nv", 8000),
            ("ISIC_8000001", "HAM_tested", "nv", 8001),
        ],
    )
    parts = load_split("isic9", tmp_path, seed=seed, with_ham=True)
    _assert_whole(parts)
    for lesion in range(10):
        names = [
            f"ham10000/images/ISIC_70000{n:02d}.jpg" for n in range(lesion * 3, lesion * 3 + 3)
        ]
        assert len(_everywhere(parts, names)) == 1
    assert _part_of(parts, "ham10000/images/ISIC_8000001.jpg") is None
    # What isic9 has is not read a second time from HAM10000.
    assert _part_of(parts, f"ham10000/images/{tested}.jpg") is None
    assert _part_of(parts, f"isic9/test/nevus/{tested}.jpg") == "test"


def test_published_groups_and_copies_named_alike_stay_together(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "isic9", train=6, test=1)
    nevi = sorted((tmp_path / "isic9" / "train" / "nevus").iterdir())
    moles = sorted((tmp_path / "isic9" / "train" / "melanoma").iterdir())
    copy = nevi[0].with_name(f"{nevi[0].stem}(1).jpg")
    put(copy, 4242)
    pair = [p.relative_to(tmp_path / "isic9").as_posix() for p in (nevi[1], moles[1])]
    make_published_groups(tmp_path, [pair])
    for seed in range(4):
        parts = load_split("isic9", tmp_path, seed=seed)
        _assert_whole(parts)
        copies = [p.relative_to(tmp_path).as_posix() for p in (nevi[0], copy)]
        assert len(_everywhere(parts, copies)) == 1
        assert len(_everywhere(parts, [f"isic9/{name}" for name in pair])) == 1


def test_what_the_eye_found_stays_together_and_leaves_when_one_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder_set(tmp_path, "clinical5", train=8, test=2)
    names = sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("clinical5/*/*/*.jpg")
    )
    trained = [name for name in names if "/train/acne/" in name][:3]
    leak = next(name for name in names if "/train/vitiligo/" in name)
    tested = next(name for name in names if "/test/vitiligo/" in name)
    pairs = ((trained[0], trained[1]), (trained[2], trained[1]), (leak, tested))
    monkeypatch.setattr(splits, "same_lesions", lambda: pairs)
    for seed in range(4):
        parts = load_split("clinical5", tmp_path, seed=seed)
        _assert_whole(parts)
        assert len(_everywhere(parts, trained)) == 1
        assert (_part_of(parts, leak), _part_of(parts, tested)) == (None, "test")


def test_the_digest_names_bytes_labels_and_names(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "clinical5", train=2, test=1)
    records = [r for rs in load_split("clinical5", tmp_path, seed=1).values() for r in rs]
    digest = digest_of(records)
    assert digest_of(records[::-1]) == digest
    moved = shutil.copytree(tmp_path / "clinical5", tmp_path / "elsewhere" / "clinical5")
    there = [r for rs in load_split("clinical5", moved.parent, seed=1).values() for r in rs]
    assert digest_of(there) == digest
    assert digest_of(records[1:]) != digest
    put(records[0].path, 999_999)
    assert digest_of(records) != digest


# From here on: the real sets, where they are.


def _real(key: str, *, with_ham: bool) -> Split:
    if not (REAL / key).is_dir():
        # The sets may not be copied into the repository; the same rules are held on made-up sets
        # above, and on the real ones wherever these lie (always in CI).
        pytest.skip("no data set here")
    return load_split(key, REAL, seed=1, with_ham=with_ham)


@pytest.fixture(scope="module")
def isic9() -> Split:
    return _real("isic9", with_ham=True)


@pytest.fixture(scope="module")
def clinical5() -> Split:
    return _real("clinical5", with_ham=False)


@pytest.mark.data
def test_nothing_crosses_in_the_real_dermoscopic_sets(isic9: Split) -> None:
    _assert_whole(isic9)
    facts = ham_facts(REAL)
    lesions = {
        part: {facts[i].lesion for r in rs if (i := archive_id(r.path)) in facts}
        for part, rs in isic9.items()
    }
    ids = {part: {archive_id(r.path) for r in rs} for part, rs in isic9.items()}
    for one, other in combinations(PARTS, 2):
        assert not lesions[one] & lesions[other]
        assert not ids[one] & ids[other]
    assert len(isic9["test"]) == 118
    for records in isic9.values():
        assert {r.label for r in records} == set(label_set("isic9").keys)


@pytest.mark.data
@pytest.mark.parametrize("key", ["isic9", "clinical5"])
def test_no_look_alike_crosses_in_the_real_sets(key: str, request: pytest.FixtureRequest) -> None:
    parts: Split = request.getfixturevalue(key)
    rng = np.random.default_rng(0)
    # Every held-out picture against a sample of the training part; all of it is hashed by the
    # split itself.
    sampled = [parts["train"][i] for i in rng.permutation(len(parts["train"]))[:300]]
    held = [r for part in PARTS[1:] for r in parts[part]][:300]
    hashes = np.stack([difference_hash(read_picture(r.path)) for r in [*sampled, *held]])
    crossing = [(i, j) for i, j in near_pairs(hashes) if i < len(sampled) <= j]
    assert crossing == []


@pytest.mark.data
def test_pictures_of_one_patient_that_the_eye_found_are_there_and_share_a_group() -> None:
    named = [pair for pair in same_lesions() if "/" in pair[0]]
    assert len(named) > 50
    if not (REAL / "clinical5").is_dir():
        pytest.skip("no data set here")
    groups = {r.name: r.group for r in load_records("clinical5", REAL)}
    for one, other in named:
        assert groups[one] == groups[other]


@pytest.mark.data
def test_no_label_is_lost_in_the_real_clinical_set(clinical5: Split) -> None:
    _assert_whole(clinical5)
    assert len(clinical5["test"]) == 159
    for part in PARTS:
        counts = Counter(r.label for r in clinical5[part])
        assert set(counts) == set(label_set("clinical5").keys)
