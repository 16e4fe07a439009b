"""Decoder rows of a sparse autoencoder saved by SAELens, as directions; sae_lens itself is not needed.

    folder/cfg.json                  `metadata.hook_name` (before version 6: `hook_name`) is the site
    folder/sae_weights.safetensors   `W_dec` (f, d): latent i adds its activation times row i

A direction's length is what one unit of the latent's activation adds, so that a dose in `activation` units is the
latent's activation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_HOOK = re.compile(r"blocks\.(\d+)\.hook_(resid_pre|resid_post)")


def read_sae_decoder(folder: Path, latents: Iterable[int]) -> DirectionSet:
    """The decoder rows of some latents, named `FOLDER/latent N`.

    Raises:
        ConfigError: no latent, one twice, or one beyond the dictionary.
        FormatError: no SAE of SAELens, one that reads something else than the residual stream, or one whose
            decoder is in other units than the residual stream.
    """
    folder, wanted = Path(folder), [int(latent) for latent in latents]
    if not wanted or len(set(wanted)) < len(wanted):
        raise ConfigError(f"name the latents whose decoder rows are wanted, each once; got {wanted}")
    config = _config(folder)
    site, unit_decoder = _site(folder, config), bool(config.get("rescale_acts_by_decoder_norm", False))
    source = {"sae": folder.name, "format": "sae_lens", "architecture": config.get("architecture", "standard")}
    source |= {"model": _meta(config, "model_name")}
    try:
        return DirectionSet(
            Direction.from_vector(
                f"{folder.name}/latent {latent}",
                row / np.linalg.norm(row) if unit_decoder and row.any() else row,
                site,
                "sae",
                {**source, "latent": latent},
            )
            for latent, row in zip(wanted, _rows(folder, wanted), strict=True)
        )
    except DesignError as error:
        raise FormatError(f"{folder}: {error}") from error


def _meta(config: dict[str, Any], key: str) -> Any:
    return (config.get("metadata") or {}).get(key) or config.get(key)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{folder} holds no readable {CONFIG}, as SAELens writes it: {error}") from error
    if not isinstance(config, dict):
        raise FormatError(f"{folder / CONFIG} is not a JSON object")
    units = config.get("normalize_activations", "none")
    if units != "none":
        raise FormatError(
            f"{folder} was trained on activations normalised by {units!r} and its decoder is in those units; fold the "
            "scale into the weights with sae_lens (fold_activation_norm_scaling_factor) and save it again"
        )
    return config


def _site(folder: Path, config: dict[str, Any]) -> Site:
    hook = _meta(config, "hook_name")
    found = _HOOK.fullmatch(str(hook))
    if found is None:
        raise FormatError(
            f"{folder} reads {hook!r}; multidir steers the residual stream between blocks, "
            "blocks.N.hook_resid_post or blocks.N.hook_resid_pre"
        )
    return Site(int(found[1]), found[2])


def _rows(folder: Path, wanted: list[int]) -> list[Any]:
    path = folder / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:  # torch, because numpy has no bfloat16
            decoder = file.get_slice("W_dec")
            count = decoder.get_shape()[0]
            if beyond := [latent for latent in wanted if not 0 <= latent < count]:
                raise ConfigError(f"{folder} has latents 0 to {count - 1}; got {', '.join(map(str, beyond))}")
            return [decoder[latent : latent + 1][0].double().numpy() for latent in wanted]
    except (FileNotFoundError, SafetensorError, OSError) as error:
        raise FormatError(f"{path} cannot be read as the weights of an SAE: {error}") from error
