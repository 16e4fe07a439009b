from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from multidir.errors import DesignError
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.power.pilot import read_pilot
from multidir.experiments.power.rates import power_results, power_table
from multidir.experiments.power.simulate import FACTORIAL_SPREAD, Spread, World, simulate_table
from multidir.experiments.protocol.design import protocol
from multidir.stats.components import intraclass

CELLS = protocol(4, ladders=False)
EFFECTS = (0.7, 0.9, 0.5, 0.8)


@dataclass(frozen=True)
class Small:
    split: str = "confirm"
    k: int = 4
    prompts: tuple[int, ...] = (30, 100)
    rollouts: tuple[int, ...] = (4,)
    deltas: tuple[float, ...] = (0.0, 0.6)
    studies: int = 30
    rules: CombinationRules = field(default_factory=CombinationRules)
    seed: int = 0


def pilot_table(m: int, rollouts: int, spread: Spread = FACTORIAL_SPREAD, seed: int = 0) -> pd.DataFrame:
    return simulate_table(World(EFFECTS, spread=spread), CELLS, m, rollouts, np.random.default_rng(seed))


def test_a_pilot_tells_its_variance_components() -> None:
    pilot = read_pilot(pilot_table(150, 4), "confirm")
    found = pilot.spread
    assert found.base == pytest.approx(-3, abs=0.3)
    assert found.prompt == pytest.approx(1.0, rel=0.15)
    assert found.slope == pytest.approx(0.5, rel=0.2)
    assert found.interaction == pytest.approx(0.3, rel=0.25)
    assert found.overdispersion == pytest.approx(0.08, rel=0.15)
    assert found.sentences == pytest.approx(30, rel=0.05)
    assert found.length == pytest.approx(5, rel=0.15)
    assert np.allclose(pilot.effects, EFFECTS, atol=0.3)
    assert not pilot.assumed


def test_a_pilot_without_variance_between_prompts_says_so() -> None:
    calm = Spread(prompt=0.1, slope=0.0, interaction=0.0, overdispersion=0.01)
    found = read_pilot(pilot_table(150, 4, calm), "confirm").spread
    assert found.prompt < 0.2
    assert found.slope < 0.15
    assert found.overdispersion < 0.02


def test_what_a_pilot_cannot_tell_is_assumed_and_named() -> None:
    pilot = read_pilot(pilot_table(60, 1), "confirm")
    assert pilot.assumed == {"overdispersion": "no prompt has two rollouts in one cell"}
    assert pilot.spread.overdispersion == FACTORIAL_SPREAD.overdispersion
    table = pilot.table().set_index("component")
    assert table["assumed"].sum() == 1
    with pytest.raises(DesignError, match="it tells no variance"):
        read_pilot(pilot_table(5, 1).assign(backtracks=0), "confirm")


def test_loops_do_not_pass_for_overdispersion() -> None:
    loops = Spread(loops=0.05)
    found = read_pilot(pilot_table(100, 4, loops), "confirm").spread
    assert found.loops == pytest.approx(0.05, abs=0.01)
    assert found.overdispersion == pytest.approx(0.08, rel=0.2)


def test_power_grows_with_prompts_and_false_claims_stay_rare() -> None:
    pilot = read_pilot(pilot_table(60, 4), "confirm")
    table = power_table(pilot, Small()).set_index(["prompts", "planted"])
    assert table.loc[(100, 0.6), "claimed"] > table.loc[(30, 0.6), "claimed"] - 0.05
    assert table.loc[(100, 0.6), "claimed"] > 0.9
    assert table.loc[(100, 0.0), "accepted"] > 0.8
    assert table["false_claims"].max() < 0.15
    assert table.loc[(100, 0.0), "claimed"] < 0.1


def test_results_say_what_was_simulated() -> None:
    small = Small(prompts=(30,), studies=3)
    found = power_results(pilot_table(40, 1), small)
    assert found.headline.startswith("with 30 prompts x 4 rollouts an interaction is claimed at +0.6 in ")
    assert found.remarks == ["overdispersion was assumed, not estimated: no prompt has two rollouts in one cell."]
    assert set(found.tables) == {"power", "components"}


def test_intraclass_as_planted_and_unknown_without_repeats(rng: np.random.Generator) -> None:
    n = rng.integers(5, 40, 4000).astype(float)
    rate = rng.beta(0.3 * 9, 0.7 * 9, 4000)  # correlation 1 / (9 + 1)
    y = rng.binomial(n.astype(int), rate).astype(float)
    assert intraclass(y, n, np.arange(4000) // 4) == pytest.approx(0.1, abs=0.01)
    independent = rng.binomial(n.astype(int), 0.3).astype(float)
    assert intraclass(independent, n, np.arange(4000) // 4) == pytest.approx(0, abs=0.005)
    assert np.isnan(intraclass(y, n, np.arange(4000)))
    assert np.isnan(intraclass(np.zeros(4), np.full(4, 5.0), np.zeros(4, dtype=int)))
