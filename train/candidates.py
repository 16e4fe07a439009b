"""Which directions are worth steering? Everything that may be one, found in many ways, measured, and ordered.

Differences of means, probe normals, principal and independent axes of the rows before the behaviour, and latents of
dictionaries and crosscoders (by contrast, by ReasonScore, by attribution). What is one thing is grouped and represented
once; the most promising are added and taken out in texts already written, beside random, covariance-matched and
label-shuffled directions. Each says what it does, whether it promotes or suppresses, whether half of the traces give it
again, what was grouped with it, and whether it only turns a word on (a token knob). Prediction: on the tiny pair both
planted causes are among the first five, though nobody named them.

    multidir run train/candidates --activations runs/data/activations/... --dictionaries runs/train/sae/... --site L10

Writes directions.safetensors (strongest first, then controls), candidates.csv, agreement.csv, norms.json, figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.experiments.candidates.settings import CandidateChoice
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.store.atomic import write_json_atomic
from multidir.store.directions import save_directions


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations or data/relabel, or a store."""
    dictionaries: Path | None = None
    """Run folder of train/sae, or an SAE folder; without it no latents."""
    pair: Pair = TINY
    science: CandidateChoice = field(default_factory=CandidateChoice)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Find, measure and order the candidates, and return the run folder."""
    run = open_stage(cfg, "train/candidates")
    if run.complete:
        return run.path
    from multidir.experiments.candidates.find import find_candidates
    from multidir.experiments.dictionaries.subjects import every_subject
    from multidir.experiments.directions.find import choose_annotator, mean_norms
    from multidir.experiments.results import save_results
    from multidir.models.load import load_model
    from multidir.report.run_figures import save_figures
    from multidir.store.activations import ActivationStore

    with run:
        store = ActivationStore.open(cfg.activations, verify=True)
        annotator = choose_annotator(store, cfg.science.annotator)
        role = cfg.pair.steered
        lm = load_model(cfg.pair.source(role), role, cfg.compute.device, cfg.compute.dtype)
        found = find_candidates(lm, store, annotator, every_subject(cfg.dictionaries, store, role), cfg.science)
        save_directions(run.file("directions.safetensors"), found.directions)
        write_json_atomic(run.file("norms.json"), mean_norms(store, {item.site for item in found.directions}))
        save_results(run, found.results)
        save_figures(run, "train/candidates")
    return run.path
