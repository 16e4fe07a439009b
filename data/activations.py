"""What do the base and the reasoning model hold in their residual streams while they read these traces?

Both models read the same token ids (special tokens that the base model does not know are replaced one by
one; a trace for which that is impossible is skipped and counted). The forward pass stops after the last
block that is captured. Labels go into the same store; `data/relabel` adds those of another judge later.

    multidir run data/activations --traces runs/data/traces/... --labels runs/data/annotate/... --sites L10

With `--extends` the store of an earlier run is taken over, without a copy, and the new traces are added to it.

Writes store/, an activation store (see docs/store-format.md). Seconds on the tiny pair; resumable.
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
    label_window: str = "-13:-8"
    """Token offsets first:last from a sentence's start over which sums per label are stored with the labels."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder with traces.jsonl."""
    labels: Path | None = None
    """Run folder with sentences.jsonl; the same folder where a recipe writes both; none for no labels."""
    extends: Path | None = None
    """Run folder of this recipe, or a store, that the new store continues."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Capture and return the run folder."""
    run = open_stage(cfg, "data/activations")
    if run.complete:
        return run.path
    from multidir.experiments.corpus.activations import capture_store, left_out, put_sentences
    from multidir.methods.window_rules import parse_window
    from multidir.store.link import continue_store

    with run:
        window, folder = parse_window(cfg.science.label_window), run.file("store/manifest.json").parent
        if cfg.extends is not None:
            continue_store(cfg.extends, folder)
        store = capture_store(
            folder,
            cfg.pair,
            cfg.compute,
            read_rows(cfg.traces / "traces.jsonl", Trace),
            tuple(Site.parse(text) for text in cfg.science.sites),
            cfg.science.store_dtype,
        )
        if cfg.labels is not None:
            put_sentences(store, read_rows(cfg.labels / "sentences.jsonl", Sentence), window)
        size = f"{store.n_rows} tokens of {store.n_traces} traces, {len(store.roles)} x {len(store.sites)} sites"
        run.note(headline=f"{size}{left_out(store)}")
    return run.path
