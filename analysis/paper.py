"""Which of the paper's published numbers hold here?

Sets our lengths, cosines, shares and keyword peaks beside those of arXiv 2507.12638, and says of each whether it is
supported, refuted or undetermined, by a stated rule; and lists the claims of its figures as the study decided them.
Numbers in the units of one model are compared only with `--same-pair`. Every published number is about Llama-3.1-8B
and its R1 distillation.

    multidir run analysis/paper --directions runs/train/directions/... --geometry runs/analysis/geometry/... --same-pair

Writes beside.csv, claims.csv and a figure. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.text import Sentence, Trace
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    site: str = "L10"
    """Site of the direction."""
    window: str = "-13:-8"
    """Window of the direction, written as for train/directions."""
    same_pair: bool = False
    """The models are the paper's own."""
    draws: int = 1000
    """Bootstrap resamples of traces."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe; a run folder that is left out leaves its numbers out."""

    directions: Path | None = None
    """Run folder of train/directions."""
    geometry: Path | None = None
    """Run folder of analysis/geometry."""
    offsets: Path | None = None
    """Run folder of analysis/offsets."""
    steering: Path | None = None
    """Run folder of analysis/steering."""
    baselines: Path | None = None
    """Run folder of analysis/baselines."""
    sweep: Path | None = None
    """Run folder of analysis/layers."""
    lens: Path | None = None
    """Run folder of analysis/logit-lens."""
    density: Path | None = None
    """Run folder of analysis/density."""
    traces: Path | None = None
    """Run folder of data/traces or data/import-traces."""
    labels: Path | None = None
    """Run folder with the labels of these traces."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Compare and return the run folder."""
    run = open_stage(cfg, "analysis/paper")
    if run.complete:
        return run.path
    from multidir.experiments.paper.numbers import beside_table, count_statuses
    from multidir.experiments.paper.ours import FIGURES_OF, claims_table, our_numbers
    from multidir.experiments.results import Results, save_results
    from multidir.methods.window_rules import parse_window
    from multidir.records.site import Site
    from multidir.report.run_figures import save_figures

    with run:
        s = cfg.science
        both = cfg.traces is not None and cfg.labels is not None
        traces = read_rows(cfg.traces / "traces.jsonl", Trace) if both and cfg.traces else []
        sentences = read_rows(cfg.labels / "sentences.jsonl", Sentence) if both and cfg.labels else []
        runs = {name: getattr(cfg, name) for name in ("directions", *FIGURES_OF)}
        ours = our_numbers(runs, Site.parse(s.site), parse_window(s.window), traces, sentences, s.draws, s.seed)
        table = beside_table(ours, s.same_pair)
        save_results(run, Results({"beside": table, "claims": claims_table(runs)}, count_statuses(table)))
        save_figures(run, "analysis/paper")
    return run.path
