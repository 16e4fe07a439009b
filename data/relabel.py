"""What does another judge say about the sentences whose activations are stored already?

Takes over the store of an earlier run without copying or touching its activations, and adds the labels of
another annotator, or replaces those of the same one. Both runs stay as they are.

    multidir run data/relabel --activations runs/data/activations/... --labels runs/data/annotate/...

Writes store/, an activation store (see docs/store-format.md). Seconds, whatever the size of the store on one disk.
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

    label_window: str = "-13:-8"
    """Token offsets first:last from a sentence's start over which sums per label are stored with the labels."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations or of this recipe, or a store."""
    labels: Path
    """Run folder with sentences.jsonl."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Put the labels and return the run folder."""
    run = open_stage(cfg, "data/relabel")
    if run.complete:
        return run.path
    from multidir.experiments.corpus.activations import put_sentences
    from multidir.methods.window_rules import parse_window
    from multidir.store.activations import ActivationStore
    from multidir.store.link import continue_store

    with run:
        folder = run.file("store/manifest.json").parent
        continue_store(cfg.activations, folder)
        store = ActivationStore.open(folder)
        sentences = read_rows(cfg.labels / "sentences.jsonl", Sentence)
        put = put_sentences(store, sentences, parse_window(cfg.science.label_window))
        counts = ", ".join(f"{count} sentences of {annotator}" for annotator, count in put.items()) or "no sentence"
        run.note(headline=f"{counts} on {store.n_traces} traces; labels there: {', '.join(store.annotators) or 'none'}")
    return run.path
