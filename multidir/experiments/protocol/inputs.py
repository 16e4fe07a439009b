"""What a combination study starts from: its settings, the directions that are combined, and disjoint problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Protocol

import numpy as np

from multidir.config import Compute
from multidir.errors import DesignError
from multidir.experiments.candidates.finders import CONTROLS
from multidir.experiments.combination.run import Science
from multidir.experiments.combination.verdicts import named_pairs
from multidir.experiments.protocol.design import Size
from multidir.experiments.protocol.standing import Way
from multidir.experiments.steering.setup import SteeringScience
from multidir.records.direction import DirectionSet
from multidir.records.pair import Pair
from multidir.records.text import Prompt
from multidir.stats.factorial import GENERATORS

MOST = max(GENERATORS)
"""Directions of the largest design: up to five a full factorial, above it a fraction."""


class StudyScience(Science, SteeringScience, Protocol):
    """The settings of analysis/combination on a model pair."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def k(self) -> int: ...  # noqa: D102
    @property
    def calibrate(self) -> str: ...  # noqa: D102
    @property
    def standing(self) -> Way: ...  # noqa: D102
    @property
    def grid(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def scope(self) -> str: ...  # noqa: D102
    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def size(self) -> Size: ...  # noqa: D102


class Inputs(Protocol):
    """What a study starts from: the settings of analysis/combination."""

    @property
    def pair(self) -> Pair: ...  # noqa: D102
    @property
    def prompts(self) -> Path | None: ...  # noqa: D102
    @property
    def directions(self) -> Path | None: ...  # noqa: D102
    @property
    def science(self) -> StudyScience: ...  # noqa: D102
    @property
    def compute(self) -> Compute: ...  # noqa: D102


def chosen(directions: DirectionSet, science: StudyScience) -> DirectionSet:
    """The directions of a study: those named, those of the pairs, the first `k`, or all of a small set.

    Controls in the set are never taken unless they are named.

    Raises:
        DesignError: fewer than two, or so many that they have to be named; a pair of something else.
    """
    wanted = list(science.names) or list(dict.fromkeys(n.strip() for pair in science.pairs for n in pair.split("+")))
    if wanted:
        found = [directions[name] for name in wanted]
    else:
        real = [item for item in directions if item.method not in CONTROLS]
        found = real[: science.k] if science.k else real
    if not 2 <= len(found) <= MOST:
        raise DesignError(
            f"a combination study is of 2 to {MOST} directions, got {len(found)}; name them with --names or "
            f"--pairs, or take the first ones with --k, out of {', '.join(directions.names)}"
        )
    named_pairs(science.pairs, [item.name for item in found])
    return DirectionSet(found)


def spread_out(problems: Sequence[Prompt], most: int) -> list[Prompt]:
    """So many problems, evenly spaced over the split and so over its categories; all when `most` is 0."""
    if not 0 < most < len(problems):
        return list(problems)
    return [problems[i] for i in np.linspace(0, len(problems) - 1, most).round().astype(int)]


def check_splits(science: StudyScience, first: Sequence[Prompt], problems: Sequence[Prompt]) -> None:
    """Refuse prompts on which doses would be chosen and effects measured.

    Raises:
        DesignError: a prompt is in both splits, or one has none.
    """
    both = {p.id for p in first} & {p.id for p in problems}
    if both or not first or not problems:
        what = f"{len(both)} prompts are in both" if both else "one of them has no prompts"
        raise DesignError(
            f"doses are calibrated on the split {science.calibrate!r} and measured on {science.split!r}, but {what}; "
            "make the splits with data/prompts"
        )


def cosines_of(directions: DirectionSet) -> Mapping[tuple[str, str], float]:
    """Cosine of every pair of directions, by their names."""
    gram, names = directions.gram(), directions.names
    return {(names[i], names[j]): float(gram[i, j]) for i, j in combinations(range(len(names)), 2)}
