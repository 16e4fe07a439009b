"""Which sparse features make up a residual stream?

Trains sparse autoencoders on stored activations: every combination of site, model, architecture, width, k and seed
learns from one pass over the rows. Whole prompts are held out: FVU, L0 and silent latents are measured on them, on the
folder that was written; the only thing learned from them is the shift of thresholds that gives k active latents.
`crosscoder` reads both models at the same tokens. Resumes after any interruption to the same bits; torchrun trains
on several GPUs.

    multidir run train/sae --store runs/data/activations/... --site L10.resid_post --model reasoning --arch batchtopk

Writes one SAELens folder per dictionary, dictionaries.csv, curve.csv, figures. About 20 000 tokens/s per CPU core at
width 512 and 4096 latents.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.sae.spec import Architecture, Training
from multidir.types import Role


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    site: tuple[str, ...] = ("L10.resid_post",)
    """Where."""
    model: tuple[Role, ...] = ("reasoning",)
    """Whose activations."""
    arch: tuple[Architecture, ...] = ("batchtopk",)
    """How latents are chosen."""
    width: tuple[int, ...] = (4096,)
    """Latents."""
    k: tuple[int, ...] = (32,)
    """Active latents per token."""
    seed: tuple[int, ...] = (0,)
    """Seeds of the initial weights."""
    training: Training = field(default_factory=lambda: Training(steps=2000, batch=4096, warmup=100, sparsity=0.05))
    """How all of them learn."""
    held_out: float = 0.1
    """Share of the prompts that is held out."""
    split_by: Literal["prompt", "trace"] = "prompt"
    """What is held out as a whole."""
    order_seed: int = 0
    """Seed of the order of rows and of what is held out."""
    backend: Literal["multidir", "sae_lens"] = "multidir"
    """`sae_lens`: the same rows through SAELens' own trainer, as a reference; it neither resumes nor draws curves."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    store: Path
    """Activation store, or run folder of data/activations."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Train and return the run folder."""
    run = open_stage(cfg, "train/sae")
    if run.complete:
        return run.path
    from multidir.experiments.dictionaries import open_store, train_dictionaries
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures
    from multidir.sae.parallel import process_device, process_group

    device = process_device(cfg.compute.device)
    with process_group(device) as group, run if group.leads else nullcontext():
        store = open_store(cfg.store)
        found = train_dictionaries(store, cfg.science, run.path, device, cfg.compute.dtype, group)
        if found is not None:
            save_results(run, found)
            save_figures(run, "train/sae")
    return run.path
