"""Attention in two parts against attention over everything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from multidir.models.language_model import LanguageModel
from multidir.models.row_attention import RowAttention, is_plain

HEADS, KV, WIDTH = 4, 2, 8
MODULE = SimpleNamespace(layer_idx=0)


@pytest.mark.parametrize("lengths", [(5, 5), (5, 9, 0), (0, 3)])
def test_parts_put_together_are_the_whole(lengths: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(0)
    prefixes = [torch.randn(2, KV, n, WIDTH, generator=g) for n in lengths]
    of_row = torch.randint(0, len(lengths), (7,), generator=g).tolist()
    own = torch.randn(2, 7, KV, 6, WIDTH, generator=g)
    lengths_own = torch.tensor([6, 6, 3, 1, 2, 6, 4])
    query = 3 * torch.randn(7, HEADS, 1, WIDTH, generator=g)
    attention = RowAttention()
    attention.hold([[(p[0], p[1])] if p.shape[2] else () for p in prefixes], torch.device("cpu"))
    attention.assign(of_row, torch.device("cpu"))
    attention.hidden = (torch.arange(6) < 6 - lengths_own[:, None])[:, None, None]
    found, _ = attention(MODULE, query, own[0], own[1], None)  # type: ignore[arg-type]
    for row, prefix in enumerate(of_row):
        first = 6 - int(lengths_own[row])
        keys, values = (torch.cat([prefixes[prefix][i], own[i, row, :, first:]], 1)[None] for i in range(2))
        expected = scaled_dot_product_attention(query[row][None], keys, values, enable_gqa=True)
        torch.testing.assert_close(found[row, 0], expected[0, :, 0], atol=1e-5, rtol=1e-5)


def test_the_model_is_as_before_afterwards(lm: LanguageModel) -> None:
    before, known = lm.model.config._attn_implementation, set(AttentionInterface().valid_keys())
    with RowAttention().used_by(lm.model):
        assert lm.model.config._attn_implementation != before
    assert lm.model.config._attn_implementation == before
    assert set(AttentionInterface().valid_keys()) == known


def test_models_whose_attention_is_not_plain_do_not_share(lm: LanguageModel) -> None:
    assert is_plain(lm.model)
    lm.model.config.attn_logit_softcapping = 30.0
    assert not is_plain(lm.model)
    lm.model.config.attn_logit_softcapping = None
    lm.model.config.sliding_window = 8
    assert not is_plain(lm.model)
