"""Packed linear maps against the plain ones, and what is left of them afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from multidir.models import packed_linear
from multidir.models.language_model import LanguageModel
from multidir.models.packed_linear import PackedLinears

pytestmark = pytest.mark.skipif(not packed_linear._available(), reason="needs the kernels of an x86 CPU")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(48, 1, 96), (7, 5, 96), (1, 400, 96)])
def test_the_map_is_the_same(bias: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "PAYS", 0)
    model = nn.Sequential(nn.Linear(96, 160, bias=bias), nn.Linear(160, 32, bias=bias))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(x)
        with PackedLinears(model).used():
            found = model(x)
    assert not torch.equal(found, torch.zeros_like(found))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_small_products_stay_bit_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = nn.Sequential(nn.Linear(8, 8)), torch.randn(3, 8)
    called = []
    monkeypatch.setattr(packed_linear, "linear", lambda *args: called.append(1) or nn.functional.linear(*args))
    with torch.inference_mode(), PackedLinears(model).used():
        found = model(x)
    assert called
    assert torch.equal(found, model(x))


def test_gradients_flow_through_the_weights_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "PAYS", 0)
    model, x = nn.Sequential(nn.Linear(8, 4)), torch.randn(3, 8, requires_grad=True)
    with PackedLinears(model).used():
        model(x).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, model[0].weight.sum(0).expand(3, 8))


def test_the_model_is_as_before_afterwards_also_by_an_exception(lm: LanguageModel) -> None:
    def fail() -> None:
        with PackedLinears(lm.model).used():
            assert any("forward" in each.__dict__ for each in lm.model.modules())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not any("forward" in each.__dict__ for each in lm.model.modules())


def test_maps_packed_by_somebody_around_us_stay_his(lm: LanguageModel) -> None:
    with PackedLinears(lm.model).used():
        with PackedLinears(lm.model).used():
            pass
        assert any("forward" in each.__dict__ for each in lm.model.modules())


def test_weights_that_changed_between_two_runs_are_used(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_linear, "PAYS", 0)
    head = lm.model.get_output_embeddings()
    x = torch.randn(2, 1, head.in_features)
    with torch.no_grad():
        with PackedLinears(lm.model).used():
            before = head(x)
        head.weight.mul_(2)
        with PackedLinears(lm.model).used():
            torch.testing.assert_close(head(x), 2 * before)


def test_other_kinds_and_number_formats_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Special(nn.Linear):
        pass

    model = nn.Sequential(Special(8, 8), nn.Linear(8, 8).half())
    assert not PackedLinears(model)._forwards
    fitting = nn.Sequential(nn.Linear(8, 8))
    assert PackedLinears(fitting)._forwards
    monkeypatch.setattr(packed_linear, "free_bytes", lambda _: 1000)
    assert not PackedLinears(fitting)._forwards
