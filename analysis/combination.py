"""Do the directions add or interact?

Two axes for each pair, because an on/off design alone cannot tell an interaction from a threshold: the interaction
on log-odds from a factorial, and the dose of one direction that the pair is equivalent to, from dose ladders. A
frozen rule and controls turn them into one verdict: additive, synergy, antagonism, threshold pooling,
independent causes, norm only, redundant, undetermined or invalid. Prediction: none; every one of them is possible.

    multidir run analysis/combination --outcomes outcomes.parquet

The table has one row per rollout: prompt, rollout, one column dose_NAME per direction, sentences, backtracks, and if
you have them loop, coherent, split, category, model and control (multidir/experiments/outcomes_table.py says how
each is written). Run every direction alone at a, 1.41 a, 2 a and 2.83 a, all combinations at a, and nothing at 0,
on the same prompts; and 20 random pairs with control = random:1 to random:20.

Writes pairs.csv, ladders.csv, moebius.csv, controls.csv, cells.csv, verdicts.json, figures. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.errors import ConfigError
from multidir.experiments.combination_rules import CombinationRules
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "confirm"
    """Rows to read when the table has a column `split`."""
    rules: CombinationRules = field(default_factory=CombinationRules)
    """What counts as a claim."""
    draws: int = 2000
    """Bootstrap resamples of prompts."""
    shuffles: int = 100
    """Tables with shuffled cells, as a control."""
    seed: int = 0
    """Seed of the resampling and the shuffling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    outcomes: Path | None = None
    """Table of outcomes, .parquet or .csv."""
    cosines: Path | None = None
    """How the directions lie to each other: .csv with first, second, cosine, or a directions.safetensors."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Analyse the table and return the run folder."""
    if cfg.outcomes is None:
        raise ConfigError(
            "analysis/combination needs --outcomes FILE.parquet or FILE.csv, one row per rollout with prompt, rollout, "
            "dose_NAME for each direction, sentences and backtracks; --help says more"
        )
    run = open_stage(cfg, "analysis/combination")
    if run.complete:
        return run.path
    from multidir.experiments.combination_run import combination_results, read_cosines
    from multidir.experiments.outcomes_table import direction_names, read_outcomes
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures

    with run:
        frame = read_outcomes(cfg.outcomes)
        cosines = read_cosines(cfg.cosines, direction_names(frame)) if cfg.cosines else None
        save_results(run, combination_results(frame, cfg.science, cosines))
        frame.to_parquet(run.file("outcomes.parquet"), index=False)
        save_figures(run, "analysis/combination")
    return run.path
