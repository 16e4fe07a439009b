"""Absolute positions of forward passes."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from multidir.models.blocks import cached
from multidir.models.language_model import LanguageModel
from multidir.models.positions import absolute_positions, track_positions

IDS = torch.tensor([[0, 5, 6, 7, 8], [2, 2, 0, 8, 7]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
TRUE = torch.tensor([[0, 1, 2, 3, 4], [-1, -1, 0, 1, 2]])


def seen(lm: LanguageModel, chunks: list[int], decode: int) -> torch.Tensor:
    """Positions that are reported over a chunked prefill and some decoding steps."""
    cache, found, start = DynamicCache(config=lm.model.config), [], 0
    with track_positions(lm.model) as positions:
        for size in chunks:
            end = start + size
            lm.model(IDS[:, start:end], attention_mask=MASK[:, :end], **cached(lm.model, cache), use_cache=True)
            found.append(positions.current)
            assert positions.fresh == (start == 0)
            start = end
        for step in range(decode):
            mask = torch.cat([MASK, torch.ones(2, step + 1, dtype=torch.long)], 1)
            lm.model(IDS[:, :1], attention_mask=mask, **cached(lm.model, cache), use_cache=True)
            found.append(positions.current)
    return torch.cat(found, 1)


@pytest.mark.parametrize("chunks", [[5], [2, 3], [1, 1, 1, 1, 1]])
def test_prefill_in_any_chunks_and_decoding_agree(lm: LanguageModel, chunks: list[int]) -> None:
    expected = torch.cat([TRUE, torch.tensor([[5, 6], [3, 4]])], 1)
    assert torch.equal(seen(lm, chunks, decode=2), expected)


def test_right_padding_is_padding_too() -> None:
    places, fresh = absolute_positions({"input_ids": IDS, "attention_mask": MASK.flip(1)})
    assert torch.equal(places, torch.tensor([[0, 1, 2, 3, 4], [0, 1, 2, -1, -1]]))
    assert fresh


def test_without_mask_explicit_positions_count() -> None:
    places, _ = absolute_positions({"input_ids": IDS, "position_ids": torch.arange(7, 12)[None]})
    assert torch.equal(places, torch.arange(7, 12).expand(2, 5))


def test_without_mask_and_positions_the_cache_counts(lm: LanguageModel) -> None:
    cache = DynamicCache(config=lm.model.config)
    with track_positions(lm.model) as positions:
        lm.model(IDS, **cached(lm.model, cache), use_cache=True)
        assert torch.equal(positions.current, torch.arange(5).expand(2, 5))
        lm.model(IDS[:, :2], **cached(lm.model, cache), use_cache=True)
        assert torch.equal(positions.current, torch.arange(5, 7).expand(2, 2))
        assert not positions.fresh


class Newer(torch.nn.Module):
    """A decoder as transformers has them since 5.24."""

    def forward(self, input_ids: torch.Tensor, cache: DynamicCache | None = None) -> None: ...


class Older(torch.nn.Module):
    def forward(self, input_ids: torch.Tensor, past_key_values: DynamicCache | None = None) -> None: ...


@pytest.mark.parametrize(("kind", "name"), [(Newer, "cache"), (Older, "past_key_values")])
def test_a_cache_is_handed_over_and_counted_under_either_name(lm: LanguageModel, kind, name: str) -> None:
    cache = DynamicCache(config=lm.model.config)
    lm.model(IDS, **cached(lm.model, cache), use_cache=True)
    handed = cached(kind(), cache)
    assert handed == {name: cache}
    places, fresh = absolute_positions({"input_ids": IDS[:, :2], **handed})
    assert torch.equal(places, torch.arange(5, 7).expand(2, 2))
    assert not fresh
    assert absolute_positions({"input_ids": IDS, name: None})[1]


def test_embeddings_instead_of_ids_and_positional_arguments(lm: LanguageModel) -> None:
    with track_positions(lm.model) as positions:
        lm.model(inputs_embeds=torch.zeros(2, 3, 32))
        assert torch.equal(positions.current, torch.arange(3).expand(2, 3))
        lm.model.model(IDS, MASK)
        assert torch.equal(positions.current, TRUE)
    assert not lm.model.model._forward_pre_hooks
