"""A pair of tiny random models on disk, and captures of it: what tests of whole captures work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.corpus.activations import capture_store, put_sentences
from multidir.records.pair import Pair
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from tests.models.tiny import tiny_llama, tiny_tokenizer

SITES = (Site(0), Site(2, "resid_pre"))


def save_pair(folder: Path) -> Pair:
    """A base and a reasoning model that differ in their weights."""
    for seed, role in enumerate(("base", "reasoning")):
        tiny_llama(seed).save_pretrained(folder / role)
        tiny_tokenizer(chat=role == "reasoning").save_pretrained(folder / role)
    return Pair(str(folder / "base"), str(folder / "reasoning"))


def capture_tiny(
    path: Path,
    pair: Pair,
    traces: Sequence[Trace],
    sentences: Sequence[Sentence] = (),
    shard_rows: int = 40,
    dtype: str = "bfloat16",
) -> ActivationStore:
    """Capture in small batches, so that there are several to a shard."""
    store = capture_store(path, pair, Compute(device="cpu", batch_tokens=16), traces, SITES, dtype, shard_rows)
    put_sentences(store, sentences, (-2, 1))
    return store


def renamed(traces: Sequence[Trace], prefix: str) -> list[Trace]:
    """The same traces under other ids."""
    return [replace(trace, id=f"{prefix}{trace.id}") for trace in traces]
