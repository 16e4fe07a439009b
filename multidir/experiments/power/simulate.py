"""Simulated outcomes of a known mechanism: prompts that differ, directions that work better on some, rollouts alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import expit

from multidir.experiments.combination.mechanisms import Shift
from multidir.experiments.combination.tally import Tally
from multidir.experiments.protocol.design import Cells
from multidir.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Spread:
    """How much prompts, rollouts and sentences vary; log-odds unless said otherwise."""

    base: float = -3.0
    """Log-odds of backtracking at no dose."""
    prompt: float = 1.0
    """Standard deviation of prompts at no dose."""
    slope: float = 0.5
    """Standard deviation between prompts of each direction's effect at its own dose, on top of its mean."""
    interaction: float = 0.3
    """Standard deviation between prompts of each pair's interaction."""
    gain: float = 0.0
    """Standard deviation of the log of a factor on everything that steering does to a prompt."""
    overdispersion: float = 0.08
    """Correlation of sentences within one rollout (beta-binomial)."""
    sentences: float = 30.0
    """Mean sentences of a rollout."""
    length: float = 5.0
    """Shape of the negative binomial of sentences: variance mean + mean^2 / length."""
    loops: float = 0.0
    """Share of rollouts that fall into a loop, in any cell."""


FACTORIAL_SPREAD = Spread()
"""As in a pilot of on/off designs: each direction varies between prompts by more than half its effect."""
LADDER_SPREAD = Spread(slope=0.15, interaction=0.15, gain=0.3, loops=0.005)
"""As along a dose ladder: a prompt answers more or less to all steering, and a little differently to each."""


@dataclass(frozen=True, eq=False)
class World:
    """What the directions do on average, and how much that varies."""

    effects: tuple[float, ...]
    """Log-odds of each direction at its own dose, in proportion to dose; of those in `mechanism`, none."""
    interactions: dict[tuple[int, int], float] = field(default_factory=dict)
    """Log-odds added when two directions are both there."""
    mechanism: Shift | None = None
    """What directions 0 and 1 do together, in place of their effects."""
    spread: Spread = FACTORIAL_SPREAD
    cell_loops: dict[int, float] = field(default_factory=dict)
    """Share of looping rollouts of single cells, instead of the common one."""
    miscalibration: float = 0.0
    """The dose of direction 1 is this much larger than intended, as a share."""

    def log_odds(self, cells: Cells, m: int, rng: np.random.Generator) -> FloatArray:
        """(m, c) float64: of m prompts drawn from this world."""
        s, v = self.spread, np.maximum(cells.doses, 0.0)
        real = np.array([c == "" for c in cells.controls])
        on = (v > 0).astype(np.float64) * real[:, None]
        used = v * (1 + self.miscalibration * (np.arange(v.shape[1]) == 1)) * real[:, None]
        alpha = s.base + s.prompt * rng.standard_normal((m, 1))
        shift = np.broadcast_to(used @ np.array(self.effects), (m, len(v)))
        if self.mechanism is not None:
            shift = shift + self.mechanism(used[:, 0], used[:, 1], alpha)
        for (j, k), extra in self.interactions.items():
            shift = shift + extra * on[:, j] * on[:, k]
        shift = shift * np.exp(s.gain * rng.standard_normal((m, 1)) - s.gain**2 / 2)
        shift = shift + s.slope * rng.standard_normal((m, v.shape[1])) @ np.minimum(used, 1.0).T
        for j, k in combinations(range(v.shape[1]), 2):
            shift = shift + s.interaction * rng.standard_normal((m, 1)) * on[:, j] * on[:, k]
        return np.asarray(alpha + shift + _control_shift(cells, rng))


def _control_shift(cells: Cells, rng: np.random.Generator) -> FloatArray:
    """(c,) log-odds of random vectors in place of directions: small effects that add. Flipped directions push down."""
    shift = np.where((cells.doses < 0).any(axis=1), -0.3, 0.0)
    for name in dict.fromkeys(c for c in cells.controls if c.startswith("random")):
        rows = np.array([c == name for c in cells.controls])
        shift[rows] = (cells.doses[rows] > 0) @ (0.1 * rng.standard_normal(cells.doses.shape[1]))
    return np.asarray(shift)


def simulate(
    world: World, cells: Cells, m: int, rollouts: int, rng: np.random.Generator, names: Sequence[str] = ()
) -> Tally:
    """One table of m prompts with so many rollouts in every cell.

    Args:
        world: What is true.
        cells: Doses in multiples of each direction's own dose.
        m: Prompts.
        rollouts: In every cell.
        rng: Source of everything random.
        names: Of the directions.
    """
    y, n, looped = _rollouts(world, cells, m, rollouts, rng)
    y = np.where(looped, 0.0, y)
    shape = y.shape
    return Tally(
        directions=tuple(names) or _names(cells),
        doses=cells.doses,
        controls=cells.controls,
        prompts=tuple(f"p{i}" for i in range(m)),
        y=y.sum(axis=2),
        n=n.sum(axis=2),
        half_y=y[..., ::2].sum(axis=2),
        half_n=n[..., ::2].sum(axis=2),
        rollouts=np.full(shape[:2], float(rollouts)),
        loops=looped.sum(axis=2).astype(np.float64),
        incoherent=np.zeros(shape[:2]),
    )


def simulate_table(
    world: World, cells: Cells, m: int, rollouts: int, rng: np.random.Generator, names: Sequence[str] = ()
) -> pd.DataFrame:
    """The same as an outcomes table, one row per rollout, as a user would bring it."""
    y, n, looped = _rollouts(world, cells, m, rollouts, rng)
    prompt, cell, rollout = (index.ravel() for index in np.indices(y.shape))
    doses = {f"dose_{d}": cells.doses[cell, j] for j, d in enumerate(names or _names(cells))}
    return pd.DataFrame(
        {
            "prompt": [f"p{i}" for i in prompt],
            "rollout": rollout,
            **doses,
            "control": np.array(cells.controls, dtype=object)[cell],
            "sentences": n.ravel().astype(np.int64),
            "backtracks": y.ravel().astype(np.int64),
            "loop": looped.ravel().astype(np.int64),
        }
    )


def _names(cells: Cells) -> tuple[str, ...]:
    return tuple(f"d{j + 1}" for j in range(cells.doses.shape[1]))


def _rollouts(
    world: World, cells: Cells, m: int, rollouts: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Backtracks, sentences, and which rollouts loop, each (m, c, rollouts); most sentences of a loop backtrack."""
    s = world.spread
    p = expit(world.log_odds(cells, m, rng))[..., None]
    shape = (m, len(cells.doses), rollouts)
    n = 1.0 + rng.negative_binomial(s.length, s.length / (s.length + s.sentences - 1), shape)
    concentration = (1 - s.overdispersion) / s.overdispersion
    rate = rng.beta(np.maximum(p * concentration, 1e-12), np.maximum((1 - p) * concentration, 1e-12), shape)
    chance = np.full(shape[1], s.loops)
    for cell, share in world.cell_loops.items():
        chance[cell] = share
    looped = rng.random(shape) < chance[:, None]
    y = rng.binomial(n.astype(np.int64), np.where(looped, 0.8, rate)).astype(np.float64)
    return y, n, looped


def expected(world: World, cells: Cells, m: int, rng: np.random.Generator) -> Tally:
    """The table without sampling noise: a million sentences per cell, as many backtracks as expected.

    With very many prompts its estimates are what intervals should cover.
    """
    n = np.full((m, len(cells.doses)), 1e6)
    y, none = n * expit(world.log_odds(cells, m, rng)), np.zeros_like(n)
    prompts = tuple(f"p{i}" for i in range(m))
    return Tally(_names(cells), cells.doses, cells.controls, prompts, y, n, y / 2, n / 2, none + 1, none, none)
