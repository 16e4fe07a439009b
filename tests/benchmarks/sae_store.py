"""What is left unexplained on a real store: ours and SAELens' trainer on the same batches, both calibrated alike."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import torch

from multidir.sae.dictionary import Dictionary
from multidir.sae.export import as_trained, finished
from multidir.sae.prepare import SAMPLE_ROWS, prepare
from multidir.sae.quality import Quality, measure_quality
from multidir.sae.source import StoreSource
from multidir.sae.spec import DictionarySpec, Training
from multidir.sae.split import split_rows
from multidir.sae.train import Job, train
from multidir.store.activations import ActivationStore
from multidir.store.shuffle import Shuffle
from tests.benchmarks.measure import Row, note

K, BATCH = 32, 1024
RATES = (1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 1e-2)
"""Learning rates that each trainer may choose from: decoder rows of other lengths make other steps of one rate."""


def real_store(path: Path, quick: bool) -> Iterator[Row]:
    """FVU and silent latents on prompts held out, at equal tokens; the last of the store's sets of activations."""
    from multidir.sae.lens_backend import train_with_saelens

    store = ActivationStore.open(path)
    key, split, steps = store.spec.keys[-1], split_rows(store, 0.1, "prompt", 0), 60 if quick else 300
    held = torch.from_numpy(store.rows(*key, split.held_out))
    source = StoreSource(store, (key,), Shuffle(batch_rows=BATCH, seed=0), split.train)
    # by its own default each counts latents as dead later than this lasts, so that AuxK is on for neither
    trainings = [Training(steps, BATCH, rate, warmup=steps // 20) for rate in RATES]
    prepared = prepare(source.sample(SAMPLE_ROWS), trainings[0])

    def measured(trained: Dictionary) -> Quality:
        return measure_quality(finished(trained, prepared.scales((key,)), held, K), held)

    def peer(spec: DictionarySpec, training: Training) -> Dictionary:
        batches = (prepared.joined(batch, (key,)) for batch in source.batches(0))
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            return train_with_saelens(spec, training, batches, {})

    for arch in ("topk", "batchtopk"):
        job = Job(DictionarySpec(arch, store.d, 8 * store.d, K), (key,))  # type: ignore[arg-type]
        mine = [measured(as_trained(train([job], source, training).learners[0], {})) for training in trainings]
        others = [measured(peer(job.spec, training)) for training in trainings]
        for name, found in (("multidir", mine), ("sae_lens", others)):
            said = ", ".join(f"{q.fvu:.4f} / {q.silent:.3f}" for q in found)
            note(f"  {arch} {name}: FVU / silent {said} at rates {RATES}")
        ours, theirs = (min(found, key=lambda quality: quality.fvu) for found in (mine, others))
        against = f"sae_lens, {steps * BATCH:,} tokens of {key[0]} {key[1]}, each at its best rate"
        yield Row(
            f"{arch} FVU on a real store, ours over theirs", ours.fvu / theirs.fvu, "times", against, 1, at_most=1
        )
        silent = ours.silent - theirs.silent
        yield Row(f"{arch} silent latents, ours minus theirs", silent, "share", against, 1, at_most=0)
