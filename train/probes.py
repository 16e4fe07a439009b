"""Does the model know, before it writes the sentence, that backtracking comes next? Where, how early, and who else?

Logistic probes at every model, site and offset under nested cross-validation that keeps prompts whole; at one place six
kinds of probe beside tokens, position and sentence number alone, shuffled labels, and folds that split prompts;
transfer to new categories and between the models; how early an alarm with few false alarms goes off. The paper's code
fits such probes and its text reports none. 0.5 is chance for AUROC, the base rate for average precision, 0 for bits.

    multidir run train/probes --activations runs/data/activations/... --site L10 --offset -1

Writes probes.csv, grid.csv, warning.csv, transfer.csv, figures, and the probes' normals as directions.safetensors.
Seconds for the tiny pair, minutes for a thousand traces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.probes.settings import Probes
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    probes: Probes = field(default_factory=Probes)
    """What is learned and where."""
    draws: int = 1000
    """Bootstrap resamples of prompts."""
    seed: int = 0
    """Seed of folds, shuffles and resampling."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations or data/relabel, or a store."""
    dictionary: Path | None = None
    """A dictionary of the table's site, for k-sparse probes over its latents: its folder, or a run of train/sae."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Fit the probes, try them and return the run folder."""
    run = open_stage(cfg, "train/probes")
    if run.complete:
        return run.path
    from multidir.experiments.probes.study import probe_study
    from multidir.experiments.results import save_results
    from multidir.methods.probe_logistic import Solver
    from multidir.report.run_figures import save_figures
    from multidir.sae.parallel import process_device
    from multidir.store.activations import ActivationStore
    from multidir.store.directions import save_directions

    with run:
        s, solver = cfg.science, Solver(device=process_device(cfg.compute.device))
        store = ActivationStore.open(cfg.activations, verify=True)
        study = probe_study(store, s.probes, cfg.dictionary, s.draws, s.seed, solver)
        save_directions(run.file("directions.safetensors"), study.directions)
        save_results(run, study.results)
        save_figures(run, "train/probes")
    return run.path
