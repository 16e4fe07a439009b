"""The decoding loop."""

from __future__ import annotations

import pytest
import torch

from multidir.errors import AlignmentError, ConfigError, ModelError
from multidir.models.generate import generate
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import mean_logprobs
from multidir.models.sampling import Sampling

GREEDY, SAMPLED = Sampling(False, max_new_tokens=24), Sampling(True, 0.9, 0.95, max_new_tokens=24)


def some_prompts(count: int, seed: int = 0) -> list[list[int]]:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 30, (count,), generator=g).tolist()
    return [torch.randint(5, 400, (n,), generator=g).tolist() for n in lengths]


def with_ends(lm: LanguageModel) -> LanguageModel:
    """The same model with several end tokens, so that rows end at different times."""
    lm.model.generation_config.eos_token_id = list(range(1, 400, 16))
    return lm


def test_greedy_equals_transformers(lm: LanguageModel) -> None:
    with_ends(lm)
    for prompt, ours in zip(some_prompts(6), generate(lm, some_prompts(6), [0] * 6, GREEDY), strict=True):
        ids = torch.tensor([prompt])
        theirs = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        assert ours.token_ids == tuple(theirs[0].tolist())
        assert ours.n_prompt == len(prompt)
        assert ours.finished == (ours.token_ids[-1] in lm.eos_ids)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_batch_of_48_is_token_identical_to_batches_of_one(lm: LanguageModel, sampling: Sampling) -> None:
    with_ends(lm)
    prompts, seeds = some_prompts(48), list(range(48))
    together = generate(lm, prompts, seeds, sampling, rows=48)
    assert together == generate(lm, prompts, seeds, sampling, rows=1)
    assert together == generate(lm, prompts, seeds, sampling, rows=7)
    backwards = generate(lm, prompts[::-1], seeds[::-1], sampling, rows=10)
    assert together == backwards[::-1]
    assert {len(g.new_ids) for g in together} >= {1, 2, 24}, "rows did end at different times"


def test_seed_belongs_to_the_row(lm: LanguageModel) -> None:
    prompt = some_prompts(1)[0]
    a, b, again = generate(lm, [prompt] * 3, [1, 2, 1], SAMPLED)
    assert a == again
    assert a != b


def test_end_token_is_kept_and_ends(lm: LanguageModel) -> None:
    with_ends(lm)
    for found in generate(lm, some_prompts(20), list(range(20)), SAMPLED):
        assert not set(found.new_ids[:-1]) & set(lm.eos_ids)
        assert found.finished == (found.new_ids[-1] in lm.eos_ids)
        assert found.finished or len(found.new_ids) == 24


def test_finished_rows_leave_the_batch(lm: LanguageModel) -> None:
    with_ends(lm)
    widths: list[int] = []
    handle = lm.model.lm_head.register_forward_hook(lambda m, args, out: widths.append(out.shape[0]))
    found = generate(lm, some_prompts(20), list(range(20)), SAMPLED)
    handle.remove()
    lengths = [len(g.new_ids) for g in found]
    assert widths == [sum(n > step for n in lengths) for step in range(max(lengths))]


def test_only_the_last_logits_are_made(lm: LanguageModel) -> None:
    shapes: list[tuple[int, ...]] = []
    handle = lm.model.lm_head.register_forward_hook(lambda m, args, out: shapes.append(tuple(out.shape)))
    generate(lm, some_prompts(3), [0] * 3, GREEDY)
    handle.remove()
    assert {shape[1] for shape in shapes} == {1}


def test_no_prompts_no_generations(lm: LanguageModel) -> None:
    assert generate(lm, [], [], GREEDY) == []


def test_bad_input_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="2 prompts need as many seeds"):
        generate(lm, [[1], [2]], [0], GREEDY)
    with pytest.raises(ConfigError, match="rows=0"):
        generate(lm, [[1]], [0], GREEDY, rows=0)
    with pytest.raises(AlignmentError, match="sequence 1 has no tokens"):
        generate(lm, [[1], []], [0, 0], GREEDY)
    with pytest.raises(ConfigError, match="sequence 0 needs 264 positions"):
        generate(lm, [[5] * 240], [0], GREEDY)


def test_logits_that_are_not_finite_are_an_error(lm: LanguageModel) -> None:
    lm.model.lm_head.weight[7] = float("nan")
    with pytest.raises(ModelError, match="logits are not finite at new token 0"):
        generate(lm, [[5, 6]], [0], GREEDY)


def test_mean_logprobs_match_one_by_one(lm: LanguageModel) -> None:
    with_ends(lm)
    found = generate(lm, some_prompts(9), list(range(9)), SAMPLED)
    scores = mean_logprobs(lm, found, batch_tokens=100)
    for generation, score in zip(found, scores, strict=True):
        ids = torch.tensor([generation.token_ids])
        logp = lm.model(ids).logits[0].double().log_softmax(-1)
        each = logp[:-1].gather(1, ids[0, 1:, None])[generation.n_prompt - 1 :]
        assert score == pytest.approx(float(each.mean()), abs=1e-5)


def test_nothing_generated_has_no_logprob(lm: LanguageModel) -> None:
    """An unknown is not a zero."""
    assert mean_logprobs(lm, [Generation((0, 5), 2, "length")]) == [None]
    assert mean_logprobs(lm, []) == []
