"""The roomy cache against the one of transformers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    DynamicCache,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from multidir.models.cache import RoomyLayer, drop_rows, roomy_cache
from multidir.models.generate import generate
from multidir.models.load import LanguageModel
from multidir.models.sampling import Sampling
from tests.models.tiny import tiny_llama, tiny_lm

MODEL = tiny_llama(layers=2)
STEPS = st.lists(st.one_of(st.integers(1, 90), st.lists(st.booleans(), min_size=6, max_size=6)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_holds_what_the_cache_of_transformers_holds(steps: list[int | list[bool]]) -> None:
    """Appending tokens (an integer) and dropping rows (a list), in any order."""
    ours, theirs = roomy_cache(MODEL), DynamicCache(config=MODEL.config)
    g, rows = torch.Generator().manual_seed(0), 6
    for step in steps:
        if isinstance(step, int):
            new = torch.randn(2, rows, 2, step, 8, generator=g)
            for layer in range(2):
                found, expected = (c.update(new[0] + layer, new[1], layer) for c in (ours, theirs))
                assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        elif ours.get_seq_length() and not all(step[:rows]):
            stay = drop_rows(ours, torch.tensor(step[:rows]))
            assert sorted(stay.tolist()) == [i for i in range(rows) if not step[i]]
            theirs.batch_select_indices(stay)
            rows = len(stay)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_new_tokens_are_written_in_place() -> None:
    layer = RoomyLayer()
    layer.update(torch.ones(2, 1, 5, 4), torch.ones(2, 1, 5, 4))
    before = layer.keys.data_ptr()
    for _ in range(40):
        layer.update(torch.ones(2, 1, 1, 4), torch.ones(2, 1, 1, 4))
    assert layer.keys.data_ptr() == before
    assert layer.keys.shape == (2, 1, 45, 4)


def test_changes_from_outside_are_noticed() -> None:
    """Cropping, repeating and selecting rows as transformers does them."""
    g = torch.Generator().manual_seed(0)
    caches = roomy_cache(MODEL), DynamicCache(config=MODEL.config)

    def put(rows: int, tokens: int) -> None:
        new = torch.randn(rows, 2, tokens, 8, generator=g)
        found, expected = (c.update(new, new, 0)[0] for c in caches)
        assert torch.equal(found, expected)

    put(3, 4)
    for cache in caches:
        cache.layers[0].crop(-2)
    put(3, 1)
    for cache in caches:
        cache.layers[0].batch_repeat_interleave(2)
    put(6, 1)
    for cache in caches:
        cache.layers[0].batch_select_indices(torch.tensor([5, 0]))
    put(2, 3)


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
