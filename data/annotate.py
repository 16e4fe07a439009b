"""Which sentences of the traces are backtracking, and what are the others?

Splits the reasoning part of every trace into sentences and labels each one. `lexical` are rules for English reasoning;
`keyword` looks for words, as the paper's keyword judge; `grammar` knows the tiny pair's language exactly and cannot
read any other; `judge` asks a model behind an API, whose answers are kept: nothing is paid for twice, and a spend cap
holds; `human` reads labels that a person gave on the page of data/label-by-hand.

    multidir run data/annotate --traces runs/data/traces/... --annotator judge --model gpt-4o --dry-run

Writes sentences.jsonl, with exact character and token spans. Seconds; with a judge, minutes and a few dollars.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from multidir.annotate.judge import Judge
from multidir.config import PaidCompute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.records.text import Trace
from multidir.store.rows import read_rows, write_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    annotator: str = "lexical"
    """`lexical`, `keyword`, `grammar`, `judge` or `human`."""
    keywords: tuple[str, ...] = ("wait",)
    """Words of `keyword`, any case, whole words."""
    judge: Judge = field(default_factory=Judge)
    """Settings of `judge`."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/traces or data/import-traces."""
    hand_labels: Path | None = None
    """For `human`: the exported JSON file."""
    dry_run: bool = False
    """Say what the labels would cost, and stop before the first call."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: PaidCompute = field(default_factory=PaidCompute)


def main(cfg: Config) -> Path:
    """Label the sentences and return the run folder."""
    from multidir.experiments.corpus.judging import annotator_inputs

    run = open_stage(cfg, "data/annotate", annotator_inputs(cfg.science.annotator))
    if run.complete:
        return run.path
    from multidir.experiments.corpus.judging import ask_in_batches, cost, findings, make_annotator, workers_for
    from multidir.experiments.corpus.labels import label_traces, reasoning_texts
    from multidir.experiments.score import BACKTRACKING
    from multidir.models.load import load_tokenizer

    calls = cfg.compute.calls
    annotator = make_annotator(cfg.science, cfg.hand_labels, calls, run.path.name)
    tokenizer = load_tokenizer(cfg.pair.source(cfg.pair.roles[-1]))
    traces = read_rows(cfg.traces / "traces.jsonl", Trace)
    texts = reasoning_texts(traces, tokenizer)
    logging.getLogger("multidir").info(cost(annotator, texts))
    if cfg.dry_run:
        return run.path
    with run:
        ask_in_batches(annotator, texts)
        labelled = label_traces(traces, annotator, tokenizer, workers_for(annotator, calls))
        sentences = [item for found in labelled for item in found]
        write_rows(run.file("sentences.jsonl"), sentences)
        run.note(**findings(annotator, sentences, BACKTRACKING))
    return run.path
