"""Fold an intervention into the weights of a model, so that any engine runs it without a hook.

An addition at a site becomes a bias, a projection changes everything that writes to the residual stream. The folded
model is compared with the hooked one before it is saved; the run's last sentence says which hooked intervention it is
equal to, and how closely. A projection of the stream at one site cannot be folded (see multidir/models/fold.py).

    multidir run train/fold --directions runs/train/directions/... --names "base/backtracking ..." --dose 0.45
    multidir run train/fold --directions ... --names ... --operator project_out --where everywhere

Writes model/ (config, weights, tokenizer) and agreement.json. Seconds on the tiny pair. The model is
held in memory once, in the number format that it is saved in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.store.atomic import write_json_atomic


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    role: Literal["base", "reasoning"] = "reasoning"
    """Which model of the pair."""
    names: tuple[str, ...] = ()
    """Which directions; all when empty."""
    operator: Literal["add", "project_out"] = "add"
    """Add a dose of each direction at its site, or take their span out of what is written to the stream."""
    dose: float = 1.0
    """How much is added, in `unit`."""
    unit: Literal["activation", "residual", "relative"] = "relative"
    """`activation`: the direction's own length; `residual`: absolute; `relative`: the mean residual norm."""
    where: Literal["everywhere", "from", "at"] = "everywhere"
    """Out of what a span is taken: all writes, those after `site`, or that of the block whose output `site` is."""
    site: str | None = None
    """For `where` other than everywhere, such as `L10`."""
    save_as: Literal["keep", "float32", "bfloat16", "float16"] = "keep"
    """Number format of the saved weights, in which they are compared too; `keep`: that of the model."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    directions: Path
    """Run folder of train/directions or train/import-directions."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Fold, compare, save, and return the run folder."""
    run = open_stage(cfg, "train/fold")
    if run.complete:
        return run.path
    from multidir.exchange.read import OWN
    from multidir.experiments.steering.setup import read_norms
    from multidir.models.fold import Addition, Projection
    from multidir.models.load import load_model, save_model
    from multidir.models.shape import model_shape
    from multidir.records.intervention import Dose
    from multidir.records.site import Site
    from multidir.steer.fold import addition, fold, projection
    from multidir.store.directions import load_directions

    with run:
        s = cfg.science
        source = cfg.pair.source(s.role)
        dtype = model_shape(source).dtype if s.save_as == "keep" else s.save_as
        lm = load_model(source, s.role, cfg.compute.device, dtype)
        there = load_directions(cfg.directions / OWN)
        chosen = [there[name] for name in s.names or there.names]
        if s.operator == "add":
            norms = read_norms(cfg.directions / "norms.json", "reasoning") if s.unit == "relative" else None
            edit: Addition | Projection = addition(lm, chosen, Dose(s.dose, s.unit), norms)
        else:
            edit = projection(lm, chosen, s.where, None if s.site is None else Site.parse(s.site))
        found = fold(lm, edit)
        save_model(lm, run.file("model/config.json").parent)
        write_json_atomic(run.file("agreement.json"), found)
        run.note(headline=str(found))
    return run.path
