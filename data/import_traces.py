"""What did a published model write, and how did its judge label it?

Reads traces with labels in the published format (JSON lines with id, category, problem, reasoning and
annotated, the last one with `["label"] ... ["end-section"]` marks), finds every labelled section in the
text, and tokenises the text once with exact spans. Nothing is generated.

    multidir run data/import-traces --file traces.jsonl

Writes traces.jsonl and sentences.jsonl. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import Pair
from multidir.store.rows import write_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    file: str = "env:MULTIDIR_REFERENCE/r1_llama8b_traces_300.jsonl"
    """The traces: a path, or `env:VARIABLE/name` for a file in the folder that a variable names."""
    annotator: str = "published/gpt-4o"
    """Recorded as who labelled."""
    per_category: int = 0
    """Traces per category, from the first on; 0 takes all."""
    max_tokens: int = 2048
    """Longer traces are cut here, at the model's own tokens; sentences beyond are dropped and counted."""
    text: Literal["exact", "rebuilt"] = "exact"
    """`exact`: as it was written. `rebuilt`, as in the paper's code: the labelled sections joined by spaces, each
    tokenised by itself, and without traces that change when decoded and encoded again."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    pair: Pair = field(default_factory=lambda: Pair("packaged:smollm2"))
    """The tokens are those of its reasoning model, or of the base model where there is no other."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Import the traces and return the run folder."""
    from multidir.experiments.corpus.imports import import_published, locate_traces

    file = locate_traces(cfg.science.file)
    run = open_stage(cfg, "data/import-traces", inputs={"file": file})
    if run.complete:
        return run.path
    from multidir.experiments.corpus.labels import count_labels
    from multidir.experiments.score import BACKTRACKING
    from multidir.models.load import load_tokenizer

    with run:
        s = cfg.science
        tokenizer = load_tokenizer(cfg.pair.source(cfg.pair.roles[-1]))
        found = import_published(file, tokenizer, s.annotator, s.per_category, s.max_tokens, s.text)
        write_rows(run.file("traces.jsonl"), found.traces)
        write_rows(run.file("sentences.jsonl"), found.sentences)
        run.note(dropped_sentences=found.dropped, skipped_traces=list(found.skipped))
        run.note(headline=f"{len(found.traces)} traces, {count_labels(found.sentences, BACKTRACKING)}")
    return run.path
