from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from multidir.experiments.combination.mechanisms import MECHANISMS, Mechanism, hazards, hill, unequal
from multidir.experiments.power.simulate import FACTORIAL_SPREAD, Spread, World, expected, simulate, simulate_table
from multidir.experiments.protocol.design import LADDER, protocol
from multidir.stats.components import intraclass
from tests.experiments.pairs import K2, SHIFTS

ZERO, ONE, BASE = np.zeros(1), np.ones(1), np.full(1, -3.0)


@pytest.mark.parametrize(
    ("name", "delta"),
    [
        ("one read-out, threshold", 1.06),
        ("one read-out, linear", 0.0),
        ("own thresholds", 0.0),
        ("AND gate", 1.7),
        ("norm only (p = 2)", 0.23),
        ("winner takes all (p = 6)", -0.44),
        ("one read-out, unequal slopes", 0.61),
        ("antagonist", -0.72),
    ],
)
def test_mechanisms_have_the_interaction_they_are_known_for(name: str, delta: float) -> None:
    shift = SHIFTS[name]
    found = shift(ONE, ONE, BASE) - shift(ONE, ZERO, BASE) - shift(ZERO, ONE, BASE)
    assert found[0] == pytest.approx(delta, abs=0.01)
    assert shift(ZERO, ZERO, BASE)[0] == 0
    ladder = shift(np.array(LADDER), np.zeros(4), BASE)
    assert (np.diff(ladder) > 0).all()


def test_independent_causes_add_hazards() -> None:
    p = [expit(BASE + hazards(a, b, BASE))[0] for a in (ZERO, ONE) for b in (ZERO, ONE)]
    assert (1 - p[3]) * (1 - p[0]) == pytest.approx((1 - p[1]) * (1 - p[2]))


def test_unequal_curves_share_one_read_out() -> None:
    """The level of the pair is the one at which the shares of the doses needed alone sum to one."""
    level = unequal(ONE, ONE, BASE)[0]
    q = level / 3 / (1 - level / 3)
    assert 0.75 * q**-0.25 + 0.75**2 * q**-0.5 == pytest.approx(1)
    assert unequal(ONE, ZERO, BASE)[0] == pytest.approx(3 * hill(np.array(0.75)))


def test_simulated_tables_vary_as_they_are_told() -> None:
    rng = np.random.default_rng(0)
    spread = Spread(base=-1.0, prompt=0.0, slope=0.0, interaction=0.0)
    frame = simulate_table(World((0.5, 0.2), spread=spread), K2, 300, 3, rng)
    n, y = frame["sentences"].to_numpy(float), frame["backtracks"].to_numpy(float)
    assert n.mean() == pytest.approx(30, rel=0.03)
    assert n.var() == pytest.approx(29 + 29**2 / 5, rel=0.1)
    cell = frame.groupby(["prompt", "dose_d1", "dose_d2"]).ngroup().to_numpy()
    assert intraclass(y, n, cell) == pytest.approx(0.08, rel=0.1)
    on = (frame["dose_d1"] == 1) & (frame["dose_d2"] == 0)
    assert logit(y[on].sum() / n[on].sum()) == pytest.approx(-0.5, abs=0.1)


def test_prompts_and_slopes_vary_and_average_out() -> None:
    world = World((0.7, 0.9), {(0, 1): 0.6}, spread=FACTORIAL_SPREAD)
    cells = protocol(2, ladders=False)
    odds = world.log_odds(cells, 40000, np.random.default_rng(1))
    square = odds[:, 3] - odds[:, 2] - odds[:, 1] + odds[:, 0]
    assert odds[:, 0].std() == pytest.approx(1, rel=0.02)
    assert (odds[:, 2] - odds[:, 0]).std() == pytest.approx(0.5, rel=0.02)
    assert (square.mean(), square.std()) == (pytest.approx(0.6, abs=0.01), pytest.approx(0.3, rel=0.02))


def test_loops_are_where_they_are_put() -> None:
    world = World((0.5, 0.5), spread=replace(FACTORIAL_SPREAD, loops=0.0), cell_loops={3: 0.5})
    tally = simulate(world, protocol(2, ladders=False), 200, 2, np.random.default_rng(2))
    assert tally.loops is not None
    assert tally.loops.sum(axis=0)[:3].tolist() == [0, 0, 0]
    assert tally.loops[:, 3].mean() == pytest.approx(1, abs=0.2)


def test_control_rows_are_not_the_mechanism() -> None:
    cells = protocol(2, flips=True, n_random=3)
    world = World((0.0, 0.0), mechanism=SHIFTS["AND gate"], spread=Spread(interaction=0.0, slope=0.0))
    found = expected(world, cells, 2000, np.random.default_rng(3))
    rate = logit((found.y / found.n).mean(axis=0))
    both = found.cells("random:2")[-1]
    assert abs(rate[both] - rate[0]) < 0.5
    flipped = int(np.flatnonzero((cells.doses < 0).any(axis=1))[0])
    assert rate[flipped] < rate[0]


def test_the_eight_are_told_apart_by_their_labels() -> None:
    assert len(MECHANISMS) == 8
    assert all(isinstance(m, Mechanism) and m.label.is_claim for m in MECHANISMS)
