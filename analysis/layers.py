"""At which block do directions steer best?

Steers the reasoning model with the direction of every block, found in either model, at several doses. Prediction of
the paper (Fig. B.1): around block 10 of 32, whichever model the direction is from.

    multidir run analysis/layers --prompts ... --directions runs/train/directions/... --direction-window five@-12

Writes outcomes.jsonl, cells.csv, verdicts.json, a figure. A minute or two on the tiny pair; resumable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Scoring
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "search"
    """Split of the problems."""
    direction_window: str = "five@-12"
    """Window of the directions, written as for train/directions."""
    doses: tuple[float, ...] = (1.0, 2.0)
    """Multiples of the reasoning model's mean residual norm at each site."""
    depths: tuple[float, float] = (0.25, 0.45)
    """Where the paper steers best, as shares of the depth: its block 10 of 32 ends at 0.34."""
    rollouts: int = 1
    """Texts per problem and cell."""
    max_new_tokens: int = 128
    """Length limit, in tokens."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    draws: int = 1000
    """Bootstrap resamples of problems."""
    seed: int = 4
    """Seed of the sampling and of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path
    """Run folder of data/prompts."""
    directions: Path
    """Run folder of train/directions, with directions of several sites."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Run the sweep and return the run folder."""
    run = open_stage(cfg, "analysis/layers")
    if run.complete:
        return run.path
    from multidir.experiments.results import save_results
    from multidir.experiments.steering.layer_sweep import layer_sweep
    from multidir.experiments.steering.setup import load_bench
    from multidir.methods.window_rules import parse_window
    from multidir.report.run_figures import save_figures
    from multidir.store.directions import load_directions

    with run:
        bench = load_bench(cfg.pair, "reasoning", cfg.prompts, cfg.directions, cfg.science, cfg.compute)
        directions = load_directions(cfg.directions / "directions.safetensors")
        window = parse_window(cfg.science.direction_window)
        found = layer_sweep(bench, directions, window, bench.lm.n_layers, cfg.science, run.file("outcomes.jsonl"))
        save_results(run, found)
        save_figures(run, "analysis/layers")
    return run.path
