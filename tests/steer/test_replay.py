"""Steps that are recorded and replayed: the same tokens and receipts as steps that are run.

A CUDA graph is stood in for by a tape: the operations of a step, which are run again on the very same tensors. What
the host knew while it was recorded is frozen in it, and what reads a number back is refused, as by CUDA.
"""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from multidir.models.device import StepRecorder
from multidir.models.generate import generate
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.scope import Gate, Scope
from multidir.records.site import Site
from multidir.records.stopping import LoopRule
from multidir.steer.steering import row_edits
from tests.models.test_generate import some_prompts
from tests.steer.arms import add, direction

LONG, DRAWN = Sampling(False, max_new_tokens=72), Sampling(True, 0.9, top_k=50, max_new_tokens=72)


class Tape(TorchDispatchMode):
    """As torch.cuda.CUDAGraph: what is recorded is undone in the end, as if it had not been run."""

    made: list[Tape]

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Any] = []
        self.undo: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.replays = 0
        Tape.made.append(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = zip(func._schema.arguments, args, strict=False)
        written = [tensor for of, tensor in named if of.alias_info and of.alias_info.is_write]
        self.undo += [(tensor, tensor.clone()) for tensor in written]
        found = func(*args, **(kwargs or {}))
        if func.name() == "aten::nonzero" or not all(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(found)):
            raise RuntimeError(f"{func.name()} while a step is recorded")
        self.operations.append((func, args, kwargs or {}, found))
        return found

    def capture_begin(self, **_how: object) -> None:
        self.__enter__()

    def capture_end(self) -> None:
        self.__exit__(None, None, None)
        for tensor, before in reversed(self.undo):
            tensor.copy_(before)

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, before in self.operations:
            for new, old in zip(tree_leaves(func(*args, **kwargs)), tree_leaves(before), strict=True):
                if new.data_ptr() != old.data_ptr():
                    old.copy_(new)


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """A CPU that records steps; the tapes."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
    monkeypatch.setattr("multidir.models.generate.step_recorder", StepRecorder)
    Tape.made = []
    return Tape.made


def mixtures(kind: str, rows: int) -> list[Any]:
    """What is done to each row: nothing at all, additions, or several operators and scopes and sometimes nothing."""
    if kind != "operators":
        return [add(i / 2, i, scope=Scope("generated", end=120)) for i in range(rows)] if kind == "additions" else []
    site = Site(1)
    parts: list[Any] = [
        None,
        add(3.0),
        Intervention(direction(1, site), Dose(2.0, "residual"), "add", Scope("generated", end=100)),
        Intervention(Eraser.project_out([direction(2, site)]), Dose(1.0, "share"), "erase", Scope("decoded")),
        Intervention(Noise(site, True, None), Dose(1.0, "residual"), "noise", Scope("all", begin=3)),
    ]
    return [parts[i % len(parts)] for i in range(rows)]


def written(
    lm: LanguageModel, wanted: list[Any], sampling: Sampling, prompts: list[list[int]], **how: bool
) -> tuple[list[Generation], list[Any], list[Any]]:
    """Texts and receipts of rows of which seven fit into a batch."""
    seeds = list(range(len(prompts)))
    edits = row_edits(lm, wanted, seeds=seeds) if wanted else []
    found = generate(lm, prompts, seeds, sampling, edits, 7, LoopRule(repeats=3, min_tokens=12, max_period=8), **how)
    return found, [edit.edited.tolist() for edit in edits], [edit.edit_norm_sum for edit in edits]


@pytest.mark.parametrize(
    ("kind", "sampling", "share"),
    [
        ("unsteered", DRAWN, True),
        ("additions", LONG, True),
        ("additions", DRAWN, False),
        ("operators", DRAWN, True),
        ("operators", LONG, False),
    ],
)
def test_replayed_steps_write_the_same(
    lm: LanguageModel, tapes: list[Tape], sampling: Sampling, kind: str, share: bool
) -> None:
    """Rows enter, end and leave, over several windows, with a long common prompt and with prompts of their own."""
    lm.model.generation_config.eos_token_id = list(range(1, 400, 64))
    prompts = [10 * ids[:10] for ids in some_prompts(4) for _ in range(4)] if share else some_prompts(16)
    wanted = mixtures(kind, len(prompts))
    plain = written(lm, wanted, sampling, prompts, share=share, replay=False)
    assert not tapes
    replayed = written(lm, wanted, sampling, prompts, share=share)
    assert replayed[:2] == plain[:2]
    np.testing.assert_allclose(replayed[2], plain[2], rtol=1e-6)
    assert sum(tape.replays for tape in tapes) > 60, "most steps were replayed"
    assert len({len(each.new_ids) for each in plain[0]}) > 2, "rows did end at different times"


GATED = Scope("generated", gate=Gate(np.full(32, 0.1)))


@pytest.mark.parametrize("scope", [GATED, Scope("generated", from_token=" 12")], ids=["gate", "token"])
def test_edits_that_ask_the_host_are_not_recorded(lm: LanguageModel, tapes: list[Tape], scope: Scope) -> None:
    wanted, prompts = [add(2.0, scope=scope)] * 3, some_prompts(3)
    plain = written(lm, wanted, LONG, prompts, replay=False)
    assert written(lm, wanted, LONG, prompts)[:2] == plain[:2]
    assert not tapes


def test_attention_of_another_kind_is_not_recorded(lm: LanguageModel, tapes: list[Tape]) -> None:
    lm.model.config.sliding_window = 8
    written(lm, [], LONG, some_prompts(3))
    assert not tapes


def test_a_step_that_cannot_be_recorded_is_run(
    lm: LanguageModel, tapes: list[Tape], caplog: pytest.LogCaptureFixture
) -> None:
    """Something in the model that reads a number back, as some rotary embeddings do: told once, and nothing is lost."""
    wanted, prompts = mixtures("operators", 9), some_prompts(9)
    plain = written(lm, wanted, LONG, prompts, replay=False)
    handle = lm.model.model.norm.register_forward_hook(lambda m, a, out: out * (out.sum().item() ** 0))
    found = written(lm, wanted, LONG, prompts)
    handle.remove()
    assert found[:2] == plain[:2]
    assert len(tapes) == 1
    assert [each.message.partition(" while")[0] for each in caplog.records] == ["cannot record a step (aten::item"]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["unsteered", "additions", "operators"])
def test_replayed_steps_of_a_gpu_write_the_same(lm: LanguageModel, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    lm.model.to("cuda")
    lm.model.generation_config.eos_token_id = list(range(1, 400, 64))
    wanted, prompts = mixtures(kind, 16), some_prompts(16)
    assert written(lm, wanted, LONG, prompts)[:2] == written(lm, wanted, LONG, prompts, replay=False)[:2]
    assert not caplog.records
