from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from multidir.errors import DesignError
from multidir.experiments.choose import Choice, best_coherent, derived, find_direction, with_direction_facts
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site

CELLS = pd.DataFrame(
    {
        "direction": ["none", "a", "a", "b"],
        "dose": [0.0, 1.0, 2.0, 1.0],
        "backtrack_share": [0.05, 0.3, 0.9, np.nan],
        "coherent_share": [1.0, 0.9, 0.1, 1.0],
    }
)


def direction(name: str, role: str, offsets: list[int], label: str = "backtracking") -> Direction:
    source = {"role": role, "offsets": offsets, "label": label}
    return Direction.from_vector(name, np.eye(4)[0], Site(2), "diffmeans", source)


SET = DirectionSet(
    [
        direction("c", "reasoning", [-13, -8], "deduction"),
        direction("a", "base", [-13, -8]),
        direction("b", "reasoning", [-13, -8]),
    ]
)


def test_the_best_cell_is_coherent_and_scored() -> None:
    best = best_coherent(CELLS, 0.8)
    assert (best["direction"], best["dose"]) == ("a", 1.0)


def test_no_coherent_cell_is_an_error_that_says_so() -> None:
    with pytest.raises(DesignError, match="try smaller doses"):
        best_coherent(CELLS.assign(coherent_share=0.2), 0.8)


def test_facts_are_joined_and_the_unsteered_cell_has_no_role() -> None:
    table = with_direction_facts(CELLS, SET).set_index(["direction", "dose"])
    assert table.loc[("a", 1.0), "direction_role"] == "base"
    assert table.loc[("a", 1.0), "offset_lo"] == -13
    assert table.loc[("none", 0.0), "direction_role"] == "none"


def test_a_direction_is_found_by_role_site_and_window() -> None:
    choice = Choice("L2.resid_post", -13, -8, 1.0)
    assert find_direction(SET, "reasoning", choice).name == "b"
    assert find_direction(SET, "reasoning", choice, "deduction").name == "c"
    with pytest.raises(DesignError, match=r"-4\.\.-1"):
        find_direction(SET, "base", Choice("L2.resid_post", -4, -1, 1.0))


def test_only_directions_of_the_label_are_taken() -> None:
    assert [item.name for item in derived(SET, "reasoning")] == ["b"]
    imported = Direction.from_vector("i", np.eye(4)[1], Site(2), "control vector", {"role": "base"})
    assert [item.name for item in derived(DirectionSet([*SET, imported]), "base")] == ["a", "i"]
    with pytest.raises(DesignError, match="no base-derived deduction direction among c, a, b"):
        derived(SET, "base", "deduction")
