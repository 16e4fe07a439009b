"""What llama.cpp computed (see `make_llama_cpp.py`) is what our hooks compute at our sites, and at no other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from multidir.models.hooks import residual_hook
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.fold import fold, projection
from multidir.steer.steering import steer
from tests.exchange.vectors import GOLDEN, LLAMA_IDS, STRENGTH, llama, llama_direction

THEIRS = json.loads((GOLDEN / "llama_cpp.json").read_text())
ROUNDING = 0.01
"""llama.cpp keeps its cache in float16; without steering it differs by 0.003 of the logits' size."""


def last(model: torch.nn.Module) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = model(torch.tensor([LLAMA_IDS])).logits[0, -1].numpy()
        return found


def differs(name: str, ours: np.ndarray) -> float:
    theirs = np.array(THEIRS[name])
    return float(np.sqrt(((theirs - ours) ** 2).mean() / (ours**2).mean()))


def test_the_models_are_the_same_before_anything_is_steered() -> None:
    assert differs("unsteered", last(llama().model)) < ROUNDING


@pytest.mark.parametrize("n", [1, 2, 3])
def test_direction_n_of_a_file_is_added_to_the_output_of_block_n(n: int) -> None:
    lm, item = llama(), llama_direction(n)
    with steer(lm, Intervention(item, Dose(STRENGTH, "activation"))):
        assert differs(f"direction.{n}", last(lm.model)) < ROUNDING
    vector = torch.as_tensor(STRENGTH * item.vector, dtype=torch.float32)
    for other in {Site(n - 1), Site(min(n + 1, 3)), Site(n, "resid_pre")} - {Site(n)}:
        with residual_hook(lm.model, other, lambda hidden: hidden + vector):
            assert differs(f"direction.{n}", last(lm.model)) > 10 * ROUNDING


def test_a_folded_addition_runs_in_llama_cpp_as_the_steered_model() -> None:
    lm = llama()
    assert differs("folded addition", last(lm.model)) > 10 * ROUNDING
    with steer(lm, Intervention(llama_direction(2), Dose(STRENGTH, "activation"))):
        assert differs("folded addition", last(lm.model)) < ROUNDING


def test_a_folded_projection_runs_in_llama_cpp_as_here() -> None:
    lm = llama()
    assert differs("folded projection", last(lm.model)) > 10 * ROUNDING
    fold(lm, projection(lm, [llama_direction(2)]))
    assert differs("folded projection", last(lm.model)) < ROUNDING
