"""Directions in the residual stream: a unit vector, its length, its place and its origin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from multidir.errors import ConfigError, DesignError
from multidir.linalg.basis import loewdin, orthonormal_basis
from multidir.records.site import Site
from multidir.types import FloatArray


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector and, separately, the length it was found with.

    Keeping the two apart makes every dose explicit: nobody can add "the vector" and mean two things.
    """

    name: str
    unit: FloatArray
    """(d,) float64, Euclidean norm 1."""
    length: float
    """Norm of the vector as found, in residual-stream units."""
    site: Site
    method: str = "given"
    """Finder that made it: `diffmeans`, `probe`, `random`, ..."""
    source: dict[str, Any] = field(default_factory=dict)
    """Provenance: store hash, model role, offsets, label, settings of the finder. JSON values only."""

    def __post_init__(self) -> None:
        """Refuse anything that is not one finite unit vector."""
        if self.unit.ndim != 1 or not np.isfinite(self.unit).all():
            raise ConfigError(f"direction {self.name!r}: expected one finite vector, got shape {self.unit.shape}")
        norm = float(np.linalg.norm(self.unit))
        if abs(norm - 1) > 1e-6:
            raise ConfigError(f"direction {self.name!r}: unit has norm {norm:.6g}; use Direction.from_vector")

    @classmethod
    def from_vector(
        cls, name: str, vector: FloatArray, site: Site, method: str = "given", source: dict[str, Any] | None = None
    ) -> Direction:
        """Split a raw (d,) vector into unit and length.

        Raises:
            DesignError: the vector is zero or not finite, so that it has no direction.
        """
        raw = np.asarray(vector, dtype=np.float64)
        length = float(np.linalg.norm(raw))
        if not np.isfinite(length) or length == 0:
            raise DesignError(f"direction {name!r} at {site} has length {length}: there is nothing to steer with")
        return cls(name, raw / length, length, site, method, source or {})

    @property
    def vector(self) -> FloatArray:
        """(d,) float64: unit times length."""
        return self.unit * self.length

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return int(self.unit.shape[0])


class DirectionSet:
    """Directions of one width with unique names; a read-only sequence that also finds by name."""

    def __init__(self, directions: Iterable[Direction]) -> None:
        self._items = tuple(directions)
        self._by_name = {item.name: item for item in self._items}
        if not self._items:
            raise DesignError("a direction set needs at least one direction")
        if len(self._by_name) < len(self._items):
            names = [item.name for item in self._items]
            raise ConfigError(f"direction names repeat: {sorted({n for n in names if names.count(n) > 1})}")
        if len({item.d for item in self._items}) > 1:
            widths = ", ".join(f"{item.name}: {item.d}" for item in self._items)
            raise ConfigError(f"directions of one set share one width; got {widths}")

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Direction]:
        return iter(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Direction:
        if name not in self._by_name:
            raise ConfigError(f"no direction {name!r}; there are {', '.join(self.names)}")
        return self._by_name[name]

    def __repr__(self) -> str:
        return f"DirectionSet({len(self)} of width {self.d}: {', '.join(self.names[:6])}{', ...' * (len(self) > 6)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(item.name for item in self._items)

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return self._items[0].d

    @property
    def summary(self) -> str:
        """`3 directions of width 128`."""
        return f"{len(self)} direction{'s' * (len(self) > 1)} of width {self.d}"

    def matrix(self) -> FloatArray:
        """(k, d) float64: the unit vectors as rows."""
        return np.stack([item.unit for item in self._items])

    def gram(self) -> FloatArray:
        """(k, k) float64: cosines between all directions."""
        units = self.matrix()
        return units @ units.T

    def basis(self) -> FloatArray:
        """(r, d) float64: an orthonormal basis of the span, r its rank."""
        basis: FloatArray = orthonormal_basis(self.matrix())
        return basis

    def orthogonalized(self) -> DirectionSet:
        """The nearest orthonormal set, no direction preferred (Loewdin).

        Raises:
            DesignError: the directions are linearly dependent.
        """
        return DirectionSet(
            replace(item, unit=unit) for item, unit in zip(self._items, loewdin(self.matrix()), strict=True)
        )
