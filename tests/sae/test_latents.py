"""A dictionary that can be clamped reads and writes as the dictionary it was made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.sae.dictionary import Dictionary
from multidir.sae.latents import clampable


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("activation", ["standard", "jumprelu", "topk"])
def test_what_is_subtracted_is_folded_into_the_bias(activation: str, centred: bool) -> None:
    torch.manual_seed(0)
    enc, x = torch.randn(6, 15), torch.randn(40, 6)
    made = Dictionary(
        activation,  # type: ignore[arg-type]
        enc,
        torch.randn(15) / 4,
        torch.randn(15, 6),
        torch.randn(6),
        threshold=torch.rand(15) if activation == "jumprelu" else None,
        k=3 if activation == "topk" else None,
        centred=centred,
    )
    found = clampable(made)
    pre = x.double().numpy() @ found.W_enc + found.b_enc
    on = pre > 0
    if found.threshold is not None:
        on &= pre > found.threshold
    if found.k is not None:
        on &= pre >= np.sort(pre, axis=1)[:, [-found.k]]
    np.testing.assert_allclose(np.where(on, pre, 0), made.encode(x).numpy(), atol=1e-5)
    np.testing.assert_allclose(
        made.encode(x).numpy() @ found.W_dec + found.b_dec, made.decode(made.encode(x)), atol=1e-4
    )
    assert (found.threshold is None) == (activation != "jumprelu")
