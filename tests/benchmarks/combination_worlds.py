"""Simulated studies of the combination benchmark: every count that its table needs, on seeds used nowhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from multidir.experiments.combination.interaction import FactorialFit, fit_factorial
from multidir.experiments.combination.layout import Layout, read_layout
from multidir.experiments.combination.mechanisms import MECHANISMS, Mechanism, Shift, hazards, pooled
from multidir.experiments.combination.pair_axes import pair_axes
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.tally import Tally
from multidir.experiments.combination.verdicts import combine
from multidir.experiments.power.simulate import FACTORIAL_SPREAD, LADDER_SPREAD, Spread, World, expected, simulate
from multidir.experiments.protocol.design import Cells, protocol
from multidir.records.combination import Combination
from multidir.stats.bootstrap import draw_weights
from multidir.stats.contrast import Contrast, holm
from multidir.stats.estimate import Estimate

CONFIRM = 20260131
"""Root of every seed here. The rule was chosen on other seeds."""
RULES = CombinationRules()
EFFECTS = (0.7, 0.9, 0.5, 0.8)
SIZES = ((30, 1), (30, 4), (100, 1), (100, 4), (300, 1), (300, 4))
FACTORIAL = protocol(4, ladders=False)
FULL = protocol(4, flips=True, n_random=20)
PAIR = protocol(2)
SHAM = protocol(2, flips=True, n_random=20)
LIMIT_PROMPTS = 20000
"""Prompts of the table without sampling noise whose estimates the intervals should cover."""


@dataclass(frozen=True)
class Settings:
    """Of the whole pipeline."""

    rules: CombinationRules = RULES
    draws: int = 1000
    shuffles: int = 40
    seed: int = 0
    pairs: tuple[str, ...] = ()


@dataclass
class AxisOne:
    """Counts over simulated factorials of one world and size."""

    runs: int = 0
    families: int = 0
    """Runs that claim a pair that does not interact."""
    nulls: int = 0
    accepted: int = 0
    """Pairs that do not interact and are accepted as additive."""
    planted: int = 0
    claimed: int = 0
    """Planted pairs claimed with their sign."""
    intervals: int = 0
    covered: int = 0
    """Intervals that hold the mean over prompts that was planted."""
    switched: int = 0
    """Runs whose omnibus test rejected."""


@dataclass(frozen=True)
class FactorialWorld:
    """A world of on/off effects that add on log-odds but for the planted pairs."""

    name: str
    effects: tuple[float, ...] = EFFECTS
    planted: dict[tuple[int, int], float] = field(default_factory=dict)
    spread: Spread = FACTORIAL_SPREAD


FACTORIAL_WORLDS = (
    FactorialWorld("log-odds add"),
    FactorialWorld("others planted", planted={(0, 1): 0.6, (2, 3): -0.6}),
    FactorialWorld("no effect", (0.0,) * 4, spread=Spread(slope=0.0, interaction=0.0)),
    FactorialWorld("with loops", spread=replace(FACTORIAL_SPREAD, loops=0.02)),
)
LADDER_NULLS: dict[str, Shift] = {"hazards add (Bliss)": hazards, "one read-out, threshold (Loewe)": pooled}
"""Worlds that are additive in another sense: an interaction claimed there is a false one."""


def axis_one(world: FactorialWorld, m: int, rollouts: int, runs: int) -> AxisOne:
    """Simulate factorials and count claims, acceptances and coverage."""
    truth = World(world.effects, world.planted, spread=world.spread)
    count = AxisOne()
    for run in range(runs):
        rng = np.random.default_rng([CONFIRM, FACTORIAL_WORLDS.index(world), m, rollouts, run])
        layout, fit = _fit(simulate(truth, FACTORIAL, m, rollouts, rng))
        _count(count, layout, fit, world)
    return count


def _fit(tally: Tally) -> tuple[Layout, FactorialFit]:
    layout = read_layout(tally)
    return layout, fit_factorial(tally, layout, RULES.check_alpha)


def _count(count: AxisOne, layout: Layout, fit: FactorialFit, world: FactorialWorld) -> None:
    found: dict[tuple[int, int], Contrast] = {pair: fit.delta(*pair) for pair in layout.pairs}
    adjusted = holm(np.array([c.p_beyond(RULES.inner_margin) for c in found.values()]))
    claims = dict(zip(found, adjusted < RULES.alpha, strict=True))
    count.runs += 1
    count.switched += fit.others_off
    count.families += any(claims[pair] for pair in found if pair not in world.planted)
    for pair, contrast in found.items():
        planted, interval = world.planted.get(pair, 0.0), contrast.estimate()
        count.intervals += 1
        count.covered += not interval.excludes(planted)
        if planted:
            count.planted += 1
            count.claimed += bool(claims[pair]) and contrast.value * planted > 0
        else:
            count.nulls += 1
            count.accepted += contrast.p_within(RULES.outer_margin) < RULES.alpha


def labels(
    shift: Shift, m: int, rollouts: int, runs: int, key: int, cells: Cells = FULL, miscalibration: float = 0.0
) -> Iterator[list[Combination]]:
    """Verdicts of the whole pipeline on every pair; the mechanism is that of the first."""
    others = (0.0, 0.0, 0.7, 0.5)[: cells.doses.shape[1]]
    world = World(others, mechanism=shift, spread=LADDER_SPREAD, miscalibration=miscalibration)
    for run in range(runs):
        rng = np.random.default_rng([CONFIRM, 100 + key, m, rollouts, run])
        found = combine(simulate(world, cells, m, rollouts, rng), Settings(seed=run))
        yield [pair.label for pair in found.pairs]


def confusion(m: int, rollouts: int, runs: int, say: Callable[[str], None]) -> dict[Mechanism, Counter[Combination]]:
    """How often each mechanism gets each label."""
    found = {}
    for key, mechanism in enumerate(MECHANISMS):
        found[mechanism] = Counter(verdicts[0] for verdicts in labels(mechanism.shift, m, rollouts, runs, key))
        counts = ", ".join(f"{label.value} {n}" for label, n in found[mechanism].most_common())
        say(f"  {mechanism.name} ({mechanism.label.value}): {counts}")
    return found


SHAMS = tuple((h, off) for h in (1.0, 2.0, 4.0, 8.0) for off in (0.0, 0.15, -0.15))
"""Hill exponent and dose error of one direction paired with itself."""


def sham_synergies(h: float, off: float, m: int, rollouts: int, runs: int) -> int:
    """How often a direction paired with itself is called synergy."""
    key = 50 + SHAMS.index((h, off))
    found = labels(partial(pooled, steepness=h), m, rollouts, runs, key, SHAM, off)
    return sum(verdicts[0] is Combination.SYNERGY for verdicts in found)


EXPONENTS: dict[str, Shift] = {
    "1/p = 1": pooled,
    "1/p = 0.5": partial(pooled, p=2.0),
    "1/p = 0.25": partial(pooled, p=4.0),
    "1/p = 1.35": partial(pooled, p=1 / 1.35),
    "1/p = 1, Hill 2": partial(pooled, steepness=2.0),
    "1/p = 1, unequal curves": next(m.shift for m in MECHANISMS if m.name.endswith("unequal slopes")),
}


def exponent_coverage(name: str, m: int, rollouts: int, runs: int) -> tuple[int, float]:
    """How many of so many intervals of 1/p hold what endless prompts give, and that value."""
    world = World((0.0, 0.0), mechanism=EXPONENTS[name], spread=LADDER_SPREAD)
    limit = expected(world, PAIR, LIMIT_PROMPTS, np.random.default_rng(CONFIRM))
    truth = _exponent(limit, 2, np.random.default_rng(0)).value
    hits = 0
    for run in range(runs):
        rng = np.random.default_rng([CONFIRM, 200 + list(EXPONENTS).index(name), m, rollouts, run])
        found = _exponent(simulate(world, PAIR, m, rollouts, rng), 1000, rng)
        hits += found.low <= truth <= found.high
    return hits, truth


def _exponent(tally: Tally, draws: int, rng: np.random.Generator) -> Estimate:
    weights = draw_weights(len(tally.prompts), draws, rng)
    return pair_axes(tally, read_layout(tally), (0, 1), weights, RULES, False).exponent
