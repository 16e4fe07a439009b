"""One property: an edit means the same in whatever pieces, batches, caches and drafts the tokens are run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from multidir.errors import ModelError
from multidir.models.blocks import cached
from multidir.models.generate import generate
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.positions import Positions, track_positions
from multidir.models.sampling import Sampling
from multidir.records.intervention import Intervention
from multidir.records.scope import Scope
from multidir.steer.edit import RowEdits
from multidir.steer.steering import row_edits, steer
from tests.models.tiny import tiny_llama, tiny_lm
from tests.steer.arms import add, check_receipts
from tests.steer.worlds import interventions, scopes

LM = tiny_lm()
LM.model.double()
LM.model.generation_config.eos_token_id = LM.tokenizer.eos_token = None
DRAFTER = tiny_llama(seed=1).double()
DRAFTER.generation_config.eos_token_id = None
NEW = 4
GREEDY = Sampling(False, max_new_tokens=NEW)
POOL = [5, 6, 7, 16, 18, 203, 266, 83, 317, 318]

BATCHED = ["together", "in two batches", "in pieces", "at once", "leaving and entering"]
ALONE = {
    "generate": {},
    "prompt lookup": {"prompt_lookup_num_tokens": 3},
    "assistant": {"assistant_model": DRAFTER},
    "chunked prefill": {"prefill_chunk_size": 2},
    "no cache": {"use_cache": False},
}


@dataclass
class World:
    prompts: list[list[int]]
    rows: list[list[Intervention]]
    seeds: list[int]
    cuts: list[int]

    def __repr__(self) -> str:
        rows = [[str(item) for item in row] for row in self.rows]
        return f"World({self.prompts}, {rows}, {self.seeds}, {self.cuts})"

    def edits(self, rows: list[int]) -> list[RowEdits]:
        return row_edits(LM, [self.rows[row] for row in rows], seeds=[self.seeds[row] for row in rows])

    def alone(self, row: int) -> tuple[Generation, list[RowEdits]]:
        edits = self.edits([row])
        return generate(LM, [self.prompts[row]], [0], GREEDY, edits)[0], edits


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count = draw(st.integers(1, 3))
    prompts = [[0, *draw(st.lists(st.sampled_from(POOL), min_size=2, max_size=8))] for _ in range(count)]
    rows = [
        [replace(draw(interventions(scope=draw(scopes()))), order=place) for place in range(draw(st.integers(0, 2)))]
        for _ in range(count)
    ]
    return World(
        prompts, rows, draw(st.permutations([3, 4, 5]))[:count], draw(st.lists(st.integers(1, 11), max_size=4))
    )


@settings(max_examples=150, deadline=None)
@given(worlds(), st.sampled_from([*BATCHED, *ALONE]))
def test_an_edit_means_the_same_however_the_tokens_are_run(world: World, way: str) -> None:
    """Tokens, edited positions and norms of edits are those of every row generated alone, token by token."""
    alone = [world.alone(row) for row in range(len(world.prompts))]
    if way in ALONE:
        ids = torch.tensor([world.prompts[0]])
        options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": NEW, "do_sample": False, **ALONE[way]}
        n_prompt = len(ids[0]) if way in ("chunked prefill", "no cache") else None
        with steer(LM, world.rows[0], n_prompt=n_prompt, seed=world.seeds[0]) as edits:
            made = LM.model.generate(ids, **options)
        assert made[0].tolist() == list(alone[0][0].token_ids)
        if way in ("generate", "chunked prefill"):  # the others run some positions more than once
            same_receipts(edits, [alone[0][1]])
        return
    edits = world.edits(list(range(len(alone))))
    if way in ("together", "in two batches"):
        found = generate(LM, world.prompts, [0] * len(alone), GREEDY, edits, rows=3 if way == "together" else 2)
        assert found == [generation for generation, _ in alone]
    else:
        teacher_forced(world, edits, [generation for generation, _ in alone], way)
    check_receipts(edits, [generation for generation, _ in alone])
    same_receipts(edits, [receipt for _, receipt in alone])


def same_receipts(edits: list[RowEdits], alone: list[list[RowEdits]]) -> None:
    for row, receipts in enumerate(alone):
        assert sum(e.edited[row] for e in edits) == sum(e.edited[0] for e in receipts)
        norm = sum(e.edit_norm_sum[0] for e in receipts)
        assert sum(e.edit_norm_sum[row] for e in edits) == pytest.approx(
            norm, rel=1e-5
        )  # transformers norms in float32


def hook(
    hooked: ExitStack, edits: list[RowEdits], positions: Positions, rows: Sequence[int], prompts: list[int]
) -> None:
    """Hook edits for these rows into the model, in place of those that are."""
    hooked.close()
    for edit in edits:
        hooked.enter_context(edit.attach(LM, positions, rows, [prompts[row] for row in rows]))


def teacher_forced(world: World, edits: list[RowEdits], found: list[Generation], way: str) -> None:
    """Run what was written, left-padded, and see that the model still writes it."""
    lengths = [len(generation.token_ids) - 1 for generation in found]
    width, device = max(lengths), LM.device
    ids, mask = torch.full((len(found), width), 2), torch.zeros(len(found), width, dtype=torch.long)
    for row, (generation, length) in enumerate(zip(found, lengths, strict=True)):
        ids[row, width - length :] = torch.tensor(generation.token_ids[:-1])
        mask[row, width - length :] = 1
    cuts = [] if way == "at once" else sorted({cut for cut in world.cuts if cut < width})
    prompts, order = [generation.n_prompt for generation in found], torch.arange(len(found), device=device)
    cache, logits = DynamicCache(config=LM.model.config), []
    with ExitStack() as stack, torch.inference_mode():
        positions = stack.enter_context(track_positions(LM.model))
        hooked = stack.enter_context(ExitStack())
        hook(hooked, edits, positions, range(len(found)), prompts)
        for start, end in zip([0, *cuts], [*cuts, width], strict=True):
            if way == "leaving and entering" and start:  # the first row becomes the last
                turn = torch.arange(len(found)).roll(-1)
                order, positions.tokens = order[turn], positions.tokens[turn]
                cache.batch_select_indices(turn)
                hook(hooked, edits, positions, order.tolist(), prompts)
            out = LM.model(ids[order, start:end], attention_mask=mask[order, :end], **cached(LM.model, cache))
            logits.append(out.logits[order.argsort()])
    written = torch.cat(logits, 1)[:, -NEW:].argmax(-1).tolist()
    assert written == [list(generation.new_ids) for generation in found]


def test_the_property_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """With positions counted from the current pass, as others have done it, the tokens differ."""
    rows = [[add(30.0, scope="generated[8:]")]]
    world = World([[0, 5, 6, 7, 16, 18, 318]], rows, [3], [7])
    alone, _ = world.alone(0)
    wrong = lambda arguments: (torch.arange(arguments["input_ids"].shape[1])[None], True)  # noqa: E731
    monkeypatch.setattr("multidir.models.positions.absolute_positions", wrong)
    with pytest.raises(AssertionError):
        teacher_forced(world, world.edits([0]), [alone], "in pieces")


def test_what_may_not_be_the_whole_prompt_is_not_guessed(lm: LanguageModel) -> None:
    """Without n_prompt the first pass is the prompt; where a later one shows that it need not be, that is an error."""
    ids = torch.tensor([[0, 5, 6, 7, 16, 18]])
    lm.model.generation_config.eos_token_id = None
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 3, "do_sample": False}
    for more, match in (({"prefill_chunk_size": 2}, "pass of 2 tokens"), ({"use_cache": False}, "pass of 7 tokens")):
        for scope in ("prompt", "generated", "decoded"):
            with pytest.raises(ModelError, match=f"{match} goes on with earlier ones .*; say n_prompt"):  # noqa: SIM117
                with steer(lm, add(5.0, scope=scope)):
                    lm.model.generate(ids, **options, **more)
        with steer(lm, add(5.0)) as edits:
            lm.model.generate(ids, **options, **more)
        assert edits[0].edited[0] >= 8
    cache = DynamicCache(config=lm.model.config)
    lm.model(ids[:, :4], **cached(lm.model, cache))
    with pytest.raises(ModelError, match="say n_prompt"), steer(lm, add(5.0, scope="generated")):
        lm.model(ids[:, 4:5], **cached(lm.model, cache))


def test_prompt_states_say_which_prompts_may_be_shared() -> None:
    prompt = [0, 5, 6, 7, 18]
    item = add(3.0)
    scoped = [replace(item, scope=Scope.of(scope)) for scope in ("prompt", "generated", "decoded")]
    rows = [None, item, scoped[0], add(4.0), *scoped[1:]]
    (edits,) = row_edits(LM, rows)
    first, keys = zip(*(edits.prompt_state(row, prompt) for row in range(len(rows))), strict=True)
    assert first == (5, 0, 0, 0, 4, 5)
    assert keys[1] == keys[2], "the same prompt, whatever comes after it"
    assert len({keys[0], keys[1], keys[3], keys[4]}) == 4
    assert keys[0] == keys[5] == ()


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_streams_are_equal_where_prompt_states_say_so(world: World) -> None:
    """Before `first` nothing differs from the unsteered model; equal keys give equal streams over the whole prompt."""
    prompt = world.prompts[0]
    edits = world.edits(list(range(len(world.rows))))
    states = [[e.prompt_state(row, prompt) for e in edits] for row in range(len(world.rows))]
    ids = torch.tensor([prompt] * (len(world.rows) + 1))
    none = len(world.rows)
    both = row_edits(LM, [*world.rows, None], seeds=[*world.seeds, 0])
    with ExitStack() as stack, torch.inference_mode():
        positions = stack.enter_context(track_positions(LM.model))
        for e in both:
            stack.enter_context(e.attach(LM, positions, range(none + 1), [len(prompt)] * (none + 1)))
        logits = LM.model(ids).logits
    for row, state in enumerate(states):
        first = min((first for first, _ in state), default=len(prompt))
        torch.testing.assert_close(logits[row, :first], logits[none, :first], rtol=1e-5, atol=1e-5)
        for other in range(row):
            if [key for _, key in states[other]] == [key for _, key in state]:
                torch.testing.assert_close(logits[row], logits[other], rtol=1e-5, atol=1e-5)
