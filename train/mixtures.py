"""Which mixture of directions moves backtracking most, for how far it moves everything else?

Learns weights over up to 64 directions by gradient through written texts, within a budget of divergence at all other
sentences, along a path of sparsities; and, asked to, by CMA-ES on whole texts. On prompts and seeds that it has not
seen the mixture meets the best single direction, sum, mean, first principal component, linear read-out, random
mixture and a free vector, at equal p95 divergence and at equal norm. Prediction: it beats the singles, and not the
linear read-out.

    multidir run train/mixtures --traces ... --labels ... --directions ... --prompts ... --generations 6

Writes directions.safetensors, contest.csv, front.csv, weights.csv, verdicts.json, figures. Minutes on the tiny pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.mixtures.settings import Learning, Whole
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    names: tuple[str, ...] = ()
    """Directions to mix; none given: the first `k`."""
    k: int = 0
    """How many of them, controls left out; 0: all."""
    layers: tuple[str, ...] = ()
    """Layers at each of which every direction has a weight of its own; none given: each at its own site."""
    words: tuple[str, ...] = ("wait", "hmm")
    """With which a sentence of the behaviour begins."""
    suppress: bool = False
    """Make the behaviour rarer instead of more frequent."""
    learning: Learning = field(default_factory=Learning)
    """How weights are learned by gradient."""
    whole: Whole = field(default_factory=Whole)
    """How whole texts are searched and confirmed on, where there are problems."""
    draws: int = 2000
    """Bootstrap resamples of prompts."""
    seed: int = 0
    """Seed of the split, the random contenders, the search and the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/traces."""
    labels: Path
    """Run folder of data/annotate on them."""
    directions: Path
    """Run folder of the directions, with the norms of the residual stream."""
    prompts: Path | None = None
    """Run folder of data/prompts: with it, contenders write whole texts on problems that nothing was chosen on."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Learn, compare and return the run folder."""
    run = open_stage(cfg, "train/mixtures")
    if run.complete:
        return run.path
    from multidir.experiments.mixtures.study import mixture_results
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures
    from multidir.store.directions import save_directions

    with run:
        found = mixture_results(cfg, run.file)
        save_directions(run.file("directions.safetensors"), found.directions)
        save_results(run, found.results)
        save_figures(run, "train/mixtures")
    return run.path
