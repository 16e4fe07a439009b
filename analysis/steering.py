"""Does the base model's direction make the reasoning model backtrack, and leave the base model alone?

Dose curves of the base-derived and the reasoning-derived direction on both models, at the site and window
that analysis/offsets chose, on problems that the choice has not seen; and random directions of equal norm
as the null. Prediction of the paper: an inverted U in the reasoning model, nothing in the base model.

    multidir run analysis/steering --prompts ... --directions ... --offsets runs/analysis/offsets/...

Writes outcomes.jsonl, cells.csv, verdicts.json, figures. A minute or two on the tiny pair; resumable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Scoring
from multidir.experiments.steering.rules import PaperRules
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "confirm"
    """Split of the problems."""
    doses: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    """Multiples of the reasoning model's mean residual norm at the site; the same vector for both models."""
    n_random: int = 20
    """Random directions, at the chosen dose."""
    rollouts: int = 1
    """Texts per problem and cell."""
    max_new_tokens: int = 128
    """Length limit, in tokens."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    rules: PaperRules = field(default_factory=PaperRules)
    """When a claim is supported, refuted or left open."""
    draws: int = 2000
    """Bootstrap resamples of problems."""
    seed: int = 2
    """Seed of the sampling, the random directions and the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path
    """Run folder of data/prompts."""
    directions: Path
    """Run folder of train/directions."""
    offsets: Path
    """Run folder of analysis/offsets."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Run the dose curves and return the run folder."""
    run = open_stage(cfg, "analysis/steering")
    if run.complete:
        return run.path
    from multidir.experiments.results import read_choice, save_results
    from multidir.experiments.steering.dose_curve import dose_curves
    from multidir.experiments.steering.setup import load_bench
    from multidir.report.run_figures import save_figures
    from multidir.store.directions import load_directions

    with run:
        parts = (cfg.prompts, cfg.directions, cfg.science, cfg.compute)
        benches = {role: load_bench(cfg.pair, role, *parts) for role in cfg.pair.roles}
        directions = load_directions(cfg.directions / "directions.safetensors")
        choice = read_choice(cfg.offsets)
        found = dose_curves(benches, directions, choice, cfg.science, run.file("outcomes.jsonl"))
        save_results(run, found)
        save_figures(run, "analysis/steering")
    return run.path
