"""What a GPU does differently is the same on a CPU, or does not happen there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from multidir.models.capture import capture
from multidir.models.device import Drain, compiled_blocks
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site
from tests.models.tiny import tiny_lm

SITES = [Site(0, "resid_pre"), Site(1)]
SEQUENCES = [[5 + (7 * i + k) % 390 for k in range(n)] for i, n in enumerate((3, 17, 8, 8, 1, 30, 12))]


@pytest.fixture
def _forget_compiled() -> Iterator[None]:
    yield
    torch.compiler.reset()


def rows(lm: LanguageModel, compiled: bool = False) -> list[torch.Tensor]:
    found = capture(lm, SEQUENCES, SITES, batch_tokens=40, compiled=compiled)
    return [states[site] for _, states in found for site in SITES]


@pytest.mark.usefixtures("_forget_compiled")
def test_compiled_blocks_compute_the_same_and_leave_nothing_behind(lm: LanguageModel) -> None:
    expected = rows(lm)
    with compiled_blocks(lm.model, 1, backend="eager"):
        changed = ["forward" in vars(block) for block in lm.model.model.layers]
        found = rows(lm)
    assert changed == [True, True, False, False]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not any("forward" in vars(block) for block in lm.model.model.layers)


@pytest.mark.usefixtures("_forget_compiled")
def test_nothing_is_left_behind_by_an_error_either(lm: LanguageModel) -> None:
    with pytest.raises(KeyError), compiled_blocks(lm.model, 1, backend="eager"):
        raise KeyError
    assert not any("forward" in vars(block) for block in lm.model.model.layers)


def test_a_cpu_runs_the_model_as_it_stands(lm: LanguageModel) -> None:
    seen: list[bool] = []
    block = lm.model.model.layers[0]
    handle = block.register_forward_hook(lambda *_: seen.append("forward" in vars(block)))
    found = rows(lm, compiled=True)
    handle.remove()
    assert seen
    assert not any(seen)
    assert all(torch.equal(a, b) for a, b in zip(found, rows(lm), strict=True))


def test_the_drain_gives_each_sequence_its_rows(lm: LanguageModel) -> None:
    hidden, drain = torch.randn(3, 5, 4), Drain(torch.device("cpu"))
    expected, found = hidden.clone(), drain.rows(hidden, [5, 0, 2])
    drain.wait()
    hidden += 1
    assert [tuple(rows.shape) for rows in found] == [(5, 4), (0, 4), (2, 4)]
    assert torch.equal(found[2], expected[2, :2])


@pytest.mark.gpu
def test_rows_from_a_gpu_are_those_of_its_blocks() -> None:
    lm = tiny_lm()
    lm.model.to("cuda")
    padded = torch.tensor([[*ids, *[2] * (30 - len(ids))] for ids in SEQUENCES], device="cuda")
    states = lm.model(padded, output_hidden_states=True, use_cache=False).hidden_states
    for index, found in capture(lm, SEQUENCES, SITES, batch_tokens=30 * len(SEQUENCES)):
        for site in SITES:
            assert found[site].device.type == "cpu"
            assert torch.equal(found[site], states[site.hidden_states_index][index, : len(SEQUENCES[index])].cpu())


@pytest.mark.gpu
@pytest.mark.usefixtures("_forget_compiled")
def test_compiled_blocks_of_a_gpu_differ_in_the_last_bits_only() -> None:
    lm = tiny_lm()
    lm.model.to("cuda")
    for one, other in zip(rows(lm, compiled=True), rows(lm), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
