"""Clamping a latent against sae_lens: encode, change the latent, decode, and add the error term back."""

from __future__ import annotations

import warnings

import pytest
import torch

from multidir.records.latent import Latent
from multidir.records.site import Site
from multidir.steer.operators.base import Amount, At
from multidir.steer.operators.clamp import Clamp
from tests.steer.arms import Sae

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sae_lens

D, F = 32, 48
KINDS = {"Standard": {}, "JumpReLU": {}, "TopK": {"k": 6}}


def filled(kind: str, centred: bool) -> sae_lens.SAE:
    """A dictionary of random weights."""
    config = getattr(sae_lens, f"{kind}SAEConfig")
    sae = getattr(sae_lens, f"{kind}SAE")(
        config(d_in=D, d_sae=F, dtype="float64", device="cpu", apply_b_dec_to_input=centred, **KINDS[kind])
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return sae


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_clamp_is_what_sae_lens_decodes_with_its_error_put_back(kind: str, centred: bool) -> None:
    theirs = filled(kind, centred)
    threshold = theirs.threshold.numpy() if kind == "JumpReLU" else None
    folded = theirs.b_enc - centred * theirs.b_dec @ theirs.W_enc
    weights = [tensor.numpy() for tensor in (theirs.W_enc, folded, theirs.W_dec, theirs.b_dec)]
    ours = Sae(*weights, threshold, KINDS[kind].get("k"))
    x = torch.randn(3, 20, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    latents = theirs.encode(x)
    error = x - theirs.decode(latents)
    active = (latents > 0).flatten(0, 1)
    on, off, *_ = (active.any(0) & ~active.all(0)).nonzero().squeeze(1).tolist()
    latents[..., on], latents[..., off] = 2.0, 0.0
    amounts = [Amount(Latent(ours, index, Site(1)), value, "activation") for index, value in ((on, 2.0), (off, 0.0))]
    found = Clamp.of([amounts])(x, At(Site(1), torch.zeros(3, 20).long(), torch.zeros(1).long()))
    torch.testing.assert_close(found, theirs.decode(latents) + error, rtol=1e-10, atol=1e-10)
