"""Where other programs count layers and how that reads as a site; vectors by block, which is what all of them store.

    repeng, llama.cpp    direction.N                 added to the output of block N          LN.resid_post
    steering-vectors     layer_activations[N]        added to the output of block N          LN.resid_post
    vllm-lens            layer_indices = [N]         added to the output of block N          LN.resid_post
    EasySteer            layer.N, layers = [N]       added to the output of block N          LN.resid_post
    SAELens              blocks.N.hook_resid_post    trained on the output of block N        LN.resid_post
    transformers         hidden_states[N]            the input of block N                    LN.resid_pre

All of them count blocks from 0; llama.cpp cannot steer block 0. Its own generator of control vectors names what it
measured at the output of block N-1 `direction.N`: such a vector is applied one block after the place it was found at.

The input of a block is the output of the block before it, so that `L10.resid_pre` can be written for programs
that know block outputs only; `L0.resid_pre`, the embedding, cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose
from multidir.records.site import Site
from multidir.steer.dose import to_residual_units
from multidir.types import FloatArray

Rows = Literal["blocks", "hidden_states"]
"""What layer numbers count: outputs of blocks (0 is the first block's), or `hidden_states` (0 is the embedding)."""

AS_FOUND = Dose(1.0, "activation")
"""A direction with the length it was found with: the strength of the reading program is then in that unit."""


def block_output(site: Site) -> int:
    """The block whose output a site is.

    Raises:
        ConfigError: the site is the embedding, before any block.
    """
    block = site.layer - (site.stream == "resid_pre")
    if block < 0:
        raise ConfigError(
            f"{site} is the embedding, before the first block; this format adds to outputs of blocks only, "
            "so choose a later site"
        )
    return block


def by_block(
    directions: Iterable[Direction], dose: Dose = AS_FOUND, mean_norms: Mapping[Site, float] | None = None
) -> dict[int, tuple[Direction, FloatArray]]:
    """One direction per block, with the vector (d,) that the dose makes of it.

    Raises:
        ConfigError: two directions at one place, the embedding, or a dose without its unit.
        DesignError: a dose of zero.
    """
    if dose.value == 0:
        raise DesignError("a dose of 0 leaves nothing to write; give another one")
    found: dict[int, tuple[Direction, FloatArray]] = {}
    for item in directions:
        block = block_output(item.site)
        if block in found:
            raise ConfigError(
                f"{found[block][0].name!r} and {item.name!r} both belong to the output of block {block}, and this "
                "format holds one vector per block; choose one of them by name"
            )
        found[block] = item, item.unit * to_residual_units(dose, item, (mean_norms or {}).get(item.site))
    return dict(sorted(found.items()))


def named(
    stem: str, vectors: Mapping[Site, FloatArray], method: str, source: Mapping[str, Any], where: str
) -> list[Direction]:
    """Directions called `stem L10.resid_post`, or only `stem` when there is a single one.

    Raises:
        FormatError: a vector is zero, not finite or not a vector; `where` is named.
    """
    several = len(vectors) > 1
    try:
        return [
            Direction.from_vector(f"{stem} {site}" if several else stem, vector, site, method, dict(source))
            for site, vector in sorted(vectors.items())
        ]
    except (ConfigError, DesignError) as error:
        raise FormatError(f"{where}: {error}") from error


def only_sites(directions: Iterable[Direction], sites: Iterable[Site], where: str) -> DirectionSet:
    """The directions at some sites, all of them when none is given.

    Raises:
        FormatError: there is nothing at one of the sites, or nothing at all.
    """
    items, wanted = list(directions), set(sites)
    there = {item.site for item in items}
    if missing := sorted(wanted - there):
        raise FormatError(
            f"{where} holds nothing at {', '.join(map(str, missing))}; there are {', '.join(map(str, sorted(there)))}"
        )
    try:
        return DirectionSet(item for item in items if not wanted or item.site in wanted)
    except (ConfigError, DesignError) as error:
        raise FormatError(f"{where}: {error}") from error
