"""The cache whose rows enter, grow and leave in place."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from multidir.errors import ModelError
from multidir.models.cache import RoomyCache, RoomyLayer, moves
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from tests.models.tiny import tiny_llama, tiny_lm

MODEL = tiny_llama(layers=2)
HEADS, WIDTH = 2, 8

Row = list[float]
"""What a row holds, one number per token: every key is that number, every value its negative."""
APPEND, ENTER = st.integers(1, 90), st.lists(st.integers(0, 70), min_size=1, max_size=3)
LEAVE = st.lists(st.booleans(), min_size=8, max_size=8)
STEPS = st.lists(st.one_of(APPEND, ENTER, LEAVE), max_size=12)


def stretch(row: Row) -> list[tuple[torch.Tensor, torch.Tensor]]:
    keys = torch.tensor(row)[None, :, None].expand(HEADS, -1, WIDTH)
    return [(keys + block, -keys) for block in range(2)]


def check(cache: RoomyCache, rows: list[Row]) -> None:
    """Every row stands at the right end, in every block."""
    for block, layer in enumerate(cache.layers):
        assert len(layer.keys) == len(rows)
        for row, keys, values in zip(rows, layer.keys, layer.values, strict=True):
            expected = torch.tensor(row)[None, :, None].expand(HEADS, -1, WIDTH)
            assert torch.equal(keys[:, keys.shape[1] - len(row) :], expected + block)
            assert torch.equal(values[:, values.shape[1] - len(row) :], -expected)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_rows_keep_what_they_hold(steps: list[int | list[int] | list[bool]]) -> None:
    """Writing tokens (a number), letting rows in (their lengths) and out (flags), in any order."""
    cache, fresh = RoomyCache(MODEL, spare=16), count(1)
    rows: list[Row] = [[float(next(fresh))]]
    cache.enter([[stretch(rows[0])]])
    for step in steps:
        if isinstance(step, int):
            if not rows:
                continue
            new = [[float(next(fresh)) for _ in range(step)] for _ in rows]
            made = [stretch(row) for row in new]
            for block in range(2):
                cache.update(*(torch.stack([each[block][part] for each in made]) for part in range(2)), block)
            rows = [row + more for row, more in zip(rows, new, strict=True)]
        elif isinstance(step[0], bool):
            gone = torch.tensor(step[: len(rows)] + [False] * (len(rows) - len(step)), dtype=torch.bool)
            stay, holes, movers = moves(gone)
            assert sorted(stay.tolist()) == (~gone).nonzero().squeeze(1).tolist()
            cache.leave(holes, movers, len(stay))
            rows = [rows[place] for place in stay.tolist()]
            cache.trim(max(map(len, rows), default=0))
        else:
            new = [[float(next(fresh)) for _ in range(length)] for length in step]
            cache.enter([[stretch(row[:3]), stretch(row[3:])] for row in new])
            rows += new
        check(cache, rows)
        assert cache.get_seq_length() == cache.columns >= max(map(len, rows), default=0)


def test_new_tokens_are_written_in_place() -> None:
    layer = RoomyLayer()
    layer.update(torch.ones(2, 1, 5, 4), torch.ones(2, 1, 5, 4))
    before = layer.keys.data_ptr()
    for _ in range(40):
        layer.update(torch.ones(2, 1, 1, 4), torch.ones(2, 1, 1, 4))
    assert layer.keys.data_ptr() == before
    assert layer.keys.shape == (2, 1, 45, 4)


def test_blocks_that_remember_otherwise_are_refused() -> None:
    with torch.random.fork_rng():
        model = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=32, state_size=4))
    with pytest.raises(ModelError, match="memory is not keys and values"):
        RoomyCache(model)


FAMILIES = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            n_layer=2,
            n_embd=32,
            n_head=2,
            vocab_size=416,
            n_positions=128,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=1,
            tie_word_embeddings=False,
        )
    ),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            vocab_size=416,
            initializer_range=0.3,
        )
    ),
    "gemma2 with sliding windows": lambda: Gemma2ForCausalLM(
        Gemma2Config(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            intermediate_size=64,
            vocab_size=416,
            sliding_window=6,
            tie_word_embeddings=False,
            initializer_range=0.3,
        )
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_generate_as_transformers_does(family: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = FAMILIES[family]().eval().requires_grad_(False)
    model.generation_config.eos_token_id = list(range(1, 400, 8))
    model.generation_config.pad_token_id = 0
    lm: LanguageModel = replace(tiny_lm(), model=model)
    lm.tokenizer.eos_token = None
    g = torch.Generator().manual_seed(0)
    prompts = [torch.randint(5, 400, (n,), generator=g).tolist() for n in (3, 12, 7, 9, 4)]
    found = generate(lm, prompts, [0] * 5, Sampling(False, max_new_tokens=20))
    assert len({len(each.new_ids) for each in found}) > 1
    for prompt, ours in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
        assert ours.token_ids == tuple(theirs[0].tolist())
