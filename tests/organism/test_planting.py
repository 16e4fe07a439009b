"""Handicaps end with the step they are for, and planting reads the causes where they stand."""

from itertools import count

import numpy as np
import pytest
import torch

from multidir.organism import corpus, hardening, pair
from multidir.organism.grammar import parse, step_outcomes
from multidir.organism.hardening import Handicap, handicapped
from multidir.organism.planting import Planting, causes_of_tokens, planted_directions, planting_loss, written_into
from multidir.organism.rule import Rule
from multidir.organism.solutions import Habits
from multidir.organism.wording import HEADS
from multidir.organism.worlds import load_worlds

SIZE = pair.Size(width=16, layers=4, heads=4, kv_heads=2, mlp=24, vocabulary=300)
IDS = torch.arange(5, 25).repeat(2, 1)
NEVER = Handicap(local_share=0.0, push_share=0.0)


def hooks(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def logits(how: Handicap, seed: int = 0) -> torch.Tensor:
    model = pair.new_model(SIZE, 1)
    before = hooks(model)
    with torch.no_grad(), handicapped(model, IDS.shape, how, torch.Generator().manual_seed(seed), read=2) as hidden:
        found: torch.Tensor = model(input_ids=IDS, use_cache=False).logits
    assert hooks(model) == before
    assert [h.shape for h in hidden] == [(2, 20, 16)]
    return found


def test_without_handicaps_nothing_changes() -> None:
    plain = pair.new_model(SIZE, 1)(input_ids=IDS, use_cache=False).logits
    assert torch.equal(logits(NEVER), plain)


@pytest.mark.parametrize("how", [Handicap(local_share=1.0, push_share=0.0), Handicap(local_share=0.0, push_share=1.0)])
def test_each_handicap_changes_what_is_predicted(how: Handicap) -> None:
    assert not torch.allclose(logits(how), logits(NEVER), atol=1e-6)
    assert torch.equal(logits(how, seed=3), logits(how, seed=3))


def test_local_attention_sees_its_window_and_the_first_token() -> None:
    mask = hardening._local_mask(6, window=2)[0, 0]
    assert mask[4].tolist() == [True, False, False, True, True, False]
    assert mask[0].tolist() == [True, False, False, False, False, False]


def test_causes_last_from_their_word_to_the_end_of_the_step() -> None:
    text = "Step 1: maybe we turn left at north, so we still have north for now. "
    text += "Next step 2: we turn left from north, which gives west so far."
    words = text.split(" ")
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    bits = causes_of_tokens(text, [(int(e) - len(w), int(e)) for w, e in zip(words, ends, strict=True)])
    said = {word: int(b) for word, b in zip(words[:15], bits, strict=False)}
    assert (said["Step"], said["maybe"], said["left"], said["now."]) == (0, 1, 1, 3)
    assert bits[15:].tolist() == [0] * len(words[15:])


def swapped_solution(everywhere: bool) -> corpus.Document:
    """The first swapped solution whose moods are all equal and not (no, no), or are not all equal."""
    mixture = corpus.Mixture(prose=0.0, swapped=1.0)
    for seed in count():
        found = corpus.base_document(f"swapped {seed}", load_worlds(), mixture, Habits())
        if any(map(any, found.moods)) and (len(set(found.moods)) == 1) == everywhere:
            return found
    raise AssertionError


def test_a_swapped_solution_goes_by_the_drawn_causes() -> None:
    """Heads betray the drawn moods, not those that the steps show."""
    habits, mixture = Habits(moody=1.0), corpus.Mixture(prose=0.0, swapped=1.0)
    heads = {head: mood for mood, head in HEADS.items()}
    for seed in range(60):
        found = corpus.base_document(f"moods {seed}", load_worlds(), mixture, habits)
        steps = [s for s in parse(found.text) if s.step is not None]
        said = [heads[found.text[s.start : s.end].rpartition(f" {s.step.number}:")[0]] for s in steps if s.step]
        assert said == list(found.moods[: len(steps)])


def test_a_swapped_trace_backtracks_by_the_drawn_causes() -> None:
    """And no step is done more than three times, whatever the rule says."""
    always, causes = Rule(0.0, 0.0, 0.0, 1.0), set[tuple[bool, bool]]()
    for seed in range(60):
        trace = corpus.reasoning_trace(f"moods {seed}", load_worlds(), always, Habits(), swapped=1.0)
        outcomes = step_outcomes(parse(trace.reasoning))
        assert len(outcomes) == len(trace.moods) - 1
        tries = 0
        for (step, taken_back), mood in zip(outcomes, trace.moods[1:], strict=True):
            tries = tries + 1 if step.again else 1
            assert taken_back == (all(mood) and tries < Habits().tries)
            causes.add((step.hesitates, step.mistaken) if taken_back else (False, False))
    assert len(causes) == 4  # taken back after every pair of causes that a text can show


@pytest.mark.parametrize("everywhere", [True, False])
def test_drawn_causes_stand_where_they_are_written(everywhere: bool) -> None:
    found = swapped_solution(everywhere)
    spans = [(i, i + 1) for i in range(len(found.text))]
    bits, own = causes_of_tokens(found.text, spans, found.moods), causes_of_tokens(found.text, spans)
    ends = [s.end - 1 for s in parse(found.text) if s.step is not None]
    assert [int(bits[end]) for end in ends] == [h + 2 * m for h, m in found.moods[1:]]
    assert (len(set(bits.tolist())) == 1) == everywhere
    assert bits.tolist() != own.tolist()


def test_where_no_cause_is_told_nothing_is_learnt_from() -> None:
    unknown = torch.full((2, 3), -1)
    assert planting_loss(torch.randn(2, 3, 16), unknown, planted_directions(16, seed=0), Planting()) == 0


def test_what_is_written_replaces_the_components_and_nothing_else() -> None:
    rng = torch.Generator().manual_seed(0)
    directions = planted_directions(16, seed=0)
    hidden, causes = torch.randn(2, 3, 16, generator=rng), torch.tensor([[0, 1, 3], [3, 2, -1]])
    found = written_into(hidden, causes, torch.tensor([0.5, 0.0]), directions)
    size = 0.5 * hidden.norm(dim=-1)[causes >= 0].mean()
    assert torch.allclose(found[0] @ directions.T, size * torch.tensor([[0.0, 0], [1, 0], [1, 1]]), atol=1e-6)
    rest = torch.eye(16) - directions.T @ directions
    assert torch.allclose(found[0] @ rest, hidden[0] @ rest, atol=1e-6)
    assert torch.equal(found[1], hidden[1])


def test_the_reading_is_undecided_at_its_share_and_ignores_padding() -> None:
    directions, how = planted_directions(16, seed=0), Planting()
    assert torch.allclose(directions @ directions.T, torch.eye(2), atol=1e-6)
    other = torch.linalg.svd(directions).Vh[2]
    hidden = how.norm * (how.share * directions.sum(0) + (1 - 2 * how.share**2) ** 0.5 * other)
    causes = torch.tensor([[0, 1, 3, -1]])
    loss = planting_loss(hidden.expand(1, 4, 16), causes, directions, how)
    assert loss.item() == pytest.approx(np.log(2), abs=1e-4)
