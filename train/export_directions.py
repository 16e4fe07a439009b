"""Hand directions to another program: a control vector, a steering vector, or the request that a server needs.

    gguf              llama.cpp (`--control-vector-scaled FILE STRENGTH`) and repeng; one direction per layer
    steering-vectors  `SteeringVector(**torch.load(FILE, weights_only=True))`; one direction per layer
    pt                {block: vector}; one direction per layer
    vllm-lens         JSON to merge into a completion request
    easysteer         the same for EasySteer

What a server cannot express is left out of the request and named in the run's last sentence. With the default dose,
strength 1 is the direction as long as it was found.

    multidir run train/export-directions --directions runs/train/directions/... --names "base/backtracking ..."
    multidir run train/export-directions --directions ... --names ... --to easysteer --dose 0.5 --unit relative

Writes directions.gguf, directions.pt or request.json. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.recipes.stage import open_stage


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    to: Literal["gguf", "steering-vectors", "pt", "vllm-lens", "easysteer"] = "gguf"
    """Format."""
    names: tuple[str, ...] = ()
    """Which directions; all when empty."""
    dose: float = 1.0
    """How long the written vector is, in `unit`."""
    unit: Literal["activation", "residual", "relative"] = "activation"
    """`activation`: the direction's own length; `residual`: absolute; `relative`: the mean residual norm."""
    scope: Literal["all", "prompt", "generated"] = "all"
    """Which positions a server edits; files hold no scope."""
    model_hint: str = "llama"
    """Model family that a control vector names."""
    role: Literal["base", "reasoning"] = "reasoning"
    """Whose mean residual norm a relative dose takes."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    directions: Path
    """Run folder of train/directions or train/import-directions."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Write the file and return the run folder."""
    run = open_stage(cfg, "train/export-directions")
    if run.complete:
        return run.path
    from multidir.exchange.read import OWN
    from multidir.exchange.write import write_directions
    from multidir.experiments.steering.setup import read_norms
    from multidir.records.intervention import Dose
    from multidir.records.scope import Scope
    from multidir.store.directions import load_directions

    with run:
        s = cfg.science
        there = load_directions(cfg.directions / OWN)
        chosen = [there[name] for name in s.names or there.names]
        norms = read_norms(cfg.directions / "norms.json", s.role) if s.unit == "relative" else None
        said = write_directions(run.path, s.to, chosen, Dose(s.dose, s.unit), Scope(s.scope), norms, s.model_hint)
        run.note(headline=said)
    return run.path
