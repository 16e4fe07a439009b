"""At which offset before a backtracking sentence does the direction live that causes backtracking?

Steers the reasoning model with the direction of every window at several doses, on problems of their own.
Prediction of the paper: windows before the sentence work, the window at its first token does not. Picks the
site, window and dose that later recipes confirm on other problems.

    multidir run analysis/offsets --prompts runs/data/prompts/... --directions runs/train/directions/...

Writes outcomes.jsonl, cells.csv, choice.json, verdicts.json, figures. Under a minute on the tiny pair; resumable.
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
    role: str = "base"
    """Model whose directions are tried."""
    doses: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    """Multiples of the reasoning model's mean residual norm at the site."""
    rollouts: int = 1
    """Texts per problem and cell."""
    max_new_tokens: int = 128
    """Length limit, in tokens."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    draws: int = 1000
    """Bootstrap resamples of problems."""
    seed: int = 1
    """Seed of the sampling and of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path
    """Run folder of data/prompts."""
    directions: Path
    """Run folder of train/directions."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Run the grid and return the run folder."""
    run = open_stage(cfg, "analysis/offsets")
    if run.complete:
        return run.path
    from multidir.experiments.results import save_results
    from multidir.experiments.steering.offset_grid import offset_grid
    from multidir.experiments.steering.setup import load_bench
    from multidir.report.run_figures import save_figures
    from multidir.store.directions import load_directions

    with run:
        bench = load_bench(cfg.pair, "reasoning", cfg.prompts, cfg.directions, cfg.science, cfg.compute)
        directions = load_directions(cfg.directions / "directions.safetensors")
        found = offset_grid(bench, directions, cfg.science, run.file("outcomes.jsonl"))
        save_results(run, found)
        save_figures(run, "analysis/offsets")
    return run.path
