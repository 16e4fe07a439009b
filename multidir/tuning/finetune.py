"""Finetunes a language model in place, all of its weights or low-rank additions to them; resumable bit for bit."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from multidir.errors import MissingExtra, ModelError
from multidir.models.adamw import adamw, cosine_rate, resume_state, save_state
from multidir.models.language_model import LanguageModel
from multidir.progress import each
from multidir.tuning.settings import Tuning
from multidir.tuning.stretches import NO_TARGET, Stretches

log = logging.getLogger(__name__)

Curve = list[dict[str, float]]
"""One row per logged step: step, tokens seen, mean loss since the row before, in nats per token."""


def finetune(lm: LanguageModel, stretches: Stretches, tuning: Tuning, checkpoint: Path, save_every: int = 50) -> Curve:
    """Train, in place, from the checkpoint if there is one; how the loss went.

    Args:
        lm: the model, in float32; afterwards it is merged and frozen again.
        stretches: what each step sees.
        tuning: how.
        checkpoint: file of the state; left for the caller to delete.
        save_every: steps between two states on disk.
    Raises:
        MissingExtra: `lora` without peft.
        ModelError: the loss is no number any more.
        FormatError: the checkpoint is of another model.
    """
    with _trainable(lm, tuning) as model:
        optimizer = adamw(model, tuning.lr, tuning.weight_decay)
        first, curve = resume_state(checkpoint, model, optimizer)
        curve, seen, since, start = curve or [], 0, list[float](), time.monotonic()
        for number in each(range(first, tuning.steps), "finetuning", "step"):
            for group in optimizer.param_groups:
                group["lr"] = cosine_rate(tuning.lr, tuning.warmup, number, tuning.steps)
            ids, targets = stretches.step(number)
            since.append(_step(model, optimizer, ids, targets, tuning))
            seen += ids.size
            if (number + 1) % save_every == 0 or number + 1 == tuning.steps:
                curve.append(_row(curve, number + 1, ids.size * len(since), since))
                rate = seen / (time.monotonic() - start)
                log.info("step %d of %d, loss %.4f, %.0f tokens/s", number + 1, tuning.steps, curve[-1]["loss"], rate)
                save_state(checkpoint, model, optimizer, number + 1, curve)
                since.clear()
    return curve


def _row(curve: Curve, step: int, tokens: int, losses: list[float]) -> dict[str, float]:
    before = curve[-1]["tokens"] if curve else 0
    return {"step": step, "tokens": before + tokens, "loss": float(np.mean(losses))}


def _step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    ids: np.ndarray,
    targets: np.ndarray,
    tuning: Tuning,
) -> float:
    device = next(model.parameters()).device
    given, wanted = torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device)
    # Rows are filled up on the right, where a causal model does not look.
    with torch.autocast(device.type, torch.bfloat16, enabled=tuning.precision == "bfloat16"):
        logits = model(input_ids=given, use_cache=False).logits
    loss = cross_entropy(logits[:, :-1].flatten(0, 1).float(), wanted[:, 1:].flatten(), ignore_index=NO_TARGET)
    if not torch.isfinite(loss):
        raise ModelError(f"the loss became {loss.item()}; try a smaller --lr than {tuning.lr:g}")
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], tuning.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.item())


@contextmanager
def _trainable(lm: LanguageModel, tuning: Tuning) -> Iterator[torch.nn.Module]:
    """The model with what is to be trained; at the end everything is in its own weights, and frozen."""
    model = cast(Any, lm.model)
    if tuning.method == "full":
        yield model.requires_grad_(True)
    else:
        adapted = _with_additions(model, tuning)
        yield adapted
        adapted.merge_and_unload()
    model.eval().requires_grad_(False)


def _with_additions(model: Any, tuning: Tuning) -> Any:
    try:
        import peft
    except ImportError:
        raise MissingExtra(
            "--method lora needs the Python package peft: pip install 'multidir[lora]', or take --method full"
        ) from None
    config = peft.LoraConfig(
        r=tuning.rank, lora_alpha=2 * tuning.rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads an attribute that transformers has renamed
        torch.manual_seed(tuning.drawing.draw_seed)
        return peft.get_peft_model(model, config)
