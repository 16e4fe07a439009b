"""Make a reasoning sibling of a small language model: does it backtrack by itself after reading reasoning traces?

Finetunes all weights, or low-rank additions (`--method lora`, the extra `lora`), on stretches of traces, those around
backtracking sentences drawn more often. Measures both models on problems whose traces were held out: loss per token,
and what they write unsteered: keywords by every rule, and backtracking sentences (analysis/judged asks a model judge
about the same texts).

    multidir run train/reasoner --traces runs/data/import-traces/... --labels runs/data/import-traces/...

Writes model/, curve.csv, loss.csv, cells.csv, outcomes.jsonl, a figure. SmolLM2-135M: under an hour on 2 cores,
minutes on a GPU; killed at any moment, it goes on to the same bits on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.settings import Scoring
from multidir.recipes.stage import open_stage
from multidir.records.pair import Pair
from multidir.records.text import Sentence, Trace
from multidir.store.rows import read_rows
from multidir.tuning.settings import Tuning


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    tuning: Tuning = field(default_factory=Tuning)
    """How the sibling is trained."""
    held_out: float = 0.1
    """Share of the problems whose traces are kept from training, and measured on."""
    rollouts: int = 2
    """Texts per problem and model."""
    max_new_tokens: int = 200
    """Length limit of these texts, in tokens."""
    write_temperature: float = 0.6
    """Of these texts, and of all that the sibling writes later: that of the R1 distillations."""
    write_top_p: float = 0.95
    """Nucleus, likewise."""
    scoring: Scoring = field(default_factory=Scoring)
    """How these texts are scored."""
    draws: int = 2000
    """Bootstrap resamples of problems."""
    seed: int = 0
    """Decides what is held out, sampled and resampled."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/import-traces or data/traces, in the tokens of the base model."""
    labels: Path
    """Run folder with the labels of these traces."""
    pair: Pair = field(default_factory=lambda: Pair("packaged:smollm2"))
    """Its base model is what the sibling is made from."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Train, measure, and return the run folder."""
    run = open_stage(cfg, "train/reasoner")
    if run.complete:
        return run.path
    from multidir.experiments.corpus.labels import annotator_by_name
    from multidir.experiments.reasoner import make_reasoner
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures

    with run:
        traces = read_rows(cfg.traces / "traces.jsonl", Trace)
        sentences = read_rows(cfg.labels / "sentences.jsonl", Sentence)
        parts = (cfg.science, cfg.compute, annotator_by_name(cfg.science.scoring.annotator))
        found = make_reasoner(cfg.pair.source("base"), traces, sentences, *parts, run.path)
        save_results(run, found)
        save_figures(run, "train/reasoner")
    return run.path
