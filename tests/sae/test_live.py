"""Rows from a live model are the rows that a capture would store, mixed, and reachable at any position."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import AlignmentError, DesignError
from multidir.models.capture import capture
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from multidir.sae.live import CaptureSource
from multidir.sae.spec import Training
from multidir.sae.train import Job, train
from tests.models.tiny import tiny_lm
from tests.sae.planted import spec_of

SITES = (Site(1), Site(2))
TEXTS = [[0, *np.random.default_rng(n).integers(3, 300, size=8 + 3 * n).tolist()] for n in range(12)]
BASE = ("base", SITES[0])


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_lm()


def source_of(lm: LanguageModel, **changes: int) -> CaptureSource:
    settings = {"batch": 16, "seed": 0, "buffer_rows": 100, "batch_tokens": 64, **changes}
    return CaptureSource({"base": lm, "reasoning": lm}, {"base": TEXTS, "reasoning": TEXTS}, SITES, **settings)


def test_one_pass_gives_rows_of_the_model_once_but_for_the_rest(lm: LanguageModel) -> None:
    source = source_of(lm)
    stored = torch.cat([rows[SITES[0]][1:] for _, rows in capture(lm, TEXTS, SITES)])
    per_pass = sum(sum(len(TEXTS[i]) - 1 for i in fill) // 16 for fill in source._fills(0))
    found = torch.cat([batch[BASE] for batch, _ in zip(source.batches(0), range(per_pass), strict=False)])
    distance = torch.cdist(found.double(), stored.double())
    assert (distance.min(1).values < 1e-3).all()
    assert len(set(distance.argmin(1).tolist())) == len(found) > 0.7 * len(stored)


def test_any_batch_can_be_reached(lm: LanguageModel) -> None:
    whole = [batch for batch, _ in zip(source_of(lm).batches(0), range(40), strict=False)]
    for first in (0, 1, 5, 6, 20, 39):
        found = next(source_of(lm).batches(first))
        assert all(torch.equal(found[key], whole[first][key]) for key in found)
    assert torch.equal(whole[3]["reasoning", SITES[1]], whole[3]["base", SITES[1]])
    assert not torch.equal(whole[0][BASE], next(source_of(lm, seed=1).batches(0))[BASE])


def test_a_dictionary_learns_from_it(lm: LanguageModel) -> None:
    run = train([Job(spec_of("topk", d=lm.d), (BASE,))], source_of(lm), Training(steps=60, batch=16, lr=3e-3))
    assert run.curve[-1]["loss"] < 0.8 * run.curve[0]["loss"]


def test_what_cannot_be_streamed_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(DesignError, match="do not make a batch of 1000"):
        source_of(lm, batch=1000)
    with pytest.raises(AlignmentError, match="texts of different lengths"):
        CaptureSource({"base": lm, "reasoning": lm}, {"base": TEXTS, "reasoning": TEXTS[::-1]}, SITES, 16, 0)
    assert source_of(lm).identity != source_of(lm, seed=1).identity
