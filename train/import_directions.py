"""Take over directions that another program found: control vectors, steering vectors, class means, SAE latents.

Reads `.gguf` (repeng, llama.cpp), `.pt` (one vector, one per layer, means by label, steering-vectors), a folder of
SAELens, or `.safetensors` with vectors named <role>/<label>. Files that do not say where their vectors belong need
--site, or --rows for what their layer numbers count; nothing is guessed and nothing is unpickled.

    multidir run train/import-directions --file vector.gguf --for-model shipped:tiny/reasoning-and
    multidir run train/import-directions --file means.pt --sites L10 --role reasoning
    multidir run train/import-directions --file my_sae/ --latents 7792 71

Writes directions.safetensors. Seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.direction import DirectionSet
from multidir.records.site import Site
from multidir.store.directions import save_directions


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    site: str | None = None
    """Where the vectors belong, such as `L10`, for a file that holds no layers."""
    rows: Literal["blocks", "hidden_states"] | None = None
    """What layer numbers count: outputs of blocks, or hidden_states (0 is the embedding). For `.pt` files."""
    sites: tuple[str, ...] = ()
    """Keep only these sites; all when empty."""
    latents: tuple[int, ...] = ()
    """Which decoder rows of an SAE."""
    role: Literal["base", "reasoning"] | None = None
    """Which model they were found in, if that is known."""
    for_model: str | None = None
    """Model they are meant for: another width or a site beyond its last block is refused."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    file: Path
    """File or folder to read."""
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Read the directions and return the run folder."""
    run = open_stage(cfg, "train/import-directions")
    if run.complete:
        return run.path
    from multidir.exchange.read import read_directions
    from multidir.models.shape import model_shape

    with run:
        s = cfg.science
        site = None if s.site is None else Site.parse(s.site)
        found = read_directions(cfg.file, site, s.rows, [Site.parse(text) for text in s.sites], s.latents)
        if s.for_model is not None:
            model_shape(s.for_model).check(found)
        if s.role is not None:
            found = DirectionSet(replace(item, source={**item.source, "role": s.role}) for item in found)
        save_directions(run.file("directions.safetensors"), found)
        places = sorted({item.site for item in found})
        run.note(headline=f"{found.summary} at {', '.join(map(str, places))}")
    return run.path
