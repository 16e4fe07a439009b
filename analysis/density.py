"""How dense is the projection along a trace, and does it rise before backtracking only?

Projects every token, centred, on the direction (cross-fitted by trace): the distribution over all tokens against those
before backtracking and against the keywords, AUROC token by token around the sentence's start, what a threshold would
announce, and coloured text. Claim of the paper (4.2, Fig. 6): high projections are dense and do not line up with
"Wait".

    multidir run analysis/density --activations runs/data/activations/... --site L10 --window -13:-8

Writes density.csv, profile.csv, alarms.csv, shaded.csv, verdicts.json, figures. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Means
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    label: str = "backtracking"
    """The behaviour."""
    site: str = "L10"
    """Where."""
    window: str = "-13:-8"
    """Window of the direction, written as for train/directions."""
    means: Means = field(default_factory=Means)
    """How means are taken."""
    keywords: tuple[str, ...] = ("wait", "hmm")
    """Words whose tokens are a group of their own."""
    first: int = -24
    """First token of the profile, relative to the sentence's first token."""
    last: int = 8
    """Last token of the profile."""
    reach: int = 24
    """A token announces the behaviour when a sentence with it starts at most this many tokens later."""
    samples: int = 2
    """Traces shown as coloured text."""
    folds: int = 5
    """Parts into which traces are split."""
    draws: int = 500
    """Bootstrap resamples of traces."""
    seed: int = 0
    """Seed of the split and of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Project the tokens and return the run folder."""
    run = open_stage(cfg, "analysis/density")
    if run.complete:
        return run.path
    from multidir.experiments.density.study import density_results
    from multidir.experiments.results import save_results
    from multidir.models.load import load_tokenizer
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore

    with run:
        store = ActivationStore.open(cfg.activations, verify=True)
        tokenizer = load_tokenizer(cfg.pair.source(cfg.pair.roles[-1]))
        save_results(run, density_results(store, tokenizer, cfg.science))
        save_figures(run, "analysis/density")
    return run.path
