"""Reading a ``.pth`` file of tensors without trusting it and without torch.

Such a file is a pickle, and a pickle may call anything. This reader lets it name four things
only, and answers each with a harmless function of its own: nothing of the file is ever executed.
The file's MD5 is compared with the published one first.
"""

from __future__ import annotations

import hashlib
import io
import pickle  # only through the allow-list below
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# The legacy container of torch.save (before 1.6): four pickles, then the raw storages.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class CheckpointError(ValueError):
    """The file is not the one that was expected, or holds something other than tensors."""


@dataclass(frozen=True)
class _StorageType:
    dtype: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_rest: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "FloatStorage"): _StorageType("<f4"),
    ("torch", "LongStorage"): _StorageType("<i8"),
}


class _AllowListed(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            msg = f"The file asks for {module}.{name}, which is not on the allow-list."
            raise CheckpointError(msg) from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _device, _count, view = pid
        if kind != "storage" or view is not None or not isinstance(storage_type, _StorageType):
            msg = "The file refers to something other than a plain tensor storage."
            raise CheckpointError(msg)
        return _Storage(str(key), storage_type.dtype)


def read_checkpoint(path: Path, *, md5: str) -> dict[str, NDArray[Any]]:
    """Return the named tensors of a legacy ``.pth`` file as NumPy arrays.

    Args:
        path: the file.
        md5: its published MD5, in hexadecimal.

    Raises:
        CheckpointError: another file, or one that names anything but tensors.
    """
    data = path.read_bytes()
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        msg = f"{path.name} is not the published file (its MD5 differs). Install it again."
        raise CheckpointError(msg)
    try:
        return _read(io.BytesIO(data), path.name)
    except (
        pickle.UnpicklingError,
        EOFError,
        struct.error,
        ValueError,
        TypeError,
        KeyError,
    ) as error:
        if isinstance(error, CheckpointError):
            raise
        msg = f"{path.name} is cut short or damaged ({error}). Install it again."
        raise CheckpointError(msg) from error


def _read(stream: io.BytesIO, name: str) -> dict[str, NDArray[Any]]:
    if _AllowListed(stream).load() != _MAGIC or _AllowListed(stream).load() != _PROTOCOL:
        msg = f"{name} is not a legacy tensor file."
        raise CheckpointError(msg)
    _AllowListed(stream).load()  # byte order and sizes of the writing machine; always little
    named: dict[str, _Tensor] = _AllowListed(stream).load()
    keys: list[str] = _AllowListed(stream).load()
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in named.values()}
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        dtype = np.dtype(dtypes[key])
        storages[key] = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    return {key: _array(tensor, storages) for key, tensor in named.items()}


def _array(tensor: _Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    whole = storages[tensor.storage.key]
    flat = whole[max(0, tensor.offset) :]
    size = flat.dtype.itemsize
    strides = tuple(stride * size for stride in tensor.strides)
    needed = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
    # Memory outside the storage must stay out of reach on either side.
    if needed > flat.size or min((tensor.offset, *tensor.shape, *tensor.strides)) < 0:
        msg = "A tensor reaches beyond its storage."
        raise CheckpointError(msg)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides).copy()
