"""What a combination study takes: directions by name, by pairs, or the first that are no controls; apart problems."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from multidir.errors import ConfigError, DesignError
from multidir.experiments.protocol.inputs import check_splits, chosen, spread_out
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.text import Prompt

METHODS = {"a": "diffmeans", "b": "probe", "r": "random", "c": "pca", "s": "shuffled", "d": "latent"}


@dataclass(frozen=True)
class Science:
    names: tuple[str, ...] = ()
    k: int = 0
    pairs: tuple[str, ...] = ()
    split: str = "confirm"
    calibrate: str = "calibrate"


@pytest.fixture(scope="module")
def candidates() -> DirectionSet:
    vectors = np.random.default_rng(0).standard_normal((len(METHODS), 8))
    return DirectionSet(
        [Direction.from_vector(n, v, Site(2), m) for (n, m), v in zip(METHODS.items(), vectors, strict=True)]
    )


def names(candidates: DirectionSet, **science: object) -> tuple[str, ...]:
    return chosen(candidates, Science(**science)).names  # type: ignore[arg-type]


def test_the_first_directions_are_taken_and_no_controls(candidates: DirectionSet) -> None:
    assert names(candidates, k=3) == ("a", "b", "c")
    assert names(candidates) == ("a", "b", "c", "d")
    assert names(candidates, names=("r", "a")) == ("r", "a"), "a control that is named is wanted"


def test_pairs_name_their_directions(candidates: DirectionSet) -> None:
    assert names(candidates, pairs=("c+a", "a + d")) == ("c", "a", "d")
    assert names(candidates, k=3, pairs=("d+b",)) == ("d", "b")
    assert names(candidates, names=("a", "b", "c"), pairs=("c+a",)) == ("a", "b", "c")
    with pytest.raises(DesignError, match=r"--pairs d\+a is not two of the directions a, b"):
        names(candidates, names=("a", "b"), pairs=("d+a",))
    with pytest.raises(ConfigError, match="no direction 'x'"):
        names(candidates, pairs=("a+x",))


def test_too_few_or_too_many_are_refused(candidates: DirectionSet) -> None:
    with pytest.raises(DesignError, match="2 to 10 directions, got 1"):
        names(candidates, k=1)
    assert names(candidates, names=tuple(METHODS)) == tuple(METHODS), "six make a fraction of resolution V"
    many = DirectionSet([Direction.from_vector(f"x{i}", row, Site(2), "pca") for i, row in enumerate(np.eye(11))])
    with pytest.raises(DesignError, match="2 to 10 directions, got 11"):
        names(many)


def test_doses_are_found_on_other_problems_than_effects() -> None:
    problems = [Prompt(f"p{i}", "verbal", "?") for i in range(9)]
    assert [p.id for p in spread_out(problems, 3)] == ["p0", "p4", "p8"]
    assert spread_out(problems, 0) == problems
    check_splits(Science(), problems[:3], problems[3:])  # type: ignore[arg-type]
    for first in (problems[:4], []):
        with pytest.raises(DesignError, match=r"are in both|has no prompts"):
            check_splits(Science(), first, problems[3:])  # type: ignore[arg-type]
