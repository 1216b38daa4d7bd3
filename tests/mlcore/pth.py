"""Writes the legacy container of torch.save without torch, hostile ones too."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    """Stands for a storage; written as a persistent id, as torch writes it."""

    def __init__(self, key: str, kind: str, count: int, view: Any = None) -> None:
        self.pid = ("storage", Name("torch", kind), key, "cpu", count, view)


class Name:
    """Stands for a name that the file asks for."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Stands for a call that the file asks for."""

    def __init__(self, target: Name, *arguments: Any) -> None:
        self.target, self.arguments = target, arguments


_PICKLER: Any = pickle._Pickler  # the one in Python can be bent


class _Writer(_PICKLER):  # type: ignore[misc] # its type is not published
    """Writes names and calls without importing them: torch is not here."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Storage) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> Any:  # noqa: FBT002 - the base's
        if isinstance(obj, Name):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
            return None
        if isinstance(obj, Call):
            self.save(obj.target)
            self.save(obj.arguments)
            self.write(b"R")
            return None
        return super().save(obj, save_persistent_id)


def _pickled(thing: Any) -> bytes:
    stream = io.BytesIO()
    _Writer(stream, protocol=2).dump(thing)
    return stream.getvalue()


def tensor(storage: Storage, offset: int, shape: Any, strides: Any) -> Call:
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, shape, strides, False, OrderedDict())


def write(
    path: Path, tensors: dict[str, Any], storages: dict[str, np.ndarray[Any, Any]], **changed: Any
) -> tuple[Path, str]:
    head = [changed.get("magic", MAGIC), changed.get("protocol", PROTOCOL), {"little_endian": True}]
    data = b"".join(_pickled(thing) for thing in [*head, OrderedDict(tensors), list(storages)])
    for values in storages.values():
        data += struct.pack("<q", values.size) + values.tobytes()
    path.write_bytes(data)
    return path, hashlib.md5(data, usedforsecurity=False).hexdigest()
