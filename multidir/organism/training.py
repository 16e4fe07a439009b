"""Trains a small Llama on a token corpus; interrupted training goes on at the last checkpoint."""

import logging
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from multidir.models.adamw import adamw, cosine_rate, resume_state, save_state
from multidir.organism.hardening import Handicap, handicapped
from multidir.organism.planting import Planting, planted_directions, planting_loss, written_into
from multidir.organism.tokens import PaddedBatch, TokenCorpus, plan_batches
from multidir.progress import each

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

log = logging.getLogger(__name__)

SAVE_EVERY = 250
"""Steps between checkpoints."""


@dataclass(frozen=True)
class Optimisation:
    """AdamW with linear warm-up and cosine decay to a tenth."""

    lr: float
    """Peak learning rate."""
    warmup: int
    """Steps of linear warm-up."""
    batch: int = 3072
    """Tokens per step."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices other than the embeddings."""
    clip: float = 1.0
    """Largest gradient norm."""
    handicap: Handicap = field(default_factory=Handicap)
    """What makes training harder than use."""


def use_threads(count: int) -> None:
    """Let torch compute on this many CPU threads."""
    torch.set_num_threads(count)


def fit(
    model: "LlamaForCausalLM",
    corpus: TokenCorpus,
    how: Optimisation,
    seed: int,
    checkpoint: Path,
    planting: Planting | None = None,
) -> None:
    """One epoch over the corpus, in place; the checkpoint file is left for the caller to delete."""
    batches = plan_batches(corpus, how.batch, np.random.default_rng(seed))
    optimizer = adamw(model, how.lr, how.weight_decay)
    first, _ = resume_state(checkpoint, model, optimizer)
    if first:
        log.info("going on at step %d of %s", first, checkpoint)
    started, seen, losses = time.monotonic(), 0, list[tuple[float, float]]()
    model.train()
    for step in each(range(first, len(batches)), "training", "step"):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(how.lr, how.warmup, step, len(batches))
        batch = corpus.padded(batches[step], model.config.pad_token_id or 0)
        losses.append(_step(model, optimizer, batch, how, planting, seed, step))
        seen += batch.ids.size
        if (step + 1) % 50 == 0 or step + 1 == len(batches):
            rate, (loss, read) = seen / (time.monotonic() - started), np.mean(losses[-50:], axis=0)
            log.info("step %d of %d, loss %.4f, reading %.4f, %.0f tokens/s", step + 1, len(batches), loss, read, rate)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == len(batches):
            save_state(checkpoint, model, optimizer, step + 1)
    model.train(False)


def _step(
    model: "LlamaForCausalLM",
    optimizer: torch.optim.Optimizer,
    batch: PaddedBatch,
    how: Optimisation,
    planting: Planting | None,
    seed: int,
    step: int,
) -> tuple[float, float]:
    ids, targets, causes, swapped = (torch.from_numpy(array) for array in batch)
    rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
    block, write = None, None
    if planting is not None:
        block, directions = planting.block, planted_directions(model.config.hidden_size, seed)
        low, high = planting.written
        sizes = swapped * (low + (high - low) * torch.rand(len(ids), generator=rng))
        write = partial(written_into, causes=causes, sizes=sizes, directions=directions)
    with handicapped(model, ids.shape, how.handicap, rng, block, write) as hidden:
        logits = model(input_ids=ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)
    reading = torch.zeros(())
    if planting is not None:
        reading = planting_loss(hidden[0], causes.masked_fill(swapped[:, None], -1), directions, planting)
    total = loss + (0.0 if planting is None else planting.weight) * reading
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), how.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item(), reading.item()
