"""Dictionaries of others: a folder, a release that SAELens knows by name, or a repository on the hub.

    load_dictionary("runs/.../sae")                                           a folder
    load_dictionary("llama_scope_r1_distill:l10r_800m_openr1_math")           RELEASE:ID
    load_dictionary("andreuka18/some-repository:blocks.10")                   OWNER/NAME:FOLDER

Published weights leave open in which unit they want their input and their threshold, and readings differ by a factor
of twenty in L0. So a dictionary is not believed before its L0 on real rows is what it was published with: see `settle`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multidir.errors import ConfigError, FormatError
from multidir.sae.dictionary import Coder, Dictionary
from multidir.sae.folder import CONFIG, is_plain, read_config, read_folder
from multidir.sae.quality import mean_l0

AGREES = 1.5
"""An L0 within this factor of the published one is taken to be the same; texts differ that much."""


class ForeignDictionary:
    """A dictionary that SAELens runs, because it needs more than weights and a threshold."""

    def __init__(self, sae: Any, facts: dict[str, Any]) -> None:
        self.sae, self.facts = sae, facts
        self.d, self.width = int(sae.cfg.d_in), int(sae.cfg.d_sae)

    @property
    def directions(self) -> Tensor:
        """(f, d) decoder rows."""
        found: Tensor = self.sae.W_dec.detach()
        return found

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(n, f) activations of (n, d) rows; the next `decode` belongs to these rows."""
        found: Tensor = self.sae.encode(x)
        return found

    @torch.no_grad()
    def decode(self, acts: Tensor) -> Tensor:
        """(n, d) reconstruction of the rows that were encoded last."""
        found: Tensor = self.sae.decode(acts)
        return found

    def __repr__(self) -> str:
        return f"ForeignDictionary({self.sae.cfg.architecture()}: {self.width} latents of width {self.d})"


def load_dictionary(source: str | Path, mean_norm: float | None = None) -> Coder:
    """Load a dictionary by folder or by name.

    Args:
        source: a folder, `RELEASE:ID` or `OWNER/NAME:FOLDER`.
        mean_norm: mean norm of the rows it is going to read; needed where a folder was trained on rows scaled to a
            mean norm of sqrt(d) and does not hold the factor.

    Raises:
        ConfigError: nobody knows the name, or it cannot be fetched, or a mean norm is needed.
        FormatError: a broken folder.
    """
    path = Path(source)
    if path.is_dir():
        return _from_folder(path, mean_norm)
    name, colon, part = str(source).partition(":")
    if not colon:
        raise ConfigError(f"{source} is no folder; give one, or RELEASE:ID, or OWNER/NAME:FOLDER of the hub")
    return _from_hub(name, part)


def _from_folder(path: Path, mean_norm: float | None) -> Coder:
    config = read_config(path)
    if is_plain(config):
        return read_folder(path)
    if config.get("normalize_activations") == "covariance_whitening":
        raise ConfigError(
            f"{path} was trained on whitened rows and holds no whitening; save it with the whitening folded"
        )
    from sae_lens import SAE

    try:
        sae = SAE.load_from_disk(path)
    except Exception as error:  # SAELens raises what its parts raise
        raise FormatError(f"SAELens cannot load {path / CONFIG}: {type(error).__name__}: {error}") from error
    if sae.cfg.normalize_activations == "expected_average_only_in":
        if mean_norm is None:
            raise ConfigError(f"{path} expects rows of mean norm sqrt({sae.cfg.d_in}); give the mean norm of yours")
        sae.fold_activation_norm_scaling_factor(sae.cfg.d_in**0.5 / mean_norm)
    return _simplest(sae, sae.cfg.metadata.to_dict())


def _from_hub(name: str, part: str) -> Coder:
    from sae_lens import SAE
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    known = get_pretrained_saes_directory().get(name)
    try:
        sae = SAE.from_pretrained(name, part)
    except Exception as error:  # SAELens and the hub's client raise what their parts raise
        raise ConfigError(f"SAELens cannot load {part!r} of {name!r}: {type(error).__name__}: {error}") from error
    facts = sae.cfg.metadata.to_dict()
    if known is not None:
        # The loaders write a model name of their own; the directory names the model that was trained on.
        facts |= {"model_name": known.model, "release": name, "sae_id": part}
        if expected := known.expected_l0.get(part):
            facts["l0"] = float(expected)
    return _simplest(sae, facts)


def _simplest(sae: Any, facts: dict[str, Any]) -> Coder:
    """Our own dictionary where it does the same; anything else stays with SAELens."""
    config = {**sae.cfg.to_dict(), "metadata": {"sae_lens_version": "6"}}
    if not is_plain({**config, "dtype": "float32"}):
        return ForeignDictionary(sae, facts)
    state = {name: value.detach().float() for name, value in sae.state_dict().items()}
    return Dictionary(
        activation=config["architecture"],
        enc=state["W_enc"].contiguous(),
        enc_bias=state["b_enc"],
        dec=state["W_dec"].contiguous(),
        dec_bias=state["b_dec"],
        threshold=state.get("threshold"),
        k=config.get("k") if config["architecture"] == "topk" else None,
        centred=bool(config["apply_b_dec_to_input"]),
        facts=facts,
    )


def settle(coder: Coder, rows: Tensor, expected: float | None = None) -> tuple[Coder, dict[str, float]]:
    """The reading of a dictionary under which its L0 is what it was published with.

    Readings: as it was loaded; its threshold compared with activations times decoder norms; its input scaled
    to a mean norm of sqrt(d). The first that agrees with the expected L0 is taken.

    Args:
        coder: as loaded.
        rows: (n, d) float, held out, as stored.
        expected: published L0; what the metadata say when none. Where nobody says, the first reading is taken.

    Returns:
        The dictionary, and the L0 under each reading that was tried.
    Raises:
        ConfigError: no reading agrees; all are listed.
    """
    wanted = expected or coder.facts.get("l0") or getattr(coder, "k", None)
    tried: dict[str, float] = {}
    for name, reading in _readings(coder, rows):
        tried[name] = mean_l0(reading, rows)
        if wanted is None or 1 / AGREES <= tried[name] / wanted <= AGREES:
            return reading, tried
    found = ", ".join(f"{l0:.1f} {name}" for name, l0 in tried.items())
    raise ConfigError(
        f"{coder} should have about {wanted:.4g} active latents per token, but on these rows it has {found}; "
        "it belongs to other activations or wants them in another unit"
    )


def _readings(coder: Coder, rows: Tensor) -> list[tuple[str, Coder]]:
    found: list[tuple[str, Coder]] = [("as loaded", coder)]
    if isinstance(coder, Dictionary):
        if coder.threshold is not None:
            lengths = coder.dec.norm(dim=1)
            by_norm = replace(coder, threshold=coder.threshold / lengths)
            found.append(("with activations times decoder norms", by_norm))
        scale = coder.d**0.5 / float(rows.norm(dim=1).mean())
        scaled = replace(coder, enc=coder.enc * scale, dec=coder.dec / scale, dec_bias=coder.dec_bias / scale)
        found.append(("with rows scaled to norm sqrt(d)", scaled))
    return found
