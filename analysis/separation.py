"""Does a token's projection on the direction tell that backtracking comes next?

Cross-fitted AUROC of the projection, sentences before backtracking against all others, split by trace, for
every model, site and window of offsets, with intervals that resample traces and allow for their training as well as
testing. The paper reports no such number. 0.5 is chance.

    multidir run analysis/separation --activations runs/data/activations/... --windows -13:-8 0:4

Writes separation.csv, scores.csv, figures. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    label: str = "backtracking"
    """The behaviour."""
    annotator: str = ""
    """Whose labels; empty where the store has those of one annotator only."""
    windows: tuple[str, ...] = ("-13:-8",)
    """Token offsets first:last, both included, counted from the sentence's first token (0)."""
    sites: tuple[str, ...] = ()
    """Sites of the store; none given: all."""
    folds: int = 5
    """Parts into which traces are split."""
    draws: int = 1000
    """Bootstrap resamples of traces."""
    seed: int = 0
    """Seed of the split and of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations or data/relabel, or a store."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Measure the separation and return the run folder."""
    run = open_stage(cfg, "analysis/separation")
    if run.complete:
        return run.path
    from multidir.experiments.directions.find import choose_annotator, chosen_sites
    from multidir.experiments.directions.separation import best_separation, separation_table
    from multidir.experiments.results import Results, save_results
    from multidir.methods.window_rules import parse_window
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore

    with run:
        s = cfg.science
        store = ActivationStore.open(cfg.activations, verify=True)
        sites, windows = chosen_sites(store, s.sites), [parse_window(text) for text in s.windows]
        where = (store, choose_annotator(store, s.annotator), s.label, sites, windows)
        table, scores = separation_table(*where, s.folds, s.draws, s.seed)
        save_results(run, Results({"separation": table, "scores": scores}, best_separation(table)))
        save_figures(run, "analysis/separation")
    return run.path
