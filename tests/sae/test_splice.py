"""Predictions with a reconstruction in the residual stream's place: exact at both ends, and no hook left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import DesignError
from multidir.models.capture import capture
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from multidir.sae.dictionary import Dictionary
from multidir.sae.splice import Spliced, splice
from tests.models.tiny import tiny_lm

SITE = Site(1)
TEXTS = [[0, *range(10 + n, 30 + 2 * n)] for n in range(5)]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_lm()


@pytest.fixture(scope="module")
def mean(lm: LanguageModel) -> torch.Tensor:
    return torch.cat([rows[SITE][1:] for _, rows in capture(lm, TEXTS, [SITE])]).mean(0)


def identity(d: int, noise: float = 0.0) -> Dictionary:
    eye = torch.eye(d)
    dec = torch.cat([eye, -eye])
    dec = dec + noise * torch.randn(dec.shape, generator=torch.Generator().manual_seed(0))
    return Dictionary("standard", torch.cat([eye, -eye], 1), torch.zeros(2 * d), dec, torch.zeros(d))


def of(lm: LanguageModel, coder: Dictionary, mean: torch.Tensor, texts: list[list[int]] = TEXTS) -> Spliced:
    return splice(lm, coder, SITE, texts, mean, batch_tokens=70)


def test_a_perfect_dictionary_loses_nothing(lm: LanguageModel, mean: torch.Tensor) -> None:
    found = of(lm, identity(lm.d), mean)
    np.testing.assert_allclose(found.spliced, found.clean, rtol=1e-5)
    assert np.abs(found.divergence).max() < 1e-4
    assert found.tokens.tolist() == [len(text) - 1 for text in TEXTS]
    estimates = found.estimates(np.random.default_rng(0))
    assert estimates["recovered"].value == pytest.approx(1, abs=1e-3)


def test_a_dictionary_that_gives_the_mean_row_recovers_nothing(lm: LanguageModel, mean: torch.Tensor) -> None:
    nothing = Dictionary("standard", torch.zeros(lm.d, 1), torch.zeros(1), torch.zeros(1, lm.d), mean)
    found = of(lm, nothing, mean)
    np.testing.assert_allclose(found.spliced, found.ablated, rtol=1e-5)
    assert found.estimates(np.random.default_rng(0))["recovered"].value == pytest.approx(0, abs=1e-3)
    assert (found.divergence > 0.01).all()


def test_a_noisy_dictionary_lies_between(lm: LanguageModel, mean: torch.Tensor) -> None:
    kl = [of(lm, identity(lm.d, noise), mean).estimates(np.random.default_rng(0))["kl"].value for noise in (0.02, 0.2)]
    assert 0 < kl[0] < kl[1]


def test_clean_cross_entropy_is_the_models_own(lm: LanguageModel, mean: torch.Tensor) -> None:
    found = of(lm, identity(lm.d), mean)
    for text, nats in zip(TEXTS, found.clean, strict=True):
        ids = torch.tensor([text])
        loss = lm.model(input_ids=ids, labels=ids).loss
        assert nats / (len(text) - 1) == pytest.approx(float(loss), rel=1e-4)
    assert not any(block._forward_hooks for block in lm.model.model.layers)


def test_what_cannot_be_spliced_is_refused(lm: LanguageModel, mean: torch.Tensor) -> None:
    with pytest.raises(DesignError, match="a dictionary of width 32; got 8"):
        of(lm, identity(8), mean)
    with pytest.raises(DesignError, match="texts of two tokens and more"):
        of(lm, identity(32), mean, [[0, 5], [0]])
