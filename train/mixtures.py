"""Which mixture of directions moves backtracking most, for how far it moves everything else?

Learns weights over up to 64 directions by gradient through written texts: log-odds of the behaviour's tokens where it
begins, less a price on the divergence at all other sentences, along a path of sparsities. On held-out prompts the
mixture meets the best single direction, sum, mean, first principal component, linear read-out, random mixture and a
free vector, at equal p95 divergence and at equal norm. Prediction: it beats the singles, and not the linear read-out.

    multidir run train/mixtures --traces runs/data/traces/... --labels runs/data/annotate/... --directions ...

Writes directions.safetensors, contest.csv, weights.csv, verdicts.json, a figure. A minute or two on the tiny pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    names: tuple[str, ...] = ()
    """Directions to mix, all at one site; none given: all of the set."""
    words: tuple[str, ...] = ("wait", "hmm")
    """With which a sentence of the behaviour begins."""
    suppress: bool = False
    """Make the behaviour rarer instead of more frequent."""
    budget: float = 0.5
    """95th percentile, over other sentences, of the divergence that every contender is brought to, in nats."""
    kl_price: float = 2.0
    """Log-odds that a nat of mean divergence elsewhere costs while learning."""
    sparsities: tuple[float, ...] = (0.0, 0.3, 1.0)
    """Prices of |w|_1, the first of them for the mixture that the verdict is about."""
    texts: int = 60
    """Texts that are read, evenly spaced over those that there are."""
    steps: int = 40
    """Gradient steps of each mixture."""
    rate: float = 0.05
    """Of learning, in multiples of the mean residual norm."""
    held_out: float = 0.4
    """Share of the prompts that is measured on and not learned from."""
    draws: int = 2000
    """Bootstrap resamples of prompts."""
    seed: int = 0
    """Seed of the split, the random contenders and the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/traces."""
    labels: Path
    """Run folder of data/annotate on them."""
    directions: Path
    """Run folder of the directions, with the norms of the residual stream."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Learn, compare and return the run folder."""
    run = open_stage(cfg, "train/mixtures")
    if run.complete:
        return run.path
    from multidir.experiments.mixture_study import mixture_results
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures
    from multidir.store.directions import save_directions

    with run:
        found = mixture_results(cfg)
        save_directions(run.file("directions.safetensors"), found.directions)
        save_results(run, found.results)
        save_figures(run, "train/mixtures")
    return run.path
