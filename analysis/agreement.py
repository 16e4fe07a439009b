"""How far do two annotators agree about the same traces?

Lays the labels of one annotator over the sentences of the other, which is taken as truth, and gives precision, recall
and F1 for every label, Cohen's kappa and the confusion table, as the paper's Table C.1 does for its keyword judge.
Intervals resample whole traces, because the sentences of one trace are alike. What one of the two did not label is left
out and counted. `--taxonomy binary` compares backtracking with everything else, whatever labels the two have.

    multidir run analysis/agreement --reference runs/data/import-traces/... --other runs/data/annotate/...

Writes agreement.csv, confusion.csv, overall.csv, figures. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.text import Sentence
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    taxonomy: str = "six"
    """Labels that are compared: a table of data/taxonomy.toml."""
    label: str = "backtracking"
    """The behaviour that the headline is about."""
    draws: int = 2000
    """Bootstrap resamples of traces."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    reference: Path
    """Run folder with the sentences.jsonl that is taken as truth."""
    other: Path
    """Run folder with the sentences.jsonl that is judged; labels of the same traces."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Compare the labels and return the run folder."""
    run = open_stage(cfg, "analysis/agreement")
    if run.complete:
        return run.path
    from multidir.annotate.taxonomy import load_taxonomy
    from multidir.experiments.corpus.agreement import agreement, check_same_traces
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures

    with run:
        s = cfg.science
        check_same_traces(cfg.reference, cfg.other)
        labels = [read_rows(path / "sentences.jsonl", Sentence) for path in (cfg.reference, cfg.other)]
        save_results(run, agreement(labels[0], labels[1], load_taxonomy(s.taxonomy), s.label, s.draws, s.seed))
        save_figures(run, "analysis/agreement")
    return run.path
