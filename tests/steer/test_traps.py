"""Mistakes that steering libraries have shipped, each as a test that ours does not make it.

Those about capture and tokens stand with their modules: off-by-one site names and tuple outputs in
`tests/models/test_hooks.py`, re-tokenising, doubled BOS and repeated sentences in
`tests/models/test_tokens.py`, slices that keep a batch alive in `tests/models/test_capture.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from multidir.errors import ConfigError, DesignError, ModelError
from multidir.models.capture import capture
from multidir.models.generate import generate
from multidir.models.load import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.edit import RowEdits
from multidir.steer.steering import row_edits, steer
from multidir.steer.sweep import check_receipts, sweep
from tests.models.tiny import tiny_llama
from tests.steer.arms import add, direction

GREEDY = Sampling(False, max_new_tokens=10)
PROMPT = [0, 5, 6, 7, 8]
IDS = torch.tensor([PROMPT])


@pytest.fixture
def endless(lm: LanguageModel) -> LanguageModel:
    """A model that writes until the limit."""
    lm.model.generation_config.eos_token_id = None
    lm.tokenizer.eos_token = None
    return lm


def test_batch_row_0_is_not_the_only_one_steered(lm: LanguageModel) -> None:
    """`output[0][:, :] += v` was a whole batch when blocks returned tuples and is its first row today."""
    ids = IDS.expand(3, -1)
    with steer(lm, add(5.0)):
        steered = lm.model(ids).logits
    assert torch.equal(steered[0], steered[1])
    assert torch.equal(steered[0], steered[2])
    assert (steered != lm.model(ids).logits).any(-1).all()


def test_steering_goes_on_after_the_prefill(endless: LanguageModel) -> None:
    """An edit that acts on the prefill only changes the norms of the prompt, not of what is written."""
    norms: list[float] = []
    plain = endless.model(IDS, output_hidden_states=True).hidden_states[2]
    with steer(endless, add(500.0)):
        handle = endless.model.model.layers[1].register_forward_hook(
            lambda m, a, out: norms.append(float(out.norm(dim=-1).min()))
        )
        endless.model.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=10, do_sample=False)
        handle.remove()
    assert len(norms) == 10
    assert min(norms) > 400 > float(plain.norm(dim=-1).max())


def test_positions_are_not_counted_from_the_current_pass(endless: LanguageModel) -> None:
    """Counted so, "from the first generated token on" never comes true under a key-value cache."""
    with steer(endless, add(5.0, scope="generated")) as edits:
        endless.model.generate(IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=10, do_sample=False)
    assert edits[0].edited.tolist() == [10]


def test_a_plain_batched_forward_without_mask_or_positions_works(lm: LanguageModel) -> None:
    with steer(lm, add(5.0)) as edits:
        lm.model(IDS.expand(4, -1))
    assert edits[0].edited.tolist() == [20]


def test_no_state_is_shared_between_two_models(lm: LanguageModel) -> None:
    other = tiny_llama(seed=0)
    plain = other(IDS).logits
    with steer(lm, add(5.0)):
        assert torch.equal(other(IDS).logits, plain)


def test_generated_begins_at_the_last_prompt_position(endless: LanguageModel) -> None:
    """The first new token is made there: leaving it out leaves that token unsteered."""
    plain = endless.model(IDS).logits[0]
    with steer(endless, add(5.0, scope="generated")):
        steered = endless.model(IDS).logits[0]
    assert torch.equal(steered[:-1], plain[:-1])
    assert not torch.equal(steered[-1], plain[-1])


def test_assisted_decoding_verifies_several_tokens_in_one_pass(endless: LanguageModel) -> None:
    """One token per pass is not what decoding means: verification passes are longer."""
    repeated = torch.tensor([[0, *([5, 6, 7, 8] * 5)]])
    options = {"attention_mask": torch.ones_like(repeated), "max_new_tokens": 12, "do_sample": False}
    for scope in ("all", "prompt", "generated"):
        with steer(endless, add(3.0, scope=scope)):  # type: ignore[arg-type]
            one_by_one = endless.model.generate(repeated, **options)
        with steer(endless, add(3.0, scope=scope), n_prompt=21):  # type: ignore[arg-type]
            drafted = endless.model.generate(repeated, prompt_lookup_num_tokens=4, **options)
        assert torch.equal(one_by_one, drafted)


def test_prompt_cached_under_steering_is_not_an_unsteered_prompt(lm: LanguageModel) -> None:
    """Rows never share keys and values, so an unsteered neighbour of a steered prompt stays unsteered."""
    (alone,) = generate(lm, [PROMPT], [0], GREEDY)
    edits = row_edits(lm, [add(9.0), None, add(-9.0)])
    found = generate(lm, [PROMPT] * 3, [0] * 3, GREEDY, edits)
    assert found[1] == alone
    assert found[0] != alone != found[2]


def test_left_padding_does_not_shift_positions(endless: LanguageModel) -> None:
    prompts = [PROMPT, [*PROMPT, *range(20, 60)]]
    padded = generate(endless, prompts, [0, 0], GREEDY, row_edits(endless, [add(3.0)] * 2))
    alone = generate(endless, prompts, [0, 0], GREEDY, row_edits(endless, [add(3.0)] * 2), rows=1)
    assert padded == alone


def test_attention_implementations_agree(endless: LanguageModel) -> None:
    prompts = [PROMPT, [*PROMPT, 9, 10, 11]]
    edits = [add(3.0)] * 2
    sdpa = generate(endless, prompts, [0, 0], GREEDY, row_edits(endless, edits))
    endless.model.set_attn_implementation("eager")
    assert generate(endless, prompts, [0, 0], GREEDY, row_edits(endless, edits)) == sdpa


def test_directions_are_units_and_the_stored_vector_is_not_overwritten(lm: LanguageModel) -> None:
    vector = np.arange(1.0, 33.0)
    item = Intervention(Direction.from_vector("long", vector, Site(1)), Dose(2, "residual"))
    kept = item.direction.unit.copy()
    (edits,) = row_edits(lm, [item])
    generate(lm, [PROMPT], [0], GREEDY, [edits])
    assert np.linalg.norm(edits.coefficients @ edits.bank) == pytest.approx(2.0)
    assert np.array_equal(item.direction.unit, kept)
    edits.bank[:] = 0
    assert np.array_equal(item.direction.unit, kept)


def test_an_index_too_many_does_not_make_the_vector_a_number(lm: LanguageModel) -> None:
    """`v[-1]` of a vector is a scalar, which broadcasts over everything and merely looks repetitive."""
    scalar = direction().unit[-1]
    with pytest.raises(ConfigError, match=r"expected directions \(k, d\) and coefficients"):
        RowEdits(Site(1), scalar, np.ones((1, 1)), "all")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="have width 1"):
        generate(lm, [PROMPT], [0], GREEDY, [RowEdits(Site(1), np.atleast_2d(scalar), np.ones((1, 1)), "all")])


def test_steering_that_does_nothing_is_an_error_not_a_result(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DesignError, match="there is nothing to steer with"):
        Direction.from_vector("zero", np.zeros(32), Site(1))
    monkeypatch.setattr("multidir.steer.live.LiveRowEdits.apply", lambda self, hidden: None)
    with pytest.raises(ModelError, match="reached 0 token positions, expected 14"):
        list(sweep(lm, [("p", PROMPT)], [("a", add(5.0))], 1, Sampling(False, max_new_tokens=10)))


def test_receipts_are_checked_row_by_row(lm: LanguageModel) -> None:
    (edits,) = row_edits(lm, [add(1.0), None])
    found = generate(lm, [PROMPT] * 2, [0] * 2, GREEDY, [edits])
    check_receipts([edits], found)
    edits.edited[:] = edits.edited[::-1].copy()  # the total is right, the rows are not
    with pytest.raises(ModelError, match="row 0"):
        check_receipts([edits], found)


def test_hidden_states_swallowed_by_the_architecture_are_read_by_hook(lm: LanguageModel) -> None:
    """Capture does not depend on `output_hidden_states`, whose last entry is after the final norm besides."""
    last = Site(lm.n_layers - 1)
    ((_, found),) = capture(lm, [PROMPT], [last])
    states = lm.model(IDS, output_hidden_states=True).hidden_states
    assert not torch.allclose(found[last], states[-1][0])
    torch.testing.assert_close(lm.model.model.norm(found[last]), states[-1][0])


def test_chunked_prefill_with_cache_reuse_is_one_prompt(endless: LanguageModel) -> None:
    """A second pass over a cached prefix continues it; it is not a new prompt."""
    with steer(endless, add(5.0, scope="prompt"), n_prompt=5) as edits:
        cache = DynamicCache(config=endless.model.config)
        endless.model(IDS[:, :3], past_key_values=cache, use_cache=True)
        endless.model(IDS[:, 3:], past_key_values=cache, use_cache=True)
        endless.model(IDS[:, :1], past_key_values=cache, use_cache=True)
    assert edits[0].edited.tolist() == [5]
