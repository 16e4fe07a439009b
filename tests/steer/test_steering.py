"""Steering inside a `with`, and turning interventions into edits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from multidir.errors import ConfigError, ModelError
from multidir.models.blocks import cached
from multidir.models.capture import capture
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.sampling import Sampling
from multidir.records.intervention import Dose, Intervention
from multidir.records.scope import Gate, Scope
from multidir.records.site import Site
from multidir.steer.steering import row_edits, steer
from tests.steer.arms import add, added, direction

IDS = torch.tensor([[2, 2, 0, 5, 6, 7], [0, 9, 8, 7, 6, 5], [2, 0, 1, 1, 1, 9]])
MASK = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6, [0, 1, 1, 1, 1, 1]])


def generated(lm: LanguageModel) -> list[list[int]]:
    out = lm.model.generate(IDS, attention_mask=MASK, max_new_tokens=7, do_sample=False, eos_token_id=399)
    return out[:, 6:].tolist()


@pytest.mark.parametrize("scope", ["all", "prompt", "generated"])
def test_generate_of_transformers_is_steered_as_ours_in_every_row(lm: LanguageModel, scope: str) -> None:
    lm.model.generation_config.eos_token_id = lm.tokenizer.eos_token_id = None
    prompts = [[int(t) for t, m in zip(r, k, strict=True) if m] for r, k in zip(IDS, MASK, strict=True)]
    with steer(lm, add(5.0, scope=scope)) as edits:
        theirs = generated(lm)
    ours = generate(lm, prompts, [0] * 3, Sampling(False, max_new_tokens=7), row_edits(lm, [add(5.0, scope=scope)] * 3))
    assert theirs == [list(g.new_ids) for g in ours]
    expected = {"all": 4 + 6 + 5 + 18, "prompt": 15, "generated": 21}[scope]
    assert edits[0].edited.tolist() == [expected]
    assert theirs != generated(lm)


def test_every_row_of_a_batch_is_steered(lm: LanguageModel) -> None:
    """The trap of the old idiom, which steers row 0 only."""
    plain = lm.model(IDS, attention_mask=MASK).logits
    with steer(lm, add(5.0)):
        steered = lm.model(IDS, attention_mask=MASK).logits
    assert torch.equal((steered != plain).any(-1), MASK.bool())


def test_announced_prompt_length_counts_in_chunked_prefill(lm: LanguageModel) -> None:
    from transformers import DynamicCache

    with steer(lm, add(5.0, scope="prompt"), n_prompt=4) as edits:
        cache = DynamicCache(config=lm.model.config)
        for start in (0, 2, 4):
            lm.model(IDS[1:2, start : start + 2], **cached(lm.model, cache), use_cache=True)
    assert edits[0].edited.tolist() == [4]


def test_an_announced_prompt_length_serves_batches_of_any_size(lm: LanguageModel) -> None:
    with steer(lm, add(5.0, scope="prompt"), n_prompt=2) as edits:
        lm.model(IDS[1:2])
        lm.model(IDS, attention_mask=MASK)
        lm.model(IDS[1:].repeat(2, 1), attention_mask=MASK[1:].repeat(2, 1))
    assert edits[0].edited.tolist() == [2 + 6 + 8]


def test_capture_inside_sees_the_steered_stream(lm: LanguageModel) -> None:
    """Unlike `output_hidden_states`, which transformers records before any edit."""
    ids = IDS[1].tolist()
    ((_, plain),) = capture(lm, [ids], [Site(0), Site(1)])
    with steer(lm, add(5.0)):
        ((_, steered),) = capture(lm, [ids], [Site(0), Site(1)])
    assert torch.equal(plain[Site(0)], steered[Site(0)])
    moved = (steered[Site(1)] - plain[Site(1)]).norm(dim=-1)
    torch.testing.assert_close(moved, torch.full((6,), 5.0), rtol=1e-4, atol=1e-4)


def test_mixtures_add_up(lm: LanguageModel) -> None:
    parts = [add(2.0, seed=1), add(-3.0, seed=2), add(1.0, seed=1)]
    (edits,) = row_edits(lm, [parts, None, add(7.0, seed=3)])
    expected = 3 * direction(1).unit - 3 * direction(2).unit
    mixture = added(edits)
    assert len(edits) == 3
    assert np.allclose(mixture[1], 0)
    assert np.allclose(mixture[2], 7 * direction(3).unit)
    # equal directions that are different objects are one term each, and still add up
    assert np.allclose(mixture[0], expected)


def test_one_set_of_edits_per_site_and_one_term_for_like_operators(lm: LanguageModel) -> None:
    rows = [add(1.0), add(1.0, site=Site(2)), (add(1.0, scope="prompt"), add(2.0, site=Site(2))), None]
    edits = row_edits(lm, rows)
    assert [e.site for e in edits] == [Site(1), Site(2)]
    assert all(e.plain for e in edits), "scopes may differ between rows"
    assert [e.terms[0].pick.tolist() for e in edits] == [[0, -1, 1, -1], [-1, 0, 1, -1]]
    assert [[str(s) for s in e.terms[0].scopes] for e in edits] == [["all", "all", "prompt", "all"], ["all"] * 4]
    (two,) = row_edits(lm, [(add(1.0), add(2.0, seed=1, scope="prompt")), add(3.0)])
    assert [t.pick.tolist() for t in two.terms] == [[0, 1], [0, -1]], "scopes that differ within a row are two terms"
    assert row_edits(lm, [None, ()]) == []


def test_relative_doses_take_the_norm_of_their_site(lm: LanguageModel) -> None:
    item = Intervention(direction(), Dose(0.5, "relative"))
    (edits,) = row_edits(lm, [item], {Site(1): 8.0, Site(2): 100.0})
    assert np.linalg.norm(added(edits)) == pytest.approx(4.0)
    with pytest.raises(ConfigError, match="which is not given"):
        row_edits(lm, [item], {Site(2): 100.0})


def test_misfits_are_refused(lm: LanguageModel) -> None:
    with (
        pytest.raises(ConfigError, match="direction 'random-0' has width 5, tiny random Llama has 32"),
        steer(lm, Intervention(direction(d=5), Dose(1, "residual"))),
    ):
        pass
    with pytest.raises(ConfigError, match=r"L7\.resid_post is beyond"), steer(lm, add(1.0, site=Site(7))):
        pass
    with pytest.raises(ConfigError, match="no operator 'multiply'"), steer(lm, replace(add(1.0), operator="multiply")):  # type: ignore[arg-type]
        pass
    with pytest.raises(ConfigError, match="no scope 'sometimes'"), steer(lm, add(1.0, scope="sometimes")):
        pass
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lm.model.modules())


def test_after_the_with_the_model_is_as_before_also_after_an_error(lm: LanguageModel) -> None:
    plain, weights = lm.model(IDS).logits, {k: v.clone() for k, v in lm.model.state_dict().items()}
    gate = Gate(np.ones(32), site=Site(0, "resid_pre"))
    items = [add(5.0), add(5.0, site=Site(2), scope=Scope("decoded", from_text="x", gate=gate))]

    def as_before() -> None:
        assert torch.equal(lm.model(IDS).logits, plain)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in lm.model.modules())
        after = lm.model.state_dict()
        assert after.keys() == weights.keys()
        assert all(torch.equal(after[k], weights[k]) for k in weights)

    with steer(lm, items):
        generated(lm)
    as_before()
    with pytest.raises(ZeroDivisionError), steer(lm, items):
        raise ZeroDivisionError
    as_before()
    with (
        pytest.raises(ConfigError, match="reads width 3"),
        steer(lm, [add(5.0), add(1.0, scope=Scope(gate=Gate(np.ones(3))))]),
    ):
        pass
    as_before()


def test_a_model_whose_blocks_are_not_where_blocks_are_lists_what_was_tried(lm: LanguageModel) -> None:
    strange = replace(lm, model=torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with (
        pytest.raises(ModelError, match=r"cannot find the decoder blocks of Linear; tried model\.layers"),
        steer(strange, add(1.0)),
    ):
        pass
