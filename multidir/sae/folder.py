"""SAE folders in the format of SAELens: `cfg.json` and `sae_weights.safetensors`, read and written without it.

    W_enc (d, f)   W_dec (f, d)   b_enc (f,)   b_dec (d,)   threshold (f,) for jumprelu

`sae_lens.SAE.load_from_disk` opens what is written here. The version in the metadata is not decoration: without
one of at least 6, SAELens takes the file for an old one and drops all other metadata.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from multidir.errors import ConfigError, FormatError
from multidir.records.site import Site
from multidir.sae.dictionary import Activation, Dictionary
from multidir.store.atomic import atomic_path, sha256_file, write_json_atomic

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"

_OLDEST = "6.0.0"
_NAMES = {"W_enc": "enc", "b_enc": "enc_bias", "W_dec": "dec", "b_dec": "dec_bias", "threshold": "threshold"}


def format_version() -> str:
    """The SAELens whose format this is: the installed one."""
    try:
        return metadata.version("sae-lens")
    except metadata.PackageNotFoundError:
        return _OLDEST


def hook_name(site: Site) -> str:
    """The name that TransformerLens gives a site: `blocks.10.hook_resid_post`."""
    return f"blocks.{site.layer}.hook_{site.stream}"


def site_of(facts: dict[str, Any]) -> Site | None:
    """The site that metadata name, if they name one in the residual stream."""
    hook = str(facts.get("hook_name") or "")
    parts = hook.split(".")
    if len(parts) == 3 and parts[0] == "blocks" and parts[1].isdigit() and parts[2].startswith("hook_resid_"):
        stream = parts[2].removeprefix("hook_")
        return Site(int(parts[1]), stream) if stream in Site.STREAMS else None
    return None


def write_folder(path: Path, dictionary: Dictionary) -> None:
    """Write a dictionary; the weights first, so that a folder with a config is whole.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    tensors = {name: getattr(dictionary, field) for name, field in _NAMES.items()}
    path = Path(path)
    with atomic_path(path / WEIGHTS) as partial:
        save_file({name: value.detach().cpu() for name, value in tensors.items() if value is not None}, partial)
    config: dict[str, Any] = {
        "architecture": dictionary.activation,
        "d_in": dictionary.d,
        "d_sae": dictionary.width,
        "dtype": str(dictionary.enc.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.centred,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    if dictionary.activation == "topk":
        config |= {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    version = {"sae_lens_version": format_version(), "weights_sha256": sha256_file(path / WEIGHTS)}
    write_json_atomic(path / CONFIG, {**config, "metadata": {**dictionary.facts, **version}})


def read_config(path: Path) -> dict[str, Any]:
    """The config of a folder.

    Raises:
        FormatError: there is none, or it is no JSON object.
    """
    file = Path(path) / CONFIG
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path} is no SAE folder: it has no {CONFIG}") from None
    except (OSError, ValueError) as error:
        raise FormatError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found


def is_plain(config: dict[str, Any]) -> bool:
    """Whether a config asks for nothing but what `Dictionary` does; anything else needs SAELens itself."""
    plain = {"normalize_activations": "none", "reshape_activations": "none", "rescale_acts_by_decoder_norm": False}
    return (
        config.get("architecture") in ("topk", "jumprelu", "standard")
        and config.get("dtype") == "float32"
        and all(config.get(name, value) == value for name, value in plain.items())
        and "sae_lens_version" in config.get("metadata", {})
    )


def read_folder(path: Path) -> Dictionary:
    """Read a folder whose config `is_plain`.

    Raises:
        FormatError: files are missing, broken, changed since they were written, or of other shapes.
    """
    path, config = Path(path), read_config(path)
    facts = dict(config.get("metadata", {}))
    expected = facts.get("weights_sha256")
    try:
        tensors = load_file(path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{path / WEIGHTS} cannot be read as safetensors: {error}") from error
    if expected is not None and sha256_file(path / WEIGHTS) != expected:
        raise FormatError(f"{path / WEIGHTS} is not the file that {CONFIG} was written with; save the SAE again")
    missing = [name for name in _NAMES if name not in tensors and name != "threshold"]
    if missing:
        raise FormatError(f"{path / WEIGHTS}: missing {', '.join(missing)}; it holds {', '.join(sorted(tensors))}")
    activation: Activation = config["architecture"]
    try:
        return Dictionary(
            activation=activation,
            **{field: tensors[name] for name, field in _NAMES.items() if name in tensors},
            k=config.get("k") if activation == "topk" else None,
            centred=bool(config.get("apply_b_dec_to_input", True)),
            facts=facts,
        )
    except ConfigError as error:
        raise FormatError(f"{path}: {error}") from error
