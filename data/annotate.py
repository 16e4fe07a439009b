"""Which sentences of the traces are backtracking, and what are the others?

Splits the reasoning part of every trace into sentences and labels each one. `lexical` are rules for
English reasoning; `grammar` knows the tiny pair's language exactly and cannot read any other.

    multidir run data/annotate --traces runs/data/traces/... --annotator lexical

Writes sentences.jsonl, with exact character and token spans. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.records.text import Trace
from multidir.store.rows import read_rows, write_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    annotator: str = "lexical"
    """`lexical` or `grammar`."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/traces."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Label the sentences and return the run folder."""
    run = open_stage(cfg, "data/annotate")
    if run.complete:
        return run.path
    from multidir.experiments.labels import annotator_by_name, count_labels, label_traces
    from multidir.experiments.score import BACKTRACKING
    from multidir.models.load import load_tokenizer

    with run:
        annotator = annotator_by_name(cfg.science.annotator)
        tokenizer = load_tokenizer(cfg.pair.source("reasoning"))
        traces = read_rows(cfg.traces / "traces.jsonl", Trace)
        sentences = [item for found in label_traces(traces, annotator, tokenizer) for item in found]
        write_rows(run.file("sentences.jsonl"), sentences)
        run.note(headline=str(count_labels(sentences, BACKTRACKING)))
    return run.path
