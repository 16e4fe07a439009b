"""AdamW as language models are trained with it here: what decays, the course of the rate, and its state on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from multidir.errors import FormatError
from multidir.store.atomic import atomic_path


def adamw(model: torch.nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """An optimiser of everything that is trained; matrices decay, embeddings and norms do not."""
    trained = list(_trained(model))
    decayed = [p for name, p in trained if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in trained if p.ndim != 2 or "embed" in name]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, betas=(0.9, 0.95))


def cosine_rate(peak: float, warmup: int, step: int, steps: int) -> float:
    """Learning rate of one step: linear warm-up, then half a cosine down to a tenth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def save_state(
    file: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, notes: Any = None
) -> None:
    """Replace the state on disk: trained weights, moments, steps taken, and notes that have a JSON form.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in _state(model, optimizer)}
    with atomic_path(file) as partial:
        save_file(tensors, partial, metadata={"step": str(step), "notes": json.dumps(notes)})


def resume_state(file: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, Any]:
    """Put a state into a model and its optimiser, in place; how many steps it has behind it, and its notes.

    Raises:
        FormatError: the file is broken, or of another model.
    """
    if not file.exists():
        return 0, None
    try:
        with safe_open(file, "pt") as stored:
            facts = stored.metadata()
            step = int(facts["step"])
            for name, p in _trained(model):
                p.data.copy_(stored.get_tensor(f"weight.{name}"))
                moments = {key: stored.get_tensor(f"{key}.{name}").to(p.device) for key in ("exp_avg", "exp_avg_sq")}
                optimizer.state[p] = {"step": torch.tensor(float(step)), **moments}
            return step, json.loads(facts["notes"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{file}: no training state of this model ({error}); delete it to begin anew") from error


def _trained(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _state(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, p in _trained(model):
        yield f"weight.{name}", p.data
        yield from ((f"{key}.{name}", optimizer.state[p][key]) for key in ("exp_avg", "exp_avg_sq"))
