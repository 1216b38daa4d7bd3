"""Reading a file of tensors that is a pickle, without ever letting it run anything."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.networks.checkpoint import CheckpointError, read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class _Storage:
    """Stands for a storage; written as a persistent id, as torch writes it."""

    def __init__(self, key: str, kind: str, count: int, view: Any = None) -> None:
        self.pid = ("storage", _Global("torch", kind), key, "cpu", count, view)


class _Global:
    """Stands for a name that the file asks for."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Call:
    """Stands for a call that the file asks for."""

    def __init__(self, target: _Global, *arguments: Any) -> None:
        self.target, self.arguments = target, arguments


_PICKLER: Any = pickle._Pickler  # the one in Python can be bent


class _Writer(_PICKLER):  # type: ignore[misc] # its type is not published
    """Writes names and calls without importing them: torch is not here."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, _Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:  # noqa: FBT002 - the base's
        if isinstance(obj, _Global):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
            return None
        if isinstance(obj, _Call):
            self.save(obj.target)
            self.save(obj.arguments)
            self.write(b"R")
            return None
        return super().save(obj, save_persistent_id)


def _pickled(thing: Any) -> bytes:
    stream = io.BytesIO()
    _Writer(stream, protocol=2).dump(thing)
    return stream.getvalue()


def _tensor(storage: _Storage, offset: int, shape: Any, strides: Any) -> _Call:
    rebuild = _Global("torch._utils", "_rebuild_tensor_v2")
    return _Call(rebuild, storage, offset, shape, strides, False, OrderedDict())


def _file(
    path: Path, tensors: dict[str, Any], storages: dict[str, np.ndarray[Any, Any]], **changed: Any
) -> tuple[Path, str]:
    head = [changed.get("magic", MAGIC), changed.get("protocol", PROTOCOL), {"little_endian": True}]
    data = b"".join(_pickled(thing) for thing in [*head, OrderedDict(tensors), list(storages)])
    for values in storages.values():
        data += struct.pack("<q", values.size) + values.tobytes()
    path.write_bytes(data)
    return path, hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_tensors_come_out_as_they_went_in(tmp_path: Path) -> None:
    weights = np.arange(24, dtype="<f4") / 7
    steps = np.array([41, 42], dtype="<i8")
    floats, longs = _Storage("1", "FloatStorage", 24), _Storage("2", "LongStorage", 2)
    path, md5 = _file(
        tmp_path / "w.pth",
        {
            "whole": _tensor(floats, 0, (2, 3, 4), (12, 4, 1)),
            "turned": _tensor(floats, 4, (4, 2), (1, 4)),
            "step": _tensor(longs, 1, (), ()),
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
    call = _Call(_Global(module, name), f"touch {witness}")
    path, md5 = _file(tmp_path / "w.pth", {"bad": call}, {})
    with pytest.raises(CheckpointError, match="not on the allow-list"):
        read_checkpoint(path, md5=md5)
    assert not witness.exists()


@pytest.mark.parametrize("place", ["magic", "protocol"])
def test_a_hostile_head_is_refused_too(tmp_path: Path, place: str) -> None:
    witness = tmp_path / "was_here"
    call = _Call(_Global("os", "system"), f"touch {witness}")
    path, md5 = _file(tmp_path / "w.pth", {}, {}, **{place: call})
    with pytest.raises(CheckpointError, match="allow-list"):
        read_checkpoint(path, md5=md5)
    assert not witness.exists()


def test_another_container_is_refused(tmp_path: Path) -> None:
    path, md5 = _file(tmp_path / "w.pth", {}, {}, magic=7)
    with pytest.raises(CheckpointError, match="not a legacy tensor file"):
        read_checkpoint(path, md5=md5)


def test_a_view_of_a_storage_is_refused(tmp_path: Path) -> None:
    odd = _Storage("1", "FloatStorage", 4, view=("1", 0, 4))
    path, md5 = _file(
        tmp_path / "w.pth", {"a": _tensor(odd, 0, (4,), (1,))}, {"1": np.zeros(4, "<f4")}
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
    storage = _Storage("1", "FloatStorage", 4)
    path, md5 = _file(
        tmp_path / "w.pth",
        {"a": _tensor(storage, offset, shape, strides)},
        {"1": np.zeros(4, "<f4")},
    )
    with pytest.raises(CheckpointError, match="beyond its storage"):
        read_checkpoint(path, md5=md5)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    storage = _Storage("1", "FloatStorage", 4)
    path, _ = _file(
        tmp_path / "w.pth",
        {"a": _tensor(storage, 0, (4,), (1,))},
        {"1": np.zeros(4, "<f4")},
    )
    whole = path.read_bytes()
    for length in (len(whole) - 4, len(whole) - 20, len(whole) // 2, 5, 0):
        path.write_bytes(whole[:length])
        md5 = hashlib.md5(whole[:length], usedforsecurity=False).hexdigest()
        with pytest.raises(CheckpointError):
            read_checkpoint(path, md5=md5)
