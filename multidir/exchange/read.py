"""Directions from any file that the library can read, told apart by what the file is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from multidir.errors import ConfigError, FormatError
from multidir.exchange.control_vectors import read_control_vector
from multidir.exchange.layers import Rows, only_sites
from multidir.exchange.sae_decoder import CONFIG, read_sae_decoder
from multidir.records.direction import DirectionSet
from multidir.records.site import Site
from multidir.store.atomic import sha256_file
from multidir.store.directions import load_directions, load_published

OWN = "directions.safetensors"
"""What a run folder calls its directions."""
TORCH = (".pt", ".pth", ".bin")


def read_directions(
    path: Path,
    site: Site | None = None,
    rows: Rows | None = None,
    sites: Sequence[Site] = (),
    latents: Sequence[int] = (),
) -> DirectionSet:
    """Directions of a file or folder; each remembers the file it came from by its hash.

    Args:
        path: `.safetensors` of ours or with vectors named `<role>/<label>`; `.gguf` control vector; `.pt` of torch;
            a folder of SAELens; a run folder with directions.
        site: where the vectors belong, for files that do not say it.
        rows: what layer numbers count, for files that do not say it.
        sites: keep only these; all when empty.
        latents: which decoder rows of an SAE.
    Raises:
        ConfigError: an option that the file needs is missing, or one is given that it cannot use.
        FormatError: the file is broken or of no known kind.
    """
    path = Path(path)
    if latents and not (path / CONFIG).is_file():
        raise ConfigError(f"latents are for a folder of SAELens with a {CONFIG}, and {path} is none")
    if path.suffix not in TORCH and rows is not None:
        raise ConfigError(f"{path} says itself where its vectors belong; leave out rows={rows!r}")
    if path.suffix not in (*TORCH, ".safetensors") and site is not None:
        raise ConfigError(f"{path} says itself where its vectors belong; leave out site={site}")
    if (path / OWN).is_file():
        return only_sites(load_directions(path / OWN), sites, str(path))
    if (path / CONFIG).is_file():
        return only_sites(read_sae_decoder(path, latents), sites, str(path))
    if path.suffix == ".safetensors":
        return _safetensors(path, site, sites)
    if path.suffix == ".gguf":
        return _with_hash(path, read_control_vector(path, sites))
    if path.suffix in TORCH:
        from multidir.exchange.torch_files import read_torch  # torch is not needed for the other kinds

        return _with_hash(path, read_torch(path, site, rows, sites))
    raise FormatError(
        f"{path} is of no kind that holds directions: give .safetensors, .gguf, .pt, a folder of SAELens or "
        "a run folder"
    )


def _safetensors(path: Path, site: Site | None, sites: Sequence[Site]) -> DirectionSet:
    if site is None:
        return only_sites(load_directions(path), sites, str(path))
    return _with_hash(path, only_sites(load_published(path, site), sites, str(path)))


def _with_hash(path: Path, directions: DirectionSet) -> DirectionSet:
    digest = sha256_file(path)
    return DirectionSet(replace(item, source={**item.source, "sha256": digest}) for item in directions)
