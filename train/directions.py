"""Which directions separate the tokens before a backtracking sentence from the tokens before any sentence?

Difference of means over windows of token offsets before a sentence's first token, for every model, site, window and
label: v = mean over windows before that label - mean over windows before all labelled sentences (arXiv 2507.12638,
Eq. 3). Norms and the cosine between the two models come with intervals that resample traces. For everything else that
may be worth steering (probe normals, axes, latents), measured and ordered beside these, see train/candidates.

    multidir run train/directions --activations runs/data/activations/... --windows -13:-8 five@-4 --rules paper-code

Writes directions.safetensors, directions.csv, norms.json. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Means
from multidir.recipes.stage import open_stage
from multidir.store.atomic import write_json_atomic
from multidir.store.directions import save_directions


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    labels: tuple[str, ...] = ()
    """Labels to find a direction for; none given: every label that has rows."""
    annotator: str = ""
    """Whose labels; empty where the store has those of one annotator only."""
    sites: tuple[str, ...] = ()
    """Sites of the store; none given: all."""
    windows: tuple[str, ...] = ("-13:-8",)
    """Token offsets first:last, both included, counted from the sentence's first token (0). `six@-12` and `five@-12`
    are the two slices of the paper's code around an offset: -13:-8 and -13:-9."""
    means: Means = field(default_factory=Means)
    """How means are taken."""
    draws: int = 500
    """Bootstrap resamples of traces."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations or data/relabel, or a store."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Find the directions and return the run folder."""
    run = open_stage(cfg, "train/directions")
    if run.complete:
        return run.path
    from multidir.experiments.directions.find import chosen_sites, find_directions
    from multidir.experiments.results import Results, save_results
    from multidir.methods.window_rules import parse_window
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore

    with run:
        s = cfg.science
        store = ActivationStore.open(cfg.activations, verify=True)
        sites, windows = chosen_sites(store, s.sites), [parse_window(text) for text in s.windows]
        found = find_directions(store, sites, s.labels, windows, s.means, s.draws, s.seed, s.annotator)
        save_directions(run.file("directions.safetensors"), found.directions)
        write_json_atomic(run.file("norms.json"), found.mean_norms)
        save_results(run, Results({"directions": found.table}, found.headline))
        save_figures(run, "train/directions")
    return run.path
