"""How do the directions of models, layers, offsets, labels and categories lie to each other?

Cosines between single directions, with intervals that resample traces, and principal angles between the spans of all
labels' directions, beside what noise and chance give. One thing is varied at a time, the rest stays at one site,
window and label. The paper reports one of these numbers: the two models' backtracking directions have cosine 0.74.

    multidir run analysis/geometry --activations runs/data/activations/... --site L10 --windows -13:-8 five@0

Writes cosines.csv, angles.csv, spans.csv, verdicts.json, figures. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Means
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    label: str = "backtracking"
    """The label that stays when sites, windows or categories are varied."""
    site: str = "L10"
    """The site that stays."""
    window: str = "-13:-8"
    """The window that stays, one of `windows`."""
    windows: tuple[str, ...] = ("-13:-8",)
    """Token windows, written as for train/directions."""
    means: Means = field(default_factory=Means)
    """How means are taken."""
    min_cosine: float = 0.5
    """The two models' directions *agree* when the whole interval of their cosine is above this."""
    draws: int = 500
    """Bootstrap resamples of traces."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Compare the directions and return the run folder."""
    run = open_stage(cfg, "analysis/geometry")
    if run.complete:
        return run.path
    from multidir.experiments.directions.geometry import geometry_tables, headline
    from multidir.experiments.directions.geometry_pairs import Geometry, Home
    from multidir.experiments.paper.claims import models_agree
    from multidir.experiments.results import Results, save_results
    from multidir.methods.window_rules import parse_window
    from multidir.records.site import Site
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore

    with run:
        s = cfg.science
        store = ActivationStore.open(cfg.activations, verify=True)
        home = Home(Site.parse(s.site), parse_window(s.window), s.label)
        windows = [parse_window(text) for text in s.windows]
        tables = geometry_tables(Geometry(store, home, windows, s.means, s.draws, s.seed))
        verdicts = models_agree(tables["cosines"], s.label, s.min_cosine)
        save_results(run, Results(tables, headline(tables, s.label), verdicts))
        save_figures(run, "analysis/geometry")
    return run.path
