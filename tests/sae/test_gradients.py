"""The exact-sparse step has the gradients of dense autograd, for every architecture and every parameter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from multidir.errors import ConfigError
from multidir.sae import active as active_module
from multidir.sae import rowwise
from multidir.sae.active import SparseActive
from multidir.sae.architectures import STEPS
from multidir.sae.auxk import add_auxk
from multidir.sae.learner import Learner
from multidir.sae.precision import product_format
from multidir.sae.spec import Training
from multidir.sae.step import finish_decoder_bias
from tests.sae.dense import dense_gradients, dense_loss
from tests.sae.planted import ARCHITECTURES, features, learner_of, sparse_rows, spec_of

CLOSE = 1e-12
"""Largest difference relative to the largest entry, in float64."""


def jittered(learner: Learner) -> Learner:
    """Weights in a general position: nothing is zero, tied or on the edge of a window by construction."""
    rng = torch.Generator().manual_seed(7)
    for value in learner.weights.named().values():
        noise = torch.randn(value.shape, generator=rng, dtype=value.dtype)
        value.data += 0.05 * noise
    if learner.weights.unit:
        learner.weights.normalise()
    return learner


def step_gradients(learner: Learner, x: torch.Tensor, dead: torch.Tensor | None) -> tuple[torch.Tensor, dict]:
    with torch.no_grad():
        work = learner._work(x)
        learner.weights.forget_gradients()
        found = STEPS[learner.spec.architecture](work)
        loss = found.loss
        if dead is not None:
            loss = loss + add_auxk(work, found.error, dead)
        finish_decoder_bias(learner.weights)
    return loss, {name: value.grad for name, value in learner.weights.named().items()}


def assert_equal_to_dense(learner: Learner, x: torch.Tensor, dead: torch.Tensor | None = None) -> None:
    loss, mine = step_gradients(learner, x, dead)
    args = (learner.weights, learner.spec, learner.training, x, learner.spec.k, dead)
    theirs = dense_gradients(*args)
    assert float(loss) == pytest.approx(dense_loss(*args).item(), rel=CLOSE)
    assert mine.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert expected.abs().max() > 0, name
        assert (mine[name] - expected).abs().max() <= CLOSE * expected.abs().max(), name


@pytest.mark.parametrize("layout", ["sparse", "dense", "blocks of 16 rows"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_equal_dense_autograd(architecture: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if layout.startswith("blocks"):
        monkeypatch.setattr(rowwise, "LEAST_ROWS", 16)
        monkeypatch.setattr(rowwise, "BLOCK_VALUES", {"cpu": 1})
    monkeypatch.setitem(active_module.DENSE_FROM, "cpu", 2.0 if layout == "sparse" else 0.0)
    x = sparse_rows(features(30, 16), 50, 3, seed=1)
    assert_equal_to_dense(jittered(learner_of(spec_of(architecture), x)), x)


@pytest.mark.parametrize(("n_dead", "aux_k"), [(1, None), (5, None), (20, 3), (20, 19)])
@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_gradients_with_dead_latents_equal_dense_autograd(architecture: str, n_dead: int, aux_k: int | None) -> None:
    x = sparse_rows(features(30, 16), 50, 3, seed=1)
    learner = jittered(learner_of(spec_of(architecture), x, aux_k=aux_k))
    dead = torch.arange(0, 2 * n_dead, 2)
    assert_equal_to_dense(learner, x, dead)


def test_a_wrong_gradient_would_be_seen() -> None:
    x = sparse_rows(features(30, 16), 50, 3, seed=1)
    learner = jittered(learner_of(spec_of("topk"), x))
    _, mine = step_gradients(learner, x, None)
    theirs = dense_gradients(learner.weights, learner.spec, learner.training, x, learner.spec.k)
    before_bias = mine["dec_bias"] + learner.weights.enc_bias.grad @ learner.weights.enc.detach()
    assert (before_bias - theirs["dec_bias"]).abs().max() > 1e-3 * theirs["dec_bias"].abs().max()


def test_auxk_reaches_encoder_rows_that_are_negative_on_every_token() -> None:
    """sparsify 1.3.3 leaves a gradient of exactly zero here: its fused backward ignores the pre-activations."""
    x = sparse_rows(features(30, 16), 50, 3, seed=1)
    learner = learner_of(spec_of("topk"), x)
    dead = torch.tensor([3, 17, 29])
    learner.weights.enc_bias.data[dead] = -100.0
    _, without = step_gradients(learner, x, None)
    assert not without["enc"][dead].any()
    _, with_aux = step_gradients(learner, x, dead)
    assert (with_aux["enc"][dead].abs().sum(1) > 0).all()
    assert (with_aux["enc_bias"][dead] != 0).all()


def test_dead_latents_come_back_to_life() -> None:
    x = sparse_rows(features(30, 16), 256, 3, seed=1)

    def dead_after(aux: float) -> int:
        learner = learner_of(spec_of("topk"), x, aux=aux, dead_after=1000, lr=0.01, steps=400)
        learner.weights.enc_bias.data[:20] = -20.0
        for _ in range(300):
            learner.step(x)
        return int(learner.dead.sum())

    assert dead_after(aux=0.0) == 20
    assert dead_after(aux=1.0) < 8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_decoder_rows_are_free_except_under_a_loss_on_activations(architecture: str) -> None:
    x = sparse_rows(features(30, 16), 50, 3, seed=1)
    learner = learner_of(spec_of(architecture), x, lr=0.01, dead_after=10_000)
    start = learner.weights.dec.detach().norm(dim=1)
    for _ in range(5):
        learner.step(x)
    free = (learner.weights.dec.detach().norm(dim=1) - start).abs() > 1e-9
    assert free.any() == (architecture != "standard")
    learner.training = replace(learner.training, lr=1e-12)
    learner.idle[:7] = 10_000
    learner.step(x)  # where a latent is dead, its row waits at length 1: short rows would ask for negative activations
    assert torch.allclose(learner.weights.dec.detach()[:7].norm(dim=1), torch.ones(7, dtype=x.dtype))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_bfloat16_only_the_selection_is_rounded(architecture: str) -> None:
    """Activations of the latents that are selected are those of the float32 weights."""
    x = sparse_rows(features(30, 16), 50, 3, seed=1).float()
    spec, training = spec_of(architecture), Training(steps=9, batch=50)
    rounded = Learner(spec, training, x, x.mean(0), compute=torch.bfloat16)
    found, active = rounded.reconstruction(x)
    exact = (x - rounded.weights.dec_bias) @ rounded.weights.enc.T + rounded.weights.enc_bias
    if isinstance(active, SparseActive):
        torch.testing.assert_close(active.values, exact.detach()[active.rows, active.columns].relu())
    assert rounded.weights.enc.dtype == torch.float32
    full, _ = Learner(spec, training, x, x.mean(0)).reconstruction(x)
    assert (found - full).square().mean() < 0.05 * full.square().mean()


def test_bfloat16_is_for_hardware_that_multiplies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert product_format("cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert product_format("cpu") == torch.bfloat16
    assert product_format("cpu", "float32") == torch.float32
    with pytest.raises(ConfigError, match="not trained in float16"):
        product_format("cpu", "float16")


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "standard", "jumprelu"])
def test_a_dictionary_starts_better_than_no_dictionary(architecture: str) -> None:
    """With unit encoder rows it would overshoot: thousands of latents that are not orthogonal, each with its share."""
    x = sparse_rows(features(64, 16), 400, 6, seed=3)
    learner = learner_of(spec_of(architecture, width=160, k=40), x)
    found, _ = learner.reconstruction(x)
    assert (found - x).square().sum() < (x - x.mean(0)).square().sum()


def test_only_positive_selected_latents_are_moved() -> None:
    """With fewer positive pre-activations than k, a top-k selects negative ones too; sparsify 1.3.3 moves those."""
    x = sparse_rows(features(30, 16), 50, 3, seed=1)
    learner = jittered(learner_of(spec_of("topk"), x))
    learner.weights.enc_bias.data -= 3
    _, mine = step_gradients(learner, x, None)
    pre = (x - learner.weights.dec_bias) @ learner.weights.enc.T + learner.weights.enc_bias
    never = ~(pre > 0).any(0)
    assert never.any()
    assert not mine["enc"][never].any()


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in found if isinstance(found, tuple) else (found,):
            if isinstance(value, torch.Tensor):
                self.numel = max(self.numel, value.numel())
        return found


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "matryoshka"])
def test_nothing_larger_than_the_pre_activations_is_made(architecture: str) -> None:
    """sparsify 1.3.3 makes a tensor of rows x k x d for the encoder's gradient: ten times as large here."""
    x = sparse_rows(features(30, 64), 100, 3, seed=1)
    learner = learner_of(spec_of(architecture, d=64, width=96, k=16), x)
    with Largest() as largest:
        learner.step(x)
    assert largest.numel == 100 * 96
