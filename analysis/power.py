"""How many prompts and rollouts does a combination study need?

Estimates from a pilot how much prompts, directions and rollouts vary, then simulates the factorial of k directions
with a planted interaction and counts how often the rule claims it, accepts it as additive, and claims another pair
that does not interact. Components that the pilot cannot tell are assumed, and named.

    multidir run analysis/power --pilot outcomes.parquet --prompts 30 100 300 --rollouts 1 4

The pilot is an outcomes table as analysis/combination reads it, or a run folder of analysis/combination.

Writes power.csv, components.csv, figures. A minute or two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.errors import ConfigError
from multidir.experiments.combination.rules import CombinationRules
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "confirm"
    """Rows to read when the pilot has a column `split`."""
    k: int = 4
    """Directions of the design."""
    prompts: tuple[int, ...] = (30, 100, 300)
    """Prompts to try."""
    rollouts: tuple[int, ...] = (1, 4)
    """Rollouts in every cell to try."""
    deltas: tuple[float, ...] = (0.0, 0.3, 0.6, -0.6)
    """Interactions to plant, in log-odds."""
    studies: int = 400
    """Simulated studies of each kind."""
    rules: CombinationRules = field(default_factory=CombinationRules)
    """What counts as a claim."""
    seed: int = 0
    """Seed of the simulation."""

    def __post_init__(self) -> None:
        """Refuse a simulation of nothing."""
        if self.studies < 1 or not (self.prompts and self.rollouts and self.deltas):
            raise ConfigError(
                "--studies is at least 1, and --prompts, --rollouts and --deltas hold at least one number"
            )
        if min(self.prompts) < 2 or min(self.rollouts) < 1:
            raise ConfigError("a study has at least 2 prompts and 1 rollout; change --prompts or --rollouts")


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    pilot: Path
    """Outcomes table (.parquet or .csv), or a run folder of analysis/combination."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Simulate and return the run folder."""
    run = open_stage(cfg, "analysis/power")
    if run.complete:
        return run.path
    from multidir.experiments.combination.outcomes_table import read_outcomes
    from multidir.experiments.power.rates import power_results
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures

    with run:
        table = cfg.pilot / "outcomes.parquet" if cfg.pilot.is_dir() else cfg.pilot
        save_results(run, power_results(read_outcomes(table), cfg.science))
        save_figures(run, "analysis/power")
    return run.path
