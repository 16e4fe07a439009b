"""Settings of dictionaries: which are trained, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from multidir.sae.spec import Architecture, Training
from multidir.types import Role


@dataclass(frozen=True)
class DictionaryChoice:
    """Which dictionaries are trained, and how."""

    site: tuple[str, ...] = ("L10.resid_post",)
    """Where."""
    model: tuple[Role, ...] = ("reasoning",)
    """Whose activations."""
    arch: tuple[Architecture, ...] = ("batchtopk",)
    """How latents are chosen."""
    width: tuple[int, ...] = (4096,)
    """Latents."""
    k: tuple[int, ...] = (32,)
    """Active latents per token; `standard` has no such number and is trained once, under the first one's name."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the initial weights."""
    training: Training = field(default_factory=lambda: Training(steps=2000, batch=4096, warmup=100))
    """How all of them learn."""
    held_out: float = 0.1
    """Share of the prompts that is held out."""
    split_by: Literal["prompt", "trace"] = "prompt"
    """What is held out as a whole."""
    order_seed: int = 0
    """Seed of the order of rows and of what is held out."""
    backend: Literal["multidir", "sae_lens"] = "multidir"
    """`sae_lens`: the same rows through SAELens' own trainer, as a reference; it neither resumes nor draws curves."""
