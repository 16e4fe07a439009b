"""What is edited, where, and the receipt for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from multidir.errors import ConfigError, ModelError
from multidir.models.blocks import cached
from multidir.models.generate import generate
from multidir.models.hooks import residual_hook
from multidir.models.language_model import LanguageModel
from multidir.models.positions import track_positions
from multidir.models.sampling import Sampling
from multidir.records.site import Site
from multidir.steer.edit import RowEdits
from tests.steer.arms import added, adding

GREEDY = Sampling(False, max_new_tokens=8)
PROMPTS = [[0, 5, 6, 7, 8, 9, 10], [0, 300, 21], [0, 44, 45, 46, 47]]
SITE = Site(1)


def bank(k: int = 2, d: int = 32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(k, d))


def changes(
    lm: LanguageModel,
    edits: RowEdits,
    ids: torch.Tensor,
    mask: torch.Tensor,
    n_prompt: Sequence[int] | None,
    cache: bool,
    prefill: Sequence[int],
) -> torch.Tensor:
    """(b, t, d): what the hook added to the residual stream, token by token, in whatever pieces it was run."""
    found: list[torch.Tensor] = []
    past, start = DynamicCache(config=lm.model.config) if cache else None, 0
    with ExitStack() as stack:
        positions = stack.enter_context(track_positions(lm.model))
        before: list[torch.Tensor] = []
        stack.enter_context(residual_hook(lm.model, SITE, lambda h: before.append(h.clone())))
        stack.enter_context(edits.attach(lm, positions, range(len(ids)), n_prompt))
        stack.enter_context(residual_hook(lm.model, SITE, lambda h: found.append(h - before[-1])))
        for size in prefill:
            end = start + size
            if cache:
                lm.model(ids[:, start:end], attention_mask=mask[:, :end], **cached(lm.model, past), use_cache=True)
            else:
                lm.model(ids[:, :end], attention_mask=mask[:, :end], use_cache=False)
            start = end
    return torch.cat(found, 1) if cache else found[-1]


IDS = torch.tensor([[0, 5, 6, 7, 8, 9, 11, 12], [2, 2, 2, 0, 8, 7, 11, 13]])
MASK = (torch.arange(8)[None] >= torch.tensor([[0], [3]])).long()
N_PROMPT = [6, 3]


@pytest.mark.parametrize("pieces", [[8], [6, 1, 1], [2, 4, 1, 1], [1] * 8], ids=str)
@pytest.mark.parametrize("scope", ["all", "prompt", "generated"])
def test_scope_means_the_same_however_the_tokens_are_run(lm: LanguageModel, scope: str, pieces: list[int]) -> None:
    """Prefill, decoding, chunked prefill, one token at a time: absolute positions decide, padding is left alone."""
    edits = adding(SITE, bank(), np.array([[1.0, 2.0], [-3.0, 0.5]]), scope)
    found = changes(lm, edits, IDS, MASK, N_PROMPT, cache=True, prefill=pieces)
    expected = torch.zeros(2, 8, dtype=torch.bool)
    first, last = {"all": (0, 8), "prompt": (0, 6), "generated": (5, 8)}[scope]
    expected[:, first:last] = True
    expected &= MASK.bool()
    assert torch.equal((found != 0).any(-1), expected)
    assert edits.edited.tolist() == expected.sum(1).tolist()
    mixture = torch.tensor(added(edits), dtype=torch.float32)
    torch.testing.assert_close(found[expected], mixture[:, None].expand_as(found)[expected], rtol=1e-4, atol=1e-4)


def test_without_cache_the_whole_sequence_is_edited_again_each_time(lm: LanguageModel) -> None:
    edits = adding(SITE, bank(), np.ones((2, 2)), "generated")
    found = changes(lm, edits, IDS, MASK, N_PROMPT, cache=False, prefill=[6, 1, 1])
    assert torch.equal((found != 0).any(-1), MASK.bool() & (torch.arange(8)[None] >= 5))
    assert edits.edited.tolist() == [1 + 2 + 3, 1 + 2 + 3]


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("scope", ["all", "prompt", "generated"])
def test_generation_edits_every_position_of_every_row_once(lm: LanguageModel, scope: str, rows: int) -> None:
    edits = adding(SITE, bank(), np.array([[1.0, 0], [0, 0], [0, -2.0]]), scope)
    found = generate(lm, PROMPTS, [0] * 3, GREEDY, [edits], rows=rows)
    run = [len(g.token_ids) - 1 for g in found]
    whole = {"all": run, "prompt": [len(p) for p in PROMPTS], "generated": [len(g.new_ids) for g in found]}[scope]
    assert edits.edited.tolist() == [whole[0], 0, whole[2]]


def test_rows_that_end_early_keep_their_count(lm: LanguageModel) -> None:
    lm.model.generation_config.eos_token_id = list(range(1, 400, 8))
    prompts = [[0, 5 + i, 6 + 2 * i] for i in range(20)]
    edits = adding(SITE, bank(), np.random.default_rng(1).normal(size=(20, 2)) * 3, "all")
    found = generate(lm, prompts, list(range(20)), Sampling(max_new_tokens=12), [edits])
    assert len({len(g.new_ids) for g in found}) > 3
    assert edits.edited.tolist() == [len(g.token_ids) - 1 for g in found]


def test_dose_zero_is_bit_identical_to_no_steering(lm: LanguageModel) -> None:
    """Nothing is added, not even zero: -0.0 stays -0.0."""
    lm.model.lm_head.weight[:] = torch.eye(416, 32)
    edits = adding(SITE, bank(), np.array([[0.0, 0.0], [1.0, 1.0], [-0.0, 0.0]]), "all")
    logits: list[torch.Tensor] = []
    handle = lm.model.register_forward_hook(lambda m, a, k, out: logits.append(out.logits), with_kwargs=True)
    steered = generate(lm, PROMPTS, [0] * 3, GREEDY, [edits])
    ours, logits = logits, []
    handle.remove()
    handle = lm.model.register_forward_hook(lambda m, a, k, out: logits.append(out.logits), with_kwargs=True)
    plain = generate(lm, PROMPTS, [0] * 3, GREEDY)
    handle.remove()
    order = sorted(range(3), key=lambda i: -len(PROMPTS[i]))
    for a, b in zip(ours, logits, strict=True):
        for row in (order.index(0), order.index(2)):
            assert torch.equal(a[row].view(torch.int32), b[row].view(torch.int32))
    assert not torch.equal(ours[0][order.index(1)], logits[0][order.index(1)])
    assert [steered[0], steered[2]] == [plain[0], plain[2]]


def test_negative_zero_survives() -> None:
    hidden = torch.tensor([[[-0.0, 1.0]]])
    kept = torch.where(torch.tensor([[False]])[..., None], hidden + 0.0, hidden)
    assert torch.equal(kept.view(torch.int32), hidden.view(torch.int32))
    assert not torch.equal((hidden + 0.0).view(torch.int32), hidden.view(torch.int32)), "why +0 is not nothing"


def test_resid_pre_is_edited_before_the_block(lm: LanguageModel) -> None:
    coefficients = np.array([[1.0, 0], [0, 0], [0, -2.0]])
    pre = generate(lm, PROMPTS, [0] * 3, GREEDY, [adding(Site(2, "resid_pre"), bank(), coefficients, "all")])
    post = generate(lm, PROMPTS, [0] * 3, GREEDY, [adding(Site(1), bank(), coefficients, "all")])
    assert pre == post


def test_edit_equals_a_plain_hook_in_transformers(lm: LanguageModel) -> None:
    vector = torch.tensor(bank()[0] * 4, dtype=torch.float32)
    edits = adding(SITE, bank(), np.array([[4.0, 0]] * 3), "all")
    ours = generate(lm, PROMPTS, [0] * 3, GREEDY, [edits])
    for prompt, found in zip(PROMPTS, ours, strict=True):
        handle = lm.model.model.layers[1].register_forward_hook(lambda m, a, out: out + vector)
        ids = torch.tensor([prompt])
        theirs = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        handle.remove()
        assert found.token_ids == tuple(theirs[0].tolist())


def test_several_sites_at_once(lm: LanguageModel) -> None:
    a, b = (adding(Site(i), bank(), np.array([[2.0, 0]] * 3), "all") for i in (0, 2))
    found = generate(lm, PROMPTS, [0] * 3, GREEDY, [a, b])
    assert a.edited.tolist() == b.edited.tolist() == [len(g.token_ids) - 1 for g in found]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_edit_keeps_the_models_dtype(lm: LanguageModel, dtype: torch.dtype) -> None:
    lm.model.to(dtype)
    edits = adding(SITE, bank(), np.ones((3, 2)), "all")
    assert len(generate(lm, PROMPTS, [0] * 3, GREEDY, [edits])) == 3


def test_rows_that_do_not_fit_are_refused_at_birth() -> None:
    with pytest.raises(ConfigError, match=r"same number of rows, got \[2, 3\]"):
        adding(SITE, bank(), np.ones((3, 2)), ["all", "all"])
    with pytest.raises(ConfigError, match="no scope 'last'"):
        adding(SITE, bank(), np.ones((3, 2)), "last")


def test_other_models_directions_are_refused_at_attach(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="have width 7, this model's residual stream has 32"):
        generate(lm, PROMPTS, [0] * 3, GREEDY, [adding(SITE, bank(d=7), np.ones((3, 2)), "all")])
    with pytest.raises(ConfigError, match=r"L8\.resid_post is beyond this model"):
        generate(lm, PROMPTS, [0] * 3, GREEDY, [adding(Site(8), bank(), np.ones((3, 2)), "all")])
    with pytest.raises(ConfigError, match=r"edits for \[2\] rows"):
        generate(lm, PROMPTS, [0] * 3, GREEDY, [adding(SITE, bank(), np.ones((2, 2)), "all")])


def test_a_scope_that_selects_nothing_is_refused_before_anything_runs(lm: LanguageModel) -> None:
    ran: list[int] = []
    handle = lm.model.register_forward_pre_hook(lambda *_: ran.append(1))
    edits = adding(SITE, bank(), np.ones((3, 2)), ["all", "prompt[3:]", "all"])
    message = r"scope prompt\[3:\] selects nothing after a prompt of 3 tokens; change its window"
    with pytest.raises(ConfigError, match=message):
        generate(lm, PROMPTS, [0] * 3, GREEDY, [edits])
    with pytest.raises(ConfigError, match=message):
        edits.prompt_state(1, PROMPTS[1])
    handle.remove()
    assert ran == []


@pytest.mark.parametrize(("dtype", "dose"), [(torch.float16, 1e6), (torch.float32, 1e39)])
def test_dose_beyond_the_models_dtype_is_refused(lm: LanguageModel, dtype: torch.dtype, dose: float) -> None:
    lm.model.to(dtype)
    with pytest.raises(ConfigError, match=rf"row 1 of the edits at L1\.resid_post is not finite in {dtype}"):
        generate(lm, PROMPTS, [0] * 3, GREEDY, [adding(SITE, bank(), np.array([[1, 0], [0, dose], [0, 0]]), "all")])


def test_another_batch_than_announced_is_an_error(lm: LanguageModel) -> None:
    edits = adding(SITE, bank(), np.ones((3, 2)), "all")
    with track_positions(lm.model) as positions, edits.attach(lm, positions, [0, 1], [3, 3]):
        with pytest.raises(ModelError, match="are for 2 rows, but the model runs"):
            lm.model(torch.zeros(3, 4, dtype=torch.long))
        block, turn = lm.model.model.layers[1], lm.model.model.rotary_emb(torch.zeros(1), torch.arange(4)[None])
        with pytest.raises(ModelError, match="run the whole model"):
            block(torch.zeros(2, 4, 32), position_embeddings=turn)


def test_edits_leave_nothing_behind(lm: LanguageModel) -> None:
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    edits = adding(SITE, bank(), np.ones((3, 2)), "all")
    ends = lm.model.lm_head.register_forward_hook(lambda m, a, out: out * float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        generate(lm, PROMPTS, [0] * 3, GREEDY, [edits])
    ends.remove()
    after = lm.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lm.model.modules())
