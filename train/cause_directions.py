"""Which directions stand for the tiny pair's two causes, hesitation and mistake?

The grammar of the tiny pair says of every step whether it hesitates and whether it is mistaken. The difference of means
over the last tokens of steps with and without a cause is its direction. Prediction: both lie along the directions that
were planted in the base model.

    multidir run train/cause-directions --activations runs/data/activations/... --traces runs/data/traces/... --site L2

Writes directions.safetensors, norms.json. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.types import Role


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    role: Role = "reasoning"
    """Whose activations."""
    site: str = "L2"
    """Where."""
    window: str = "-3:-1"
    """Token offsets first:last from the sentence after a step, both included: its last tokens."""
    planted: str = "shipped:tiny/base/planted.safetensors"
    """What was planted, for comparison only; empty for no comparison."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    activations: Path
    """Run folder of data/activations, or a store, with labels of the annotator `grammar`."""
    traces: Path
    """Run folder of data/traces that the store was made of."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Find both directions and return the run folder."""
    run = open_stage(cfg, "train/cause-directions")
    if run.complete:
        return run.path
    from multidir.experiments.directions.cause_directions import cause_results
    from multidir.experiments.results import save_results
    from multidir.store.activations import ActivationStore
    from multidir.store.atomic import write_json_atomic
    from multidir.store.directions import save_directions

    with run:
        found = cause_results(ActivationStore.open(cfg.activations, verify=True), cfg.traces, cfg.science)
        save_directions(run.file("directions.safetensors"), found.directions)
        write_json_atomic(run.file("norms.json"), found.mean_norms)
        save_results(run, found.results)
    return run.path
