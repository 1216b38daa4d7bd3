"""Reading a file of tensors that is a pickle, without ever letting it run anything."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlcore.networks.checkpoint import CheckpointError, read_checkpoint
from tests.mlcore.pth import Call, Name, Storage, tensor, write

if TYPE_CHECKING:
    from pathlib import Path


def test_tensors_come_out_as_they_went_in(tmp_path: Path) -> None:
    weights = np.arange(24, dtype="<f4") / 7
    steps = np.array([41, 42], dtype="<i8")
    floats, longs = Storage("1", "FloatStorage", 24), Storage("2", "LongStorage", 2)
    path, md5 = write(
        tmp_path / "w.pth",
        {
            "whole": tensor(floats, 0, (2, 3, 4), (12, 4, 1)),
            "turned": tensor(floats, 4, (4, 2), (1, 4)),
            "step": tensor(longs, 1, (), ()),
        },
        {"1": weights, "2": steps},
    )
    tensors = read_checkpoint(path, md5=md5)
    assert list(tensors) == ["whole", "turned", "step"]
    np.testing.assert_array_equal(tensors["whole"], weights.reshape(2, 3, 4))
    np.testing.assert_array_equal(tensors["turned"], weights[4:12].reshape(2, 4).T)
    assert tensors["step"].dtype == np.int64
    assert tensors["step"] == 42


def test_another_file_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(CheckpointError, match="not the published file"):
        read_checkpoint(path, md5="0" * 32)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("subprocess", "Popen"),
        ("importlib", "import_module"),
        ("functools", "partial"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "defaultdict"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("numpy", "load"),
        ("mlcore.networks.checkpoint", "pickle"),
    ],
)
def test_a_file_that_asks_for_anything_else_is_refused_and_runs_nothing(
    tmp_path: Path, module: str, name: str
) -> None:
    witness = tmp_path / "was_here"
    call = Call(Name(module, name), f"touch {witness}")
    path, md5 = write(tmp_path / "w.pth", {"bad": call}, {})
    with pytest.raises(CheckpointError, match="not on the allow-list"):
        read_checkpoint(path, md5=md5)
    assert not witness.exists()


@pytest.mark.parametrize("place", ["magic", "protocol"])
def test_a_hostile_head_is_refused_too(tmp_path: Path, place: str) -> None:
    witness = tmp_path / "was_here"
    call = Call(Name("os", "system"), f"touch {witness}")
    path, md5 = write(tmp_path / "w.pth", {}, {}, **{place: call})
    with pytest.raises(CheckpointError, match="allow-list"):
        read_checkpoint(path, md5=md5)
    assert not witness.exists()


def test_another_container_is_refused(tmp_path: Path) -> None:
    path, md5 = write(tmp_path / "w.pth", {}, {}, magic=7)
    with pytest.raises(CheckpointError, match="not a legacy tensor file"):
        read_checkpoint(path, md5=md5)


def test_a_view_of_a_storage_is_refused(tmp_path: Path) -> None:
    odd = Storage("1", "FloatStorage", 4, view=("1", 0, 4))
    path, md5 = write(
        tmp_path / "w.pth", {"a": tensor(odd, 0, (4,), (1,))}, {"1": np.zeros(4, "<f4")}
    )
    with pytest.raises(CheckpointError, match="other than a plain tensor"):
        read_checkpoint(path, md5=md5)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5,), (1,)), (2, (3,), (1,)), (0, (2, 2), (4, 1)), (0, (2,), (-1,)), (-2, (2,), (1,))],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    storage = Storage("1", "FloatStorage", 4)
    path, md5 = write(
        tmp_path / "w.pth",
        {"a": tensor(storage, offset, shape, strides)},
        {"1": np.zeros(4, "<f4")},
    )
    with pytest.raises(CheckpointError, match="beyond its storage"):
        read_checkpoint(path, md5=md5)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    storage = Storage("1", "FloatStorage", 4)
    path, _ = write(
        tmp_path / "w.pth",
        {"a": tensor(storage, 0, (4,), (1,))},
        {"1": np.zeros(4, "<f4")},
    )
    whole = path.read_bytes()
    for length in (len(whole) - 4, len(whole) - 20, len(whole) // 2, 5, 0):
        path.write_bytes(whole[:length])
        md5 = hashlib.md5(whole[:length], usedforsecurity=False).hexdigest()
        with pytest.raises(CheckpointError):
            read_checkpoint(path, md5=md5)
