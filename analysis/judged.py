"""What does a judge say of texts that a run wrote, and how far do keywords agree with it?

Labels the sentences of a run's texts (analysis/offsets, steering, baselines, layers, train/reasoner) by a model behind
an API, and gives every cell its rate by the judge beside the keyword rates, and the keyword's precision, recall and F1
against the judge at every dose (the paper's Table C.1). Answers are kept, a spend cap holds, as in data/annotate.

    multidir run analysis/judged --outcomes runs/analysis/steering/... --model gpt-4o --dry-run

Writes cells.csv, keywords.csv, a figure. Minutes and a few dollars; resumable.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from multidir.annotate.judge import Judge
from multidir.config import PaidCompute
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    annotator: str = "judge"
    """Who labels: `judge`, or a free one of data/annotate."""
    judge: Judge = field(default_factory=Judge)
    """Settings of the judge."""
    keywords: tuple[str, ...] = ("wait",)
    """Words that are compared with it, any case, whole words."""
    count_prompt: bool = False
    """Whether prompts enter the share that counts inside words, as in the paper's code."""
    draws: int = 2000
    """Bootstrap resamples of problems."""
    seed: int = 0
    """Seed of the resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    outcomes: Path
    """Run folder with texts."""
    dry_run: bool = False
    """Say what the labels would cost, and stop before the first call."""
    science: Science = field(default_factory=Science)
    compute: PaidCompute = field(default_factory=PaidCompute)


def main(cfg: Config) -> Path:
    """Label the texts and return the run folder."""
    from multidir.experiments.corpus.judging import annotator_inputs

    run = open_stage(cfg, "analysis/judged", annotator_inputs(cfg.science.annotator))
    if run.complete:
        return run.path
    from multidir.chat.pool import in_order
    from multidir.experiments.corpus.judging import ask_in_batches, cost, make_annotator, workers_for
    from multidir.experiments.results import save_results
    from multidir.experiments.steering.judged import judged, read_outcomes
    from multidir.report.run_figures import save_figures

    calls = cfg.compute.calls
    annotator = make_annotator(cfg.science, None, calls, run.path.name)
    outcomes = read_outcomes(cfg.outcomes)
    texts = [outcome.text for outcome in outcomes]
    logging.getLogger("multidir").info(cost(annotator, texts))
    if cfg.dry_run:
        return run.path
    with run:
        ask_in_batches(annotator, texts)
        labels = list(in_order(annotator.label, texts, workers_for(annotator, calls)))
        save_results(run, judged(cfg.outcomes, outcomes, labels, cfg.science))
        run.note(annotator=annotator.name)
        save_figures(run, "analysis/judged")
    return run.path
