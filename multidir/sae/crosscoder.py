"""Crosscoders: one dictionary over two models at the same tokens, and which latents belong to one of them.

    rows   [base | reasoning] side by side           enc, dec: both models' halves of one latent
    share  |dec reasoning| / (|dec base| + |dec reasoning|)          0: base only, 1/2: shared, 1: reasoning only

A latent can look specific and be in both models: training shrinks a half that is weakly needed, or splits one feature
into a latent per model. Latent scaling tells: the factor beta by which a latent's direction in its own model, times
its activations, best explains a target in either model. nu = beta other / beta own, near 0 for a latent that is really
specific:

    nu_error    targets: the other model's reconstruction error; the own one's, with the latent's part added back
    nu_kept     targets: the two models' reconstructions, the latent's own part included

Source: Minder et al., Overcoming sparsity artifacts in crosscoders (arXiv 2504.02922).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from multidir.errors import DesignError
from multidir.sae.dictionary import Dictionary, pieces
from multidir.types import FloatArray

SPECIFIC = 0.9
"""Share of the decoder length from which a latent counts as one model's; below 1 - SPECIFIC as the other's."""
FALSE_ABOVE = 0.5
"""A specific latent with a nu above this is in both models after all."""


@dataclass(frozen=True, eq=False)
class Halves:
    """A crosscoder taken apart by model; arrays of two are (base, reasoning)."""

    dictionary: Dictionary

    def __post_init__(self) -> None:
        """Refuse an odd width."""
        if self.dictionary.d % 2:
            raise DesignError(f"a crosscoder reads two models of one width; this reads {self.dictionary.d} channels")

    @property
    def dec(self) -> tuple[Tensor, Tensor]:
        """(f, d) decoder rows of each model."""
        base, reasoning = self.dictionary.dec.chunk(2, dim=1)
        return base, reasoning

    @property
    def reasoning_share(self) -> FloatArray:
        """(f,) share of the decoder length that lies in the reasoning model; nan for a latent without any."""
        base, reasoning = (part.double().norm(dim=1).cpu().numpy() for part in self.dec)
        with np.errstate(invalid="ignore"):
            found: FloatArray = reasoning / (base + reasoning)
        return found


@torch.no_grad()
def latent_scaling(dictionary: Dictionary, rows: Tensor) -> pd.DataFrame:
    """Whose every latent is, and whether scaling agrees.

        beta = sum f (d . y) / sum f^2 |d|^2          f activations, d direction in the latent's own model, y target

    Args:
        dictionary: a crosscoder.
        rows: (n, 2 d) float, both models' rows of the same tokens, as stored.

    Returns:
        A row per latent: latent, reasoning_share, cosine (of its two halves), density, nu_error, nu_kept (nan where a
        latent is silent or shared), kind: `base`, `shared`, `reasoning`, `false base`, `false reasoning` or `silent`.
    """
    halves = Halves(dictionary)
    dec, share = halves.dec, halves.reasoning_share
    own = torch.from_numpy(np.nan_to_num(share, nan=0.5) >= 0.5).to(rows.device)
    direction = torch.where(own[:, None], dec[1], dec[0]).double()
    f = dictionary.width
    square, fired = torch.zeros(f, dtype=torch.float64), torch.zeros(f, dtype=torch.float64)
    sums = {name: torch.zeros(2, f, dtype=torch.float64) for name in ("error", "kept")}
    for part in pieces(len(rows), f):
        acts = dictionary.encode(rows[part])
        kept = dictionary.decode(acts) - dictionary.dec_bias
        error = rows[part] - dictionary.dec_bias - kept
        square += acts.double().square().sum(0)
        fired += (acts > 0).sum(0)
        for name, target in (("error", error), ("kept", kept)):
            for model, half in enumerate(target.chunk(2, dim=1)):
                sums[name][model] += ((acts.T @ half).double() * direction).sum(1)
    length = square * direction.square().sum(1)
    nu = {name: _ratio(table / length, own, added=name == "error") for name, table in sums.items()}
    density = (fired / len(rows)).numpy()
    kinds = [_kind(*values) for values in zip(share, density, nu["error"], nu["kept"], strict=True)]
    shared = np.array([kind in ("shared", "silent") for kind in kinds])
    return pd.DataFrame(
        {
            "latent": np.arange(f),
            "reasoning_share": share,
            "cosine": torch.nn.functional.cosine_similarity(dec[0].double(), dec[1].double(), dim=1).numpy(),
            "density": density,
            "nu_error": np.where(shared, np.nan, nu["error"]),
            "nu_kept": np.where(shared, np.nan, nu["kept"]),
            "kind": kinds,
        }
    )


def _ratio(beta: Tensor, own: Tensor, added: bool) -> FloatArray:
    """(f,) beta in the other model over beta in the own one; adding a latent's own part back adds exactly 1."""
    mine, other = torch.where(own, beta[1], beta[0]) + added, torch.where(own, beta[0], beta[1])
    found: FloatArray = (other / mine).numpy()
    return found


def _kind(share: float, density: float, error: float, kept: float) -> str:
    if density == 0 or share != share:
        return "silent"
    name = "reasoning" if share >= SPECIFIC else "base" if share <= 1 - SPECIFIC else ""
    return "shared" if not name else f"false {name}" if max(error, kept) > FALSE_ABOVE else name
