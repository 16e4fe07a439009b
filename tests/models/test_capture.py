"""Capture of the residual stream."""

from __future__ import annotations

import pytest
import torch

from multidir.errors import AlignmentError, ConfigError
from multidir.models.capture import capture, length_batches
from multidir.models.language_model import LanguageModel
from multidir.models.pipeline import prefetch
from multidir.records.site import Site
from multidir.store.portions import portions
from tests.models.tiny import tiny_lm

SITES = [Site(0, "resid_pre"), Site(1), Site(2)]
LENGTHS = [3, 17, 8, 8, 1, 30, 12, 9, 9, 40, 2, 25]


def some_ids(lengths: list[int], seed: int = 0) -> list[list[int]]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randint(5, 400, (n,), generator=g).tolist() for n in lengths]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bit_equal_to_hidden_states_in_a_batch_of_the_same_shape(lm: LanguageModel, dtype: torch.dtype) -> None:
    lm.model.to(dtype)
    sequences = some_ids([9, 9, 9, 9])
    found = dict(capture(lm, sequences, SITES))
    states = lm.model(torch.tensor(sequences), output_hidden_states=True).hidden_states
    for row in range(4):
        for site in SITES:
            assert found[row][site].dtype == dtype
            assert torch.equal(found[row][site], states[site.hidden_states_index][row])


def test_right_padding_changes_nothing_in_float32(lm: LanguageModel) -> None:
    sequences = some_ids(LENGTHS)
    for index, found in capture(lm, sequences, SITES, batch_tokens=64):
        states = lm.model(torch.tensor([sequences[index]]), output_hidden_states=True).hidden_states
        for site in SITES:
            assert found[site].shape == (LENGTHS[index], 32)
            torch.testing.assert_close(found[site], states[site.hidden_states_index][0], rtol=1e-5, atol=1e-5)


def test_padded_batch_is_bit_equal_to_the_same_padded_batch(lm: LanguageModel) -> None:
    sequences = some_ids([7, 4])
    padded = torch.tensor([sequences[0], sequences[1] + [2] * 3])
    states = lm.model(padded, output_hidden_states=True).hidden_states
    for index, found in capture(lm, sequences, [Site(2)]):
        assert torch.equal(found[Site(2)], states[3][index, : len(sequences[index])])


def test_input_order_and_nothing_lost(lm: LanguageModel) -> None:
    sequences = some_ids(LENGTHS * 5)
    assert [index for index, _ in capture(lm, sequences, [Site(0)], batch_tokens=32)] == list(range(60))


def test_stops_after_the_last_captured_block(lm: LanguageModel) -> None:
    ran: list[int] = []
    handles = [b.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(lm.model.model.layers)]
    head = lm.model.lm_head.register_forward_hook(lambda *_: ran.append(99))
    list(capture(lm, some_ids([4]), [Site(1), Site(0, "resid_pre")]))
    assert ran == [0, 1], "blocks 2 and 3 and the head never run"
    ran.clear()
    list(capture(lm, some_ids([4]), [Site(3)]))
    assert ran == [0, 1, 2, 3], "the head never runs"
    for handle in (*handles, head):
        handle.remove()


def test_rows_own_their_memory(lm: LanguageModel) -> None:
    """A slice would keep the whole batch alive."""
    for _, found in capture(lm, some_ids([4, 40]), [Site(1)]):
        assert found[Site(1)].untyped_storage().nbytes() == found[Site(1)].numel() * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resuming_yields_the_same_bits(lm: LanguageModel, dtype: torch.dtype) -> None:
    lm.model.to(dtype)
    sequences = some_ids(LENGTHS * 4)
    whole = dict(capture(lm, sequences, [Site(2)], batch_tokens=64))
    for done in (set(range(7)), set(range(31)), {3, 20, 21, 40}, set(range(48))):
        rest = dict(capture(lm, sequences, [Site(2)], batch_tokens=64, done=done))
        assert rest.keys() == whole.keys() - done
        assert all(torch.equal(rest[i][Site(2)], whole[i][Site(2)]) for i in rest)


def test_no_hook_left_when_the_consumer_stops(lm: LanguageModel) -> None:
    running = capture(lm, some_ids(LENGTHS), [Site(1)], batch_tokens=16)
    next(running)
    running.close()
    assert not any(m._forward_hooks for m in lm.model.modules())


def test_portions_depend_on_lengths_alone() -> None:
    found = list(portions(LENGTHS, 40))
    assert [i for portion in found for i in portion] == list(range(len(LENGTHS)))
    assert all(sum(LENGTHS[i] for i in portion) <= 40 or len(portion) == 1 for portion in found)
    for k, portion in enumerate(found):
        rest = [[i + portion[0] for i in later] for later in portions(LENGTHS[portion[0] :], 40)]
        assert rest == found[k:]


def test_the_model_is_no_further_ahead_than_a_stretch(lm: LanguageModel) -> None:
    """What is computed and not yet handed out would be lost by a kill."""
    ran: list[int] = []
    handle = lm.model.model.layers[0].register_forward_hook(lambda _, args, __: ran.append(args[0].shape[:2].numel()))
    for number, _ in capture(lm, some_ids([5] * 40), [Site(1)], batch_tokens=64, ahead=40):
        assert sum(ran) - 5 * number <= 40
    assert sum(ran) == 200
    handle.remove()


def test_length_batches_hold_the_budget_with_padding() -> None:
    batches = list(length_batches(LENGTHS, range(len(LENGTHS)), 40))
    assert sorted(i for b in batches for i in b) == list(range(len(LENGTHS)))
    assert all(len(b) * max(LENGTHS[i] for i in b) <= 40 or len(b) == 1 for b in batches)


def test_bad_input_is_refused_before_anything_runs(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError, match=r"L9\.resid_post is beyond"):
        capture(lm, [[1]], [Site(9)])
    with pytest.raises(ConfigError, match="at least one site"):
        capture(lm, [[1]], [])
    with pytest.raises(AlignmentError, match="sequence 1 has no tokens"):
        capture(lm, [[1], []], [Site(1)])
    with pytest.raises(AlignmentError, match="sequence 0 has token id 416"):
        capture(lm, [[416]], [Site(1)])
    with pytest.raises(AlignmentError, match="token id -1"):
        capture(lm, [[-1, 3]], [Site(1)])
    with pytest.raises(ConfigError, match="needs 257 positions, tiny random Llama was made for 256"):
        capture(lm, [[5] * 257], [Site(1)])


def test_model_without_its_upper_blocks_gives_the_same(lm: LanguageModel) -> None:
    whole = dict(capture(lm, some_ids([5]), [Site(1)]))
    small = tiny_lm()
    del small.model.model.layers[2:]
    small.model.config.num_hidden_layers = 2
    assert torch.equal(dict(capture(small, some_ids([5]), [Site(1)]))[0][Site(1)], whole[0][Site(1)])


def test_prefetch_keeps_order_and_captures_in_its_thread(lm: LanguageModel) -> None:
    sequences = some_ids(LENGTHS)
    plain = list(capture(lm, sequences, [Site(1)]))
    ahead = list(prefetch(capture(lm, sequences, [Site(1)])))
    assert [i for i, _ in ahead] == [i for i, _ in plain]
    assert all(torch.equal(a[Site(1)], b[Site(1)]) for (_, a), (_, b) in zip(ahead, plain, strict=True))
