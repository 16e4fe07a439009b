"""Choosing tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from multidir.errors import ConfigError
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling, choose, draws


def kept_by_transformers(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    steps = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    return torch.softmax(steps(None, logits), -1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    top_k=st.sampled_from([0, 1, 5, 500]),
)
def test_distribution_is_that_of_transformers(seed: int, temperature: float, top_p: float, top_k: int) -> None:
    """A fine grid of uniforms turns every row into its own distribution."""
    sampling = Sampling(True, temperature, top_p, top_k)
    logits = torch.randn(1, 40, generator=torch.Generator().manual_seed(seed)) * 3
    expected = kept_by_transformers(logits, sampling)[0].double()
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    tokens = choose(logits.expand(4000, 40), grid, sampling)
    found = torch.bincount(tokens, minlength=40).double() / 4000
    assert (found - expected).abs().max() <= 1 / 4000 + 1e-6
    assert not found[expected == 0].any()


def test_greedy_is_the_maximum() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 1.0]])
    assert choose(logits, torch.zeros(2), Sampling(False)).tolist() == [1, 0]


def test_extreme_uniforms_never_choose_an_impossible_token() -> None:
    logits = torch.tensor([[-1e9, 0.0, -1e9, 0.0, -1e9]])
    for u in (0.0, 1 - 2**-53):
        for sampling in (Sampling(), Sampling(top_p=0.999), Sampling(top_k=2)):
            assert int(choose(logits, torch.tensor([u], dtype=torch.float64), sampling)) in (1, 3)


def test_ties_at_the_edge_are_all_kept() -> None:
    logits = torch.zeros(1000, 10)
    grid = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert choose(logits, grid, Sampling(top_p=0.5)).unique().numel() == 10


def test_a_row_draws_the_same_numbers_in_any_company() -> None:
    together = draws([7, 8, 9], 50)
    assert torch.equal(draws([8], 50)[0], together[1])
    assert torch.equal(draws([9, 7], 50)[1], together[0])
    assert torch.equal(draws([8], 20)[0], together[1, :20]), "a shorter limit draws the beginning"
    assert not torch.equal(together[0], together[1])


def test_global_random_state_is_not_touched() -> None:
    before = torch.get_rng_state()
    draws([1], 10)
    assert torch.equal(before, torch.get_rng_state())


def test_defaults_come_from_the_model(lm: LanguageModel) -> None:
    assert Sampling.of(lm, 20) == Sampling(True, 0.8, 0.95, 0, 20)
    with pytest.raises(ConfigError, match="names no max_new_tokens"):
        Sampling.of(lm)
    lm.model.generation_config.max_new_tokens = 9
    lm.model.generation_config.do_sample = None
    assert Sampling.of(lm) == Sampling(False, 0.8, 0.95, 0, 9)


WRONG = [("temperature", 0), ("top_p", 0), ("top_p", 1.5), ("top_k", -1), ("max_new_tokens", 0)]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_settings_that_choose_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match="sampling needs temperature > 0"):
        replace(Sampling(), **{name: value})


def test_sorting_agrees_with_torch() -> None:
    from multidir.models.sampling import _ascending

    values = torch.tensor(np.random.default_rng(0).random((3, 50)), dtype=torch.float32)
    assert torch.equal(_ascending(values), values.sort(-1).values)
