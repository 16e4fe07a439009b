"""Matchings, known features and crosscoder latents, on dictionaries whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from multidir.errors import DesignError
from multidir.sae.crosscoder import Halves, latent_scaling
from multidir.sae.dictionary import Dictionary
from multidir.sae.examples import strongest
from multidir.sae.known import find_known
from multidir.sae.matching import match, nearest
from tests.sae.planted import BASE, features, planted_store


def plain(enc: torch.Tensor, dec: torch.Tensor, bias: float | torch.Tensor = 0.0) -> Dictionary:
    f = dec.shape[0]
    biases = torch.full((f,), bias) if isinstance(bias, float) else bias
    return Dictionary("standard", enc.float(), biases.float(), dec.float(), torch.zeros(dec.shape[1]))


def test_a_shuffled_dictionary_matches_itself_and_a_random_one_does_not() -> None:
    one = features(30, 16)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    signs = torch.where(torch.arange(30) % 2 == 0, 1.0, -1.0)[:, None]
    found = match(one, 3 * signs * one[order])
    assert found.mcc == pytest.approx(1, abs=1e-6)
    assert torch.equal(order[torch.from_numpy(found.theirs)], torch.arange(30))
    assert match(one, features(30, 16, seed=9)).mcc < 0.75
    with pytest.raises(DesignError, match="compared at one width, got 16 and 8"):
        match(one, one[:, :8])


def test_mcc_is_that_of_saelens(saelens: Any) -> None:
    from sae_lens.synthetic.evals import mean_correlation_coefficient

    a, b = features(20, 8, seed=1).float(), features(33, 8, seed=2).float()
    assert match(a, b).mcc == pytest.approx(mean_correlation_coefficient(a, b), abs=1e-6)


def test_nearest_is_the_same_in_pieces() -> None:
    a, b = features(20, 8, seed=1), features(33, 8, seed=2)
    whole, parts = nearest(a, b), nearest(a, b, piece=7)
    np.testing.assert_allclose(whole[0], (a @ b.T).max(1).values, atol=1e-6)
    np.testing.assert_array_equal(whole[1], parts[1])


def labelled(n: int = 600) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows with feature e0 on a third of them, of two sorts that e1 and e2 tell apart, and noise elsewhere."""
    rng = torch.Generator().manual_seed(0)
    label = torch.arange(n) % 3 == 0
    sort = torch.arange(n) % 6 == 0
    rows = 0.02 * torch.randn(n, 8, generator=rng)
    rows[label, 0] += 2
    rows[label & sort, 1] += 2
    rows[label & ~sort, 2] += 2
    rows[~label, 4] += 2
    return rows, label, sort


def test_a_feature_with_a_latent_of_its_own() -> None:
    rows, label, _ = labelled()
    eye = torch.eye(8)
    found = find_known("it", plain(eye, eye, -0.5), rows, label, eye[0])
    assert (found.best, found.nearest, found.latents) == (0, 0, (0,))
    assert found.f1 == 1
    assert found.cosine == pytest.approx(1)
    assert found.absorbed == 0
    assert found.rows == 200


def test_a_split_feature_is_seen_as_split() -> None:
    rows, label, _ = labelled()
    eye = torch.eye(8)
    found = find_known("it", plain(eye[:, [1, 2, 4]], eye[[1, 2, 4]], -0.5), rows, label, eye[0])
    assert found.f1 == pytest.approx(2 / 3)
    assert set(found.latents) == {0, 1}
    assert found.f1_together == 1


def test_an_absorbed_feature_is_seen_as_absorbed() -> None:
    """The general latent falls silent where a special one fires, whose decoder row carries the feature too."""
    rows, label, sort = labelled()
    rare = label & (~sort | (torch.arange(600) % 120 == 0))  # too few special rows to be worth a second latent
    kept = rare | ~label
    eye = torch.eye(8)
    enc = torch.stack([eye[0] - eye[1], eye[1], eye[4]], 1)
    special = normalize(eye[0] + eye[1], dim=0)

    def absorbed(row: torch.Tensor) -> float:
        coder = plain(enc, torch.stack([eye[0], row, eye[4]]), -0.5)
        found = find_known("it", coder, rows[kept], rare[kept], eye[0])
        assert found.latents == (0,)
        return found.absorbed

    assert absorbed(special) == pytest.approx(float((sort & rare).sum() / rare.sum()))
    assert absorbed(eye[1]) == 0  # the special latent says nothing about the feature: it is missed, not absorbed


def test_a_feature_needs_rows_of_both_kinds() -> None:
    rows, label, _ = labelled()
    eye = torch.eye(8)
    with pytest.raises(DesignError, match="'it' is on 600 of 600 rows"):
        find_known("it", plain(eye, eye), rows, torch.ones_like(label))


def test_examples_are_the_strongest_tokens_one_per_text(tmp_path: Path) -> None:
    store = planted_store(tmp_path / "s", traces=6, tokens=20)
    eye = torch.eye(16)
    found = strongest(plain(eye, eye), store, *BASE, [3, 7], count=4)
    rows = store.rows(*BASE, slice(None))
    assert [e.latent for e in found] == [3] * 4 + [7] * 4
    best = max((rows[i, 3], i) for i in range(store.n_rows) if store.position[i] > 0)
    assert found[0].activation == pytest.approx(best[0])
    assert store.trace_rows(found[0].trace_id).start + found[0].position == best[1]
    assert len({e.trace_id for e in found[:4]}) == 4
    assert strongest(plain(eye, eye, -1e6), store, *BASE, [0]) == []


def crossed(base: list[float], reasoning: list[float]) -> tuple[Dictionary, torch.Tensor]:
    """A crosscoder with an axis per latent, and rows of both models with that much of each axis in truth."""
    n = len(base)
    rng = torch.Generator().manual_seed(0)
    strength = (torch.rand(500, n, generator=rng) < 0.3) * (1 + torch.rand(500, n, generator=rng))
    rows = torch.cat([strength * torch.tensor(base), strength * torch.tensor(reasoning)], 1)
    return plain(torch.eye(2 * n)[:, n:], torch.zeros(n, 2 * n)), rows


def test_shared_and_specific_latents_are_told_apart() -> None:
    coder, rows = crossed(base=[1.0, 0.0, 1.0], reasoning=[1.0, 1.0, 1.0])
    dec = torch.zeros(3, 6)
    dec[0, [0, 3]] = 1.0  # shared, and says so
    dec[1, 4] = 1.0  # the reasoning model's own
    dec[2, 5] = 1.0  # says it is specific, but the base model has it too: its base half was shrunk away
    coder = Dictionary("standard", coder.enc, coder.enc_bias, dec, coder.dec_bias)
    found = latent_scaling(coder, rows)
    assert found["kind"].tolist() == ["shared", "reasoning", "false reasoning"]
    assert found["reasoning_share"].tolist() == pytest.approx([0.5, 1.0, 1.0])
    assert found["cosine"][0] == pytest.approx(1)
    assert abs(found["nu_error"][1]) < 0.05
    assert found["nu_error"][2] == pytest.approx(1, abs=0.1)
    assert np.isnan(found["nu_error"][0])


def test_a_feature_decoupled_into_two_latents_is_false_too() -> None:
    """Base-only and reasoning-only latents of one feature: the error knows nothing of it, the reconstructions do."""
    rows = torch.rand(400, 1, generator=torch.Generator().manual_seed(0)).expand(400, 2) + 0.5
    dec = torch.eye(2)
    coder = Dictionary("standard", torch.eye(2), torch.zeros(2), dec, torch.zeros(2))
    found = latent_scaling(coder, rows)
    assert found["kind"].tolist() == ["false base", "false reasoning"]
    assert found["nu_kept"].to_numpy() == pytest.approx([1, 1], rel=0.01)
    assert found["nu_error"].abs().max() < 0.01


def test_silent_latents_belong_to_nobody() -> None:
    coder, rows = crossed([1.0], [1.0])
    silent = Dictionary("standard", coder.enc, torch.tensor([-99.0]), torch.ones(1, 2), torch.zeros(2))
    assert latent_scaling(silent, rows)["kind"].tolist() == ["silent"]
    with pytest.raises(DesignError, match="this reads 3 channels"):
        Halves(plain(torch.eye(3), torch.eye(3)))
