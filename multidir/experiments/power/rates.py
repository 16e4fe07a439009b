"""Power and false claims of a factorial, simulated in the world that a pilot shows."""

from __future__ import annotations

from itertools import combinations, product
from typing import Protocol

import numpy as np
import pandas as pd

from multidir.experiments.combination.interaction import fit_factorial
from multidir.experiments.combination.layout import read_layout
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.tally import Tally
from multidir.experiments.power.pilot import Pilot, read_pilot
from multidir.experiments.power.simulate import World, simulate
from multidir.experiments.protocol.design import protocol
from multidir.experiments.results import Results
from multidir.progress import each
from multidir.stats.contrast import holm


class Science(Protocol):
    """The settings of analysis/power."""

    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def k(self) -> int: ...  # noqa: D102
    @property
    def prompts(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def rollouts(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def deltas(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def studies(self) -> int: ...  # noqa: D102
    @property
    def rules(self) -> CombinationRules: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def power_results(frame: pd.DataFrame, science: Science) -> Results:
    """Components of a pilot and the power of every design size, as a run folder keeps them."""
    pilot = read_pilot(frame, science.split)
    table = power_table(pilot, science)
    remarks = [f"{name} was assumed, not estimated: {why}." for name, why in pilot.assumed.items()]
    return Results({"power": table, "components": pilot.table()}, _headline(table), remarks=remarks)


def power_table(pilot: Pilot, science: Science) -> pd.DataFrame:
    """Simulate the factorial of k directions with one planted pair, for every size and every interaction.

    Returns:
        prompts, rollouts, planted; `claimed` share of studies that claim the planted interaction with its sign (any,
        for a planted 0), `accepted` share that accept it as additive, `false_claims` share that claim any of the other
        pairs, studies.
    """
    effects = tuple(pilot.effects[j % len(pilot.effects)] for j in range(science.k))
    cells = protocol(science.k, ladders=False)
    rows = []
    for m, rollouts, delta in product(science.prompts, science.rollouts, science.deltas):
        world = World(effects, {(0, 1): delta}, spread=pilot.spread)
        rng = np.random.default_rng([science.seed, m, rollouts])
        studies = each(range(science.studies), f"{m} prompts x {rollouts} rollouts, {delta:+g}", "study")
        claims = [claims_of(simulate(world, cells, m, rollouts, rng), delta, science.rules) for _ in studies]
        claimed, accepted, false = np.mean(claims, axis=0).tolist()
        size = {"prompts": m, "rollouts": rollouts, "planted": delta}
        rows.append(
            {**size, "claimed": claimed, "accepted": accepted, "false_claims": false, "studies": science.studies}
        )
    return pd.DataFrame(rows)


def claims_of(tally: Tally, delta: float, rules: CombinationRules) -> tuple[bool, bool, bool]:
    """Whether the first pair is claimed with the sign planted, accepted as additive, and any other pair claimed."""
    fit = fit_factorial(tally, read_layout(tally), rules.check_alpha)
    pairs = list(combinations(range(len(tally.directions)), 2))
    found = [fit.delta(*pair) for pair in pairs]
    claimed = holm(np.array([c.p_beyond(rules.inner_margin) for c in found])) < rules.alpha
    right = bool(claimed[0]) and (delta == 0 or found[0].value * delta > 0)
    return right, found[0].p_within(rules.outer_margin) < rules.alpha, bool(claimed[1:].any())


def _headline(table: pd.DataFrame) -> str:
    m, r = int(table["prompts"].max()), int(table["rollouts"].max())
    largest = table[table["prompts"].eq(m) & table["rollouts"].eq(r)]
    parts = [f"{row.planted:+g} in {row.claimed:.0%}" for row in largest.itertuples() if row.planted != 0]
    false = float(largest["false_claims"].mean())
    return (
        f"with {m} prompts x {r} rollouts an interaction is claimed at {', '.join(parts)} of studies, "
        f"a false one in {false:.1%}"
    )
