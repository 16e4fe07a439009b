"""Simulated combination tables for the tests: small enough to be quick, large enough to be decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

from multidir.experiments.combination.mechanisms import MECHANISMS, Shift
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.tally import Tally
from multidir.experiments.combination.verdicts import Combined, combine
from multidir.experiments.power.simulate import LADDER_SPREAD, World, simulate, simulate_table
from multidir.experiments.protocol.design import Cells, protocol

SHIFTS: dict[str, Shift] = {m.name: m.shift for m in MECHANISMS}
K4 = protocol(4, flips=True, n_random=20)
K2 = protocol(2)


@dataclass(frozen=True)
class Settings:
    rules: CombinationRules = field(default_factory=CombinationRules)
    draws: int = 1000
    shuffles: int = 20
    seed: int = 0
    split: str = "confirm"
    pairs: tuple[str, ...] = ()


def world(mechanism: str, **changes: object) -> World:
    """Two directions under a mechanism, two more that add to everything."""
    return World((0.0, 0.0, 0.7, 0.5), mechanism=SHIFTS[mechanism], spread=LADDER_SPREAD, **changes)  # type: ignore[arg-type]


@cache
def study(mechanism: str, m: int = 100, rollouts: int = 4, seed: int = 11) -> Combined:
    return combine(tally(mechanism, m, rollouts, seed), Settings())


def tally(mechanism: str, m: int = 100, rollouts: int = 4, seed: int = 11, cells: Cells = K4) -> Tally:
    return simulate(_fitting(mechanism, cells), cells, m, rollouts, np.random.default_rng(seed))


def table(mechanism: str, m: int = 40, rollouts: int = 2, seed: int = 11, cells: Cells = K2) -> pd.DataFrame:
    return simulate_table(_fitting(mechanism, cells), cells, m, rollouts, np.random.default_rng(seed))


def _fitting(mechanism: str, cells: Cells) -> World:
    k = cells.doses.shape[1]
    return World((0.0, 0.0, 0.7, 0.5)[:k], mechanism=SHIFTS[mechanism], spread=LADDER_SPREAD)
