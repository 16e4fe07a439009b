"""Is it this direction that makes the reasoning model backtrack, or would any push of its size do?

The five baselines of the paper's Fig. 4 (mean activation, noise drawn anew at every token, self-amplification, and the
directions of two other labels), and three nulls that it lacks: random directions, random directions with the
activations' covariance, and directions of shuffled labels. Prediction of the paper: the direction wins by far.

    multidir run analysis/baselines --prompts ... --directions ... --activations ... --offsets ...

Writes outcomes.jsonl, cells.csv, verdicts.json, a figure. Minutes on the tiny pair; resumable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.experiments.settings import Means, Scoring
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "confirm"
    """Split of the problems."""
    role: Literal["base", "reasoning"] = "base"
    """Model whose direction is compared, and whose activations the nulls are drawn like."""
    doses: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    """Multiples of the reasoning model's mean residual norm at the site."""
    labels: tuple[str, ...] = ("deduction", "initializing")
    """Labels whose directions are baselines."""
    n_null: int = 10
    """Directions of each null, at the chosen dose."""
    covariance_rows: int = 2000
    """Tokens whose activations lend the second null its covariance."""
    self_rule: Literal["unit", "scaled"] = "unit"
    """`unit`: as long as the dose, along each activation (the paper's code). `scaled`: activation times dose."""
    mean_from: Literal["windows", "tokens"] = "windows"
    """`windows`: mean over windows before labelled sentences (the paper's code). `tokens`: over all tokens."""
    mean_offset: int = -20
    """Offset of these windows."""
    means: Means = field(default_factory=Means)
    """How differences of means of shuffled labels are taken."""
    store_annotator: str = ""
    """Whose labels of the store; empty where it has those of one annotator only."""
    rollouts: int = 1
    """Texts per problem and cell."""
    max_new_tokens: int = 128
    """Length limit, in tokens."""
    scoring: Scoring = field(default_factory=Scoring)
    """How texts are scored."""
    draws: int = 2000
    """Bootstrap resamples of problems."""
    seed: int = 3
    """Seed of the sampling, the null directions and the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path
    """Run folder of data/prompts."""
    directions: Path
    """Run folder of train/directions."""
    activations: Path
    """Run folder of data/activations, or a store."""
    offsets: Path
    """Run folder of analysis/offsets."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Run the comparison and return the run folder."""
    run = open_stage(cfg, "analysis/baselines")
    if run.complete:
        return run.path
    from multidir.experiments.results import read_choice, save_results
    from multidir.experiments.steering.baselines import baselines
    from multidir.experiments.steering.setup import load_bench
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore
    from multidir.store.directions import load_directions

    with run:
        bench = load_bench(cfg.pair, "reasoning", cfg.prompts, cfg.directions, cfg.science, cfg.compute)
        directions = load_directions(cfg.directions / "directions.safetensors")
        store, choice = ActivationStore.open(cfg.activations, verify=True), read_choice(cfg.offsets)
        found = baselines(bench, directions, choice, store, cfg.science, run.file("outcomes.jsonl"))
        save_results(run, found)
        save_figures(run, "analysis/baselines")
    return run.path
