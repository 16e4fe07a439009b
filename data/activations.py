"""What do the base and the reasoning model hold in their residual streams while they read these traces?

Both models read the same token ids (special tokens that the base model does not know are replaced one by
one; a trace for which that is impossible is skipped and counted). The forward pass stops after the last
block that is captured. Labels go into the same store and can be replaced later.

    multidir run data/activations --traces runs/data/traces/... --labels runs/data/annotate/... --sites L10

Writes store/, an activation store (see data/README.md). Seconds on the tiny pair; resumable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    sites: tuple[str, ...] = ("L10.resid_post",)
    """Where: `L10`, `L10.resid_post`, `L10.resid_pre`."""
    store_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Type of the numbers on disk."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder with traces.jsonl."""
    labels: Path
    """Run folder with sentences.jsonl; the same folder where a recipe writes both."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Capture and return the run folder."""
    run = open_stage(cfg, "data/activations")
    if run.complete:
        return run.path
    from multidir.experiments.activations import capture_store

    with run:
        store = capture_store(
            run.file("store/manifest.json").parent,
            cfg.pair,
            cfg.compute,
            read_rows(cfg.traces / "traces.jsonl", Trace),
            tuple(Site.parse(text) for text in cfg.science.sites),
            cfg.science.store_dtype,
        )
        kept = {trace.id for trace in store.traces}
        sentences = [s for s in read_rows(cfg.labels / "sentences.jsonl", Sentence) if s.trace_id in kept]
        store.put_labels(sentences[0].annotator if sentences else "none", sentences)
        run.note(
            headline=f"{store.n_rows} tokens of {store.n_traces} traces, {len(store.roles)} x {len(store.sites)} sites"
        )
    return run.path
