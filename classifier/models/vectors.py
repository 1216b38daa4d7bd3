"""Columns of pgvector: the three parts of it that are used here.

https://github.com/pgvector/pgvector (0.8 or later) tells what ``halfvec``, ``<=>`` and ``hnsw``
are. Its Python package has the same classes without types, and a loader that registers them with
every connection; text does as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.indexes import PostgresIndex
from django.db import models

if TYPE_CHECKING:
    from collections.abc import Iterable


class HalfVectorField(models.Field[Any, Any]):
    """``halfvec(dimensions)``: numbers of 16 bits; a list of floats in Python.

    Args:
        dimensions: how many numbers.
    """

    def __init__(self, *args: Any, dimensions: int, **kwargs: Any) -> None:
        self.dimensions = dimensions
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """Return what a migration needs."""
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, kwargs | {"dimensions": self.dimensions}

    def db_type(self, connection: Any) -> str:  # noqa: ARG002 - Django's signature
        """Return the column's type."""
        return f"halfvec({self.dimensions})"

    def from_db_value(self, value: str | None, *_how: Any) -> list[float] | None:
        """Return the numbers of PostgreSQL's ``[1,2,3]``."""
        return None if value is None else [float(one) for one in value[1:-1].split(",")]

    def get_prep_value(self, value: Iterable[float] | None) -> str | None:
        """Return what PostgreSQL reads; six digits are more than it keeps."""
        if value is None:
            return None
        numbers = tuple(value)
        # One format for all of them: a worker writes 1 280 with every result.
        return f"[{','.join(['%.6g'] * len(numbers)) % numbers}]"

    def get_placeholder(self, *_how: Any) -> str:
        """Return the place of a value in a statement."""
        return "%s::halfvec"


class CosineDistance(models.Func):
    """``column <=> value``: 0 for the same direction, 1 for a right angle, 2 for the opposite."""

    arg_joiner = " <=> "
    template = "(%(expressions)s)"
    output_field = models.FloatField()

    def __init__(self, column: str, to: Iterable[float], *, dimensions: int) -> None:
        value = models.Value(list(to), output_field=HalfVectorField(dimensions=dimensions))
        super().__init__(models.F(column), value)


class HnswIndex(PostgresIndex):
    """An index that finds the nearest vectors without looking at all of them, nearly always.

    Args:
        m: to how many neighbours a vector is tied.
        ef_construction: among how many they are chosen.
    """

    suffix = "hnsw"

    def __init__(
        self, *expressions: Any, m: int = 16, ef_construction: int = 64, **kwargs: Any
    ) -> None:
        self.m, self.ef_construction = m, ef_construction
        super().__init__(*expressions, **kwargs)

    def deconstruct(self) -> Any:
        """Return what a migration needs."""
        path, args, kwargs = super().deconstruct()
        return path, args, kwargs | {"m": self.m, "ef_construction": self.ef_construction}

    def get_with_params(self) -> list[str]:
        """Return what stands in the index's WITH clause."""
        return [f"m = {self.m}", f"ef_construction = {self.ef_construction}"]
