from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multidir.errors import DesignError
from multidir.experiments.combination.layout import read_layout
from multidir.experiments.combination.tally import Tally
from multidir.experiments.protocol.design import Cells, protocol


def tally_of(doses: list[tuple[float, ...]], gaps: tuple[tuple[int, int], ...] = ()) -> Tally:
    shape = (3, len(doses))
    n = np.full(shape, 10.0)
    for prompt, cell in gaps:
        n[prompt, cell] = 0
    k = len(doses[0])
    one = np.ones(shape)
    return Tally(tuple("abcde"[:k]), np.array(doses), ("",) * len(doses), ("x", "y", "z"), n / 10, n, n, n, one)


def of_cells(cells: Cells) -> Tally:
    found = tally_of([tuple(row) for row in cells.doses.tolist()])
    return replace(found, controls=cells.controls)


def test_the_protocol_is_read_back() -> None:
    cells = protocol(4, flips=True, n_random=2)
    layout = read_layout(of_cells(cells))
    assert len(layout.factorial) == 16
    assert layout.own.tolist() == [1, 1, 1, 1]
    assert [ladder.rungs.tolist() for ladder in layout.ladders if ladder] == [[0, 1, 2**0.5, 2, 2 * 2**0.5]] * 4
    assert len(layout.pairs) == 6
    assert len(layout.squares(1, 2)) == 4
    assert sorted(layout.flips) == [0, 1, 2, 3]
    assert layout.notes == ()
    assert layout.zero == layout.squares(1, 2)[0][0]


def test_a_ladder_may_have_doses_of_its_own() -> None:
    layout = read_layout(tally_of([(0, 0), (0.5, 0), (0, 3), (0.5, 3), (0.8, 0), (1.2, 0), (0, 6), (0.1, 0)]))
    first, second = layout.ladders
    assert first is not None
    assert second is not None
    assert first.rungs.tolist() == [0, 1, 1.6, 2.4]
    assert first.rungs[first.twice] == 2.4
    assert second.rungs[second.twice] == 2
    assert layout.notes == ("Left out, because they belong to no factorial or ladder: a 0.1.",)


@pytest.mark.parametrize(
    ("doses", "message"),
    [
        ([(1, 0), (0, 1), (1, 1)], "no unsteered cell"),
        ([(0, 0), (1, 0), (0, 1)], "no cell combines two directions"),
        ([(0, 0), (1, 1), (2, 1)], "a is combined with others at doses 1, 2; a factorial has one dose"),
        ([(0, 0), (-1, 1)], "a is combined at dose -1; flip the direction"),
    ],
)
def test_what_cannot_be_read_is_refused(doses: list[tuple[float, ...]], message: str) -> None:
    with pytest.raises(DesignError, match=message):
        read_layout(tally_of(doses))


def test_doses_that_are_no_ladder_are_named() -> None:
    notes = read_layout(tally_of([(0, 0), (1, 0), (0, 1), (1, 1), (1.1, 0), (0, 2)])).notes
    assert notes == ("a has no dose ladder (alone at 1, 1.1): it takes its own dose 1, 2 and best 1.41 and 2.83 too.",)


def test_missing_cells_are_named() -> None:
    full = [tuple(float(b) for b in np.binary_repr(i, 3)) for i in range(8)]
    notes = read_layout(tally_of([row for row in full if row not in ((0, 1, 1), (1, 1, 1))] + [(0, 1, 1)])).notes
    assert "lacks" not in notes[0]  # singles and pairs only are a design of their own
    notes = read_layout(tally_of([row for row in full if row != (1.0, 1.0, 0.0)])).notes
    assert notes[0] == "The factorial lacks 1 of 8 cells: a + b."
    gaps = read_layout(tally_of(full, gaps=((0, 7), (1, 7), (2, 3)))).notes
    assert gaps[0] == "Cells without a scored rollout of some of the 3 prompts: b 1 + c 1 (1), a 1 + b 1 + c 1 (2)."
