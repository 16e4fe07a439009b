"""What is taken out of the residual stream: directions, the concept behind labels, or what deviates from a mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multidir.errors import ConfigError
from multidir.linalg.basis import orthonormal_basis
from multidir.linalg.erase import ConceptMoments, leace
from multidir.records.direction import Direction
from multidir.records.site import Site
from multidir.types import FloatArray


@dataclass(frozen=True, eq=False)
class Eraser:
    """Replaces x by `x - (x - center) right^T left`, at one site.

    To erase at several sites, say so once for each: `dataclasses.replace(eraser, site=other)`.
    """

    name: str
    site: Site
    left: FloatArray
    """(r, d) float64."""
    right: FloatArray
    """(r, d) float64."""
    center: FloatArray
    """(d,) float64: what is left as it is."""
    method: str = "given"
    """`project_out`, `mean_ablate`, `leace`, ..."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit or cannot be used."""
        if self.left.ndim != 2 or self.left.shape != self.right.shape or self.center.shape != self.left.shape[1:]:
            raise ConfigError(
                f"eraser {self.name!r}: expected left and right (r, d) and center (d,), "
                f"got {self.left.shape}, {self.right.shape} and {self.center.shape}"
            )
        if not all(np.isfinite(array).all() for array in (self.left, self.right, self.center)):
            raise ConfigError(f"eraser {self.name!r} at {self.site} is not finite")
        if not (self.left.any() and self.right.any()):
            raise ConfigError(f"eraser {self.name!r} at {self.site} is zero: it would erase nothing")

    @classmethod
    def project_out(cls, directions: Direction | Sequence[Direction]) -> Eraser:
        """Project onto the orthogonal complement of the span of directions of one site."""
        site, names, basis = _span(directions)
        return cls(names, site, basis, basis, np.zeros(basis.shape[1]), "project_out")

    @classmethod
    def mean_ablate(cls, directions: Direction | Sequence[Direction], mean: FloatArray) -> Eraser:
        """Set the component within the span of directions to that of the mean activation (d,) at their site."""
        site, names, basis = _span(directions)
        return cls(names, site, basis, basis, np.asarray(mean, dtype=np.float64), "mean_ablate")

    @classmethod
    def leace(cls, name: str, site: Site, moments: ConceptMoments, shrink: bool = True) -> Eraser:
        """Erase a concept from all linear probes with the least change (see `linalg.erase.leace`)."""
        left, right = leace(moments, shrink)
        return cls(name, site, np.asarray(left), np.asarray(right), np.asarray(moments.mean_x), "leace")

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return int(self.center.shape[0])


def _span(directions: Direction | Sequence[Direction]) -> tuple[Site, str, FloatArray]:
    """Site, names and an orthonormal basis (r, d)."""
    items = [directions] if isinstance(directions, Direction) else list(directions)
    sites, widths = {item.site for item in items}, {item.d for item in items}
    if len(sites) != 1 or len(widths) != 1:
        where = ", ".join(f"{item.name} ({item.d} at {item.site})" for item in items) or "none"
        raise ConfigError(f"an eraser takes directions of one site and width, at least one; got {where}")
    basis: FloatArray = orthonormal_basis(np.stack([item.unit for item in items]), rtol=1e-6)
    return items[0].site, " + ".join(item.name for item in items), basis
