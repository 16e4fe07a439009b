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
from multidir.models.blocks import cached
from multidir.models.capture import capture
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.positions import track_positions
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention
from multidir.records.scope import Gate, Scope
from multidir.records.site import Site
from multidir.steer.steering import row_edits, steer
from multidir.steer.sweep import sweep
from tests.models.tiny import tiny_llama
from tests.steer.arms import add, added, adding, check_receipts, direction

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
        lm.model(IDS)


def test_generated_begins_at_the_last_prompt_position(endless: LanguageModel) -> None:
    """The first new token is made there: leaving it out leaves that token unsteered."""
    plain = endless.model(IDS).logits[0]
    with steer(endless, add(5.0, scope="generated")):
        steered = endless.model(IDS).logits[0]
    assert torch.equal(steered[:-1], plain[:-1])
    assert not torch.equal(steered[-1], plain[-1])


def test_decoded_is_another_scope_with_another_name(endless: LanguageModel) -> None:
    """Decode steps only: the first new token is the unsteered model's."""
    ids = torch.tensor([[0, 5, 6, 7, 8, 9]])
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 6, "do_sample": False}
    plain = endless.model.generate(ids, **options)[0, 6:].tolist()
    written = {}
    for scope in ("generated", "decoded"):
        with steer(endless, add(30.0, scope=scope)) as edits:
            written[scope] = endless.model.generate(ids, **options)[0, 6:].tolist()
        assert edits[0].edited.tolist() == [6 if scope == "generated" else 5]
    assert written["decoded"][0] == plain[0] != written["generated"][0]
    assert written["decoded"] != plain


def test_a_condition_is_decided_for_every_row_and_remembered_nowhere(lm: LanguageModel) -> None:
    """Condition state on a class, decided at the first call and for row 0, steers the whole batch or none of it."""
    weights = np.random.default_rng(1).normal(size=32)
    ids = torch.tensor([[0, 5, 6, 7], [0, 90, 91, 92]])
    seen = [found[Site(1)].numpy() @ weights for _, found in capture(lm, ids.tolist(), [Site(1)])]
    limit = float(np.mean([scores.max() for scores in seen]))
    high = int(seen[1].max() > seen[0].max())
    item = add(5.0, scope=Scope(gate=Gate(weights, threshold=limit)))
    for order in ([0, 1], [1, 0]):
        edits = row_edits(lm, [item, item])
        with track_positions(lm.model) as positions, edits[0].attach(lm, positions, [0, 1], [4, 4]):
            lm.model(ids[order])
        assert (edits[0].edited > 0).tolist() == [row == high for row in order]


def test_above_the_threshold_means_above_the_threshold(lm: LanguageModel) -> None:
    """An option "larger" that names the threshold is read the wrong way round; a gate says its inequality."""
    scores = capture(lm, [PROMPT], [Site(1)])
    ((_, found),) = scores
    weights = found[Site(1)][2].double().numpy()
    top = found[Site(1)].double().numpy() @ weights
    with steer(lm, add(5.0, scope=Scope(gate=Gate(weights, threshold=float(np.sort(top)[-2:].mean()))))) as edits:
        lm.model(IDS)
    assert edits[0].edited.tolist() == [1], "the one token with the highest score"


def test_assisted_decoding_verifies_several_tokens_in_one_pass(endless: LanguageModel) -> None:
    """One token per pass is not what decoding means: verification passes are longer."""
    repeated = torch.tensor([[0, *([5, 6, 7, 8] * 5)]])
    options = {"attention_mask": torch.ones_like(repeated), "max_new_tokens": 12, "do_sample": False}
    for scope in ("all", "prompt", "generated"):
        with steer(endless, add(3.0, scope=scope)):
            one_by_one = endless.model.generate(repeated, **options)
        with steer(endless, add(3.0, scope=scope)):
            drafted = endless.model.generate(repeated, prompt_lookup_num_tokens=4, **options)
        assert torch.equal(one_by_one, drafted)


def test_prompt_cached_under_steering_is_not_an_unsteered_prompt(lm: LanguageModel) -> None:
    """Rows never share keys and values, so an unsteered neighbour of a steered prompt stays unsteered."""
    (alone,) = generate(lm, [PROMPT], [0], GREEDY)
    edits = row_edits(lm, [add(9.0), None, add(-9.0)])
    found = generate(lm, [PROMPT] * 3, [0] * 3, GREEDY, edits)
    assert found[1] == alone
    assert found[0] != alone != found[2]


def test_a_prompt_is_shared_by_its_tokens_and_its_steering(lm: LanguageModel) -> None:
    """Sharing by token hash alone hands an unsteered request the steered prompt of its neighbour."""
    item = add(5.0)
    (edits,) = row_edits(lm, [item, None, item, add(5.0, seed=1), add(5.0, scope="decoded")])
    first, keys = zip(*(edits.prompt_state(row, PROMPT) for row in range(5)), strict=True)
    assert first == (0, 5, 0, 0, 5)
    assert keys[0] == keys[2]
    assert len({keys[0], keys[1], keys[3]}) == 3
    assert keys[1] == keys[4]


def test_an_unsteered_row_does_not_inherit_the_steered_prompt_of_its_neighbour(endless: LanguageModel) -> None:
    """Blocks that are shared by their tokens alone did that; here both run in one batch, in either order."""
    steered, plain = add(8.0, scope="prompt"), None
    alone = [generate(endless, [PROMPT], [0], GREEDY, row_edits(endless, [each])) for each in (steered, plain)]
    assert alone[0] != alone[1]
    for order in ([steered, plain], [plain, steered]):
        found = generate(endless, [PROMPT] * 2, [0] * 2, GREEDY, row_edits(endless, order))
        assert found == [alone[each is plain][0] for each in order]


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
    vector = item.subject.unit
    kept = vector.copy()
    (edits,) = row_edits(lm, [item])
    generate(lm, [PROMPT], [0], GREEDY, [edits])
    assert np.linalg.norm(added(edits)) == pytest.approx(2.0)
    assert np.array_equal(vector, kept)
    edits.terms[0].operator.tensors()["vector"].zero_()
    assert np.array_equal(vector, kept)


def test_projecting_out_a_long_vector_is_a_projection_and_leaves_the_vector_alone(lm: LanguageModel) -> None:
    """`x - (x . v) v` of a vector that is no unit overshoots, and normalising in place spoils what is stored."""
    vector = np.arange(1.0, 33.0)
    kept = vector.copy()
    eraser = Eraser.project_out(Direction.from_vector("long", vector, Site(1)))
    with steer(lm, Intervention(eraser, operator="erase")):
        ((_, found),) = capture(lm, [PROMPT], [Site(1)])
    assert np.abs(found[Site(1)].double().numpy() @ vector).max() < 1e-3
    assert np.array_equal(vector, kept)


def test_an_index_too_many_does_not_make_the_vector_a_number(lm: LanguageModel) -> None:
    """`v[-1]` of a vector is a scalar, which broadcasts over everything and merely looks repetitive."""
    scalar = direction().unit[-1]
    with pytest.raises(ConfigError, match=r"expected one finite vector, got shape \(\)"):
        Direction.from_vector("last", scalar, Site(1))
    with pytest.raises(ConfigError, match="have width 1"):
        generate(lm, [PROMPT], [0], GREEDY, [adding(Site(1), np.atleast_2d(scalar), np.ones((1, 1)), "all")])


def test_steering_that_does_nothing_is_an_error_not_a_result(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DesignError, match="there is nothing to steer with"):
        Direction.from_vector("zero", np.zeros(32), Site(1))
    monkeypatch.setattr("multidir.steer.live.LiveRowEdits.apply", lambda self, hidden: None)
    with pytest.raises(ModelError, match="reached 0 token positions, expected 14"):
        list(sweep(lm, [("p", PROMPT)], [("a", add(5.0))], 1, Sampling(False, max_new_tokens=10)))


@pytest.mark.parametrize("kind", [np.nan, np.inf])
def test_a_vector_with_nan_is_refused_before_anything_runs(lm: LanguageModel, kind: float) -> None:
    vector = np.ones(32)
    vector[3] = kind
    with pytest.raises(DesignError, match="there is nothing to steer with"):
        Direction.from_vector("broken", vector, Site(1))
    with pytest.raises(ConfigError, match="direction 'broken': expected one finite vector"):
        Direction("broken", vector, 1.0, Site(1))


def test_another_model_inside_the_with_is_an_error_not_an_unsteered_result(lm: LanguageModel) -> None:
    with pytest.raises(ModelError, match="nothing was edited"), steer(lm, add(5.0)):
        tiny_llama(seed=0)(IDS)


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
        endless.model(IDS[:, :3], **cached(endless.model, cache), use_cache=True)
        endless.model(IDS[:, 3:], **cached(endless.model, cache), use_cache=True)
        endless.model(IDS[:, :1], **cached(endless.model, cache), use_cache=True)
    assert edits[0].edited.tolist() == [5]
