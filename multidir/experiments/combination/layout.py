"""Finds factorial, ladders, pairs and flipped directions among the cells of an outcomes table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from multidir.errors import DesignError
from multidir.experiments.combination.tally import Tally
from multidir.stats.factorial import MAX_FULL
from multidir.types import FloatArray, IntArray

TWICE = 1.98
"""A rung from this multiple on counts as twice the own dose."""
MOST_NAMED = 8
"""Cells that one sentence names."""


@dataclass(frozen=True, eq=False)
class Ladder:
    """The cells in which one direction stands alone, by dose."""

    rungs: FloatArray
    """(r,) float64. Multiples of the direction's own dose: 0, 1, upwards."""
    cells: IntArray
    """(r,) their indices; the first is the unsteered cell."""

    @property
    def twice(self) -> int:
        """Position of the rung at twice the own dose; -1 when the ladder does not reach it."""
        high = np.flatnonzero(self.rungs >= TWICE)
        return int(high[0]) if high.size else -1


@dataclass(frozen=True, eq=False)
class Layout:
    """Which cell of a tally plays which part."""

    own: FloatArray
    """(k,) float64. The dose at which each direction is combined with others."""
    zero: int
    """The unsteered cell."""
    factorial: IntArray
    """(f,) cells in which every direction is off or at its own dose."""
    on: IntArray
    """(f, k) of 0 and 1: which directions are on there."""
    ladders: tuple[Ladder | None, ...]
    """By direction; None when it was not run alone at its own dose."""
    flips: dict[int, int]
    """Direction -> the cell with it alone at minus its own dose."""
    notes: tuple[str, ...]
    """What the table lacks or holds beyond the design, in sentences."""
    wanted: tuple[tuple[int, int], ...] = ()
    """Pairs that a verdict is asked for; none given: all."""

    def cell(self, *on: int) -> int | None:
        """The factorial cell with exactly these directions on, where it was run."""
        wanted = np.zeros(self.on.shape[1], dtype=np.int64)
        wanted[list(on)] = 1
        found = np.flatnonzero((self.on == wanted).all(axis=1))
        return int(self.factorial[found[0]]) if found.size else None

    def squares(self, i: int, j: int) -> list[tuple[int, int, int, int]]:
        """Cells (neither, i, j, both) in every state of the other directions that has all four; others off first."""
        others = [d for d in range(self.on.shape[1]) if d not in (i, j)]
        found = []
        for state in product((0, 1), repeat=len(others)):
            rest = [d for d, there in zip(others, state, strict=True) if there]
            square = [self.cell(*rest, *more) for more in ((), (i,), (j,), (i, j))]
            if all(cell is not None for cell in square):
                found.append(tuple(square))
        return sorted(found, key=lambda s: int((self.on[self.factorial == s[0]]).sum()))  # type: ignore[arg-type]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of directions that were run together in some cell, and that are asked for."""
        together = self.on.T @ self.on
        found = [(i, j) for i, j in combinations(range(len(self.own)), 2) if together[i, j] > 0]
        return [pair for pair in found if pair in self.wanted] if self.wanted else found


def read_layout(tally: Tally) -> Layout:
    """Find the parts of a design.

    Raises:
        DesignError: no unsteered cell, no two directions combined, or a direction combined at two doses.
    """
    doses = tally.doses
    cells = [i for i in tally.cells() if tally.n[:, i].any()]
    zeros = [i for i in cells if not doses[i].any()]
    if not zeros:
        raise DesignError("no unsteered cell: every comparison needs rows in which all doses are 0")
    own = _own_doses(tally, cells)
    factorial = np.array([i for i in cells if ((doses[i] == 0) | (doses[i] == own)).all()], dtype=np.intp)
    on = (doses[factorial] != 0).astype(np.int64)
    alone = [i for i in cells if (doses[i] != 0).sum() == 1]
    ladders = tuple(_ladder(doses[:, j], own[j], alone, zeros[0]) for j in range(len(own)))
    flips = {j: i for i in alone for j in np.flatnonzero(doses[i]).tolist() if doses[i, j] == -own[j]}
    used = {*factorial.tolist(), *(int(c) for item in ladders if item for c in item.cells), *flips.values()}
    notes = (
        *_absent(tally, on),
        *_lacking(tally),
        *_beyond(tally, [i for i in cells if i not in used]),
        *_no_ladder(tally, ladders, own),
    )
    return Layout(own, zeros[0], factorial, on, ladders, flips, notes)


def _own_doses(tally: Tally, cells: list[int]) -> FloatArray:
    """The dose at which each direction is combined; its lowest single dose when it never is."""
    combined = [i for i in cells if (tally.doses[i] != 0).sum() > 1]
    if not combined:
        raise DesignError("no cell combines two directions, so there is nothing to say on how they act together")
    own = np.full(len(tally.directions), np.nan)
    for j, name in enumerate(tally.directions):
        found = sorted({float(d) for d in tally.doses[combined, j] if d})
        if len(found) > 1:
            raise DesignError(
                f"{name} is combined with others at doses {', '.join(f'{d:g}' for d in found)}; "
                "a factorial has one dose per direction, so keep the rows of one"
            )
        own[j] = found[0] if found else min((d for d in tally.doses[cells, j] if d > 0), default=np.nan)
        if own[j] < 0:
            raise DesignError(f"{name} is combined at dose {own[j]:g}; flip the direction instead of its dose")
    return own


def _ladder(doses: FloatArray, own: float, alone: list[int], zero: int) -> Ladder | None:
    found = {float(doses[i] / own): i for i in alone if doses[i] >= own}
    if not found or min(found) != 1.0:
        return None
    rungs = sorted(found)
    return Ladder(np.array([0.0, *rungs]), np.array([zero, *(found[s] for s in rungs)], dtype=np.intp))


def _absent(tally: Tally, on: IntArray) -> Iterator[str]:
    """Cells of the full factorial that nobody ran, when it was meant to be one."""
    k = len(tally.directions)
    there = {tuple(row) for row in on.tolist()}
    absent = [state for state in product((0, 1), repeat=k) if state not in there] if k <= MAX_FULL else []
    small = [state for state in absent if sum(state) <= 2]
    # a study of singles and pairs only is a design of its own; name what one of the two lacks
    named = absent if any(sum(state) > 2 for state in there) else small
    if named:
        names = [" + ".join(d for d, b in zip(tally.directions, s, strict=True) if b) or "unsteered" for s in named]
        yield f"The factorial lacks {len(named)} of {2**k} cells: {_listed(names)}."


def _lacking(tally: Tally) -> Iterator[str]:
    m = len(tally.prompts)
    gaps = {i: int((tally.n[:, i] == 0).sum()) for i in tally.cells()}
    gaps = {i: gap for i, gap in gaps.items() if 0 < gap < m}
    if gaps:
        named = _listed([f"{tally.name(i)} ({gap})" for i, gap in gaps.items()])
        yield f"Cells without a scored rollout of some of the {m} prompts: {named}."


def _beyond(tally: Tally, cells: list[int]) -> Iterator[str]:
    if cells:
        named = _listed([tally.name(i) for i in cells])
        yield f"Left out, because they belong to no factorial or ladder: {named}."


def _no_ladder(tally: Tally, ladders: tuple[Ladder | None, ...], own: FloatArray) -> Iterator[str]:
    for name, ladder, dose in zip(tally.directions, ladders, own, strict=True):
        if np.isnan(dose):
            yield f"{name} was never applied."
        elif ladder is None or ladder.twice < 0:
            found = [] if ladder is None else [f"{r * dose:g}" for r in ladder.rungs[1:]]
            yield (
                f"{name} has no dose ladder (alone at {_listed(found)}): it takes its own dose {dose:g}, "
                f"{2 * dose:g} and best {2**0.5 * dose:.3g} and {2 * 2**0.5 * dose:.3g} too."
            )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (", ".join(names[:MOST_NAMED]) or "no dose") + more
