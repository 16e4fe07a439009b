"""Finetuning: it learns, it goes on to the same bits after a kill, and the low-rank way ends in ordinary weights."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from multidir.errors import FormatError, MissingExtra
from multidir.models.adamw import resume_state
from multidir.models.language_model import LanguageModel
from multidir.records.text import Trace
from multidir.tuning import finetune as module
from multidir.tuning.finetune import finetune
from multidir.tuning.settings import Drawing, Tuning
from multidir.tuning.stretches import Stretches
from tests.models.tiny import tiny_lm

DRAWING = Drawing(stretch=24, rows=4, behaviour_share=0.0)
TUNING = Tuning(steps=12, lr=1e-3, warmup=2, drawing=DRAWING, precision="float32")
HAS_PEFT = importlib.util.find_spec("peft") is not None


def stretches() -> Stretches:
    ids = [7, 8] + [20, 21, 22, 23, 24] * 10
    return Stretches([Trace("a", "a", "c", tuple(ids), 2, "text")], [], "backtracking", DRAWING)


def weights(lm: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in lm.model.named_parameters()}


def small() -> LanguageModel:
    return tiny_lm(layers=2, d=16)


def test_the_loss_falls_and_the_model_is_frozen_again(tmp_path: Path) -> None:
    lm = small()
    curve = finetune(lm, stretches(), TUNING, tmp_path / "state", save_every=4)
    assert [row["step"] for row in curve] == [4, 8, 12]
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert not any(p.requires_grad for p in lm.model.parameters())
    assert not lm.model.training


@pytest.mark.parametrize("save_every", [3, 5])
def test_killed_at_any_moment_it_ends_in_the_same_bits(tmp_path: Path, save_every: int) -> None:
    """Kill -9 a child as soon as it has written a state, then go on here."""
    whole, broken = small(), small()
    curve = finetune(whole, stretches(), TUNING, tmp_path / "whole", save_every)
    state = tmp_path / "broken"
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        real: Any = module._step
        module._step = lambda *args: (time.sleep(0.02), real(*args))[1]  # type: ignore[assignment]
        finetune(small(), stretches(), TUNING, state, save_every)
        os._exit(0)
    while not state.exists():
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child ended before it wrote a state"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert finetune(broken, stretches(), TUNING, state, save_every) == curve
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    finetune(small(), stretches(), TUNING, tmp_path / "state")
    with pytest.raises(FormatError, match="no training state of this model"):
        finetune(tiny_lm(layers=2, d=32), stretches(), TUNING, tmp_path / "state")
    (tmp_path / "state").write_bytes(b"torn")
    with pytest.raises(FormatError, match="delete it to begin anew"):
        resume_state(tmp_path / "state", small().model, torch.optim.AdamW(small().model.parameters()))


def test_without_peft_the_low_rank_way_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"multidir\[lora\]"):
        finetune(small(), stretches(), Tuning(method="lora", drawing=DRAWING), tmp_path / "state")


@pytest.mark.skipif(not HAS_PEFT, reason="the extra lora is not installed")
def test_low_rank_additions_end_in_ordinary_weights_after_a_kill_too(tmp_path: Path) -> None:
    lora = replace(TUNING, method="lora", rank=2, lr=1e-2)
    whole, again, start = small(), small(), weights(small())
    curve = finetune(whole, stretches(), lora, tmp_path / "whole", save_every=4)
    assert curve[-1]["loss"] < curve[0]["loss"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_step", Stops(6))
        with pytest.raises(KeyboardInterrupt):
            finetune(small(), stretches(), lora, tmp_path / "again", save_every=4)
    assert finetune(again, stretches(), lora, tmp_path / "again", save_every=4) == curve
    assert list(weights(whole)) == list(start)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name
        touched = "proj" in name
        assert torch.equal(value, start[name]) != touched, name


class Stops:
    """A step that interrupts training when it is called for the nth time."""

    def __init__(self, at: int) -> None:
        self.left, self.real = at, module._step

    def __call__(self, *args: Any) -> float:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return self.real(*args)
