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

from multidir.config import Compute
from multidir.experiments.dictionaries.settings import DictionaryChoice
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    store: Path
    """Activation store, or run folder of data/activations."""
    science: DictionaryChoice = field(default_factory=DictionaryChoice)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Train and return the run folder."""
    run = open_stage(cfg, "train/sae")
    if run.complete:
        return run.path
    from multidir.experiments.dictionaries.data import stored_data
    from multidir.experiments.dictionaries.train import train_dictionaries
    from multidir.experiments.results import save_results
    from multidir.report.run_figures import save_figures
    from multidir.sae.parallel import process_device, process_group
    from multidir.store.activations import ActivationStore

    device = process_device(cfg.compute.device)
    with process_group(device) as group, run if group.leads else nullcontext():
        store = ActivationStore.open(cfg.store, verify=group.leads)
        data = stored_data(store, cfg.science, device, group)
        found = train_dictionaries(data, cfg.science, run.path, device, cfg.compute.dtype, group)
        if found is not None:
            save_results(run, found)
            save_figures(run, "train/sae")
    return run.path
