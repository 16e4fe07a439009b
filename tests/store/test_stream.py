"""The stream hands out every row once per pass, mixed, the same for a seed, and resumes at any batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.store.activations import ActivationStore
from multidir.store.recycle import BatchMemory
from multidir.store.shuffle import Shuffle, ShufflePlan, pair_rate
from multidir.store.stream import RowStream
from tests.store.conftest import Made
from tests.store.stores import SITES, planned_batches

KEY = ("reasoning", SITES[1])


def stream_of(store: ActivationStore, **settings: int | bool) -> RowStream:
    facts = {"batch_rows": 16, "seed": 0, "block_rows": 4, "buffer_rows": 32, "first_positions": True}
    return RowStream(store, *KEY, Shuffle(**{**facts, **settings}))


def joined(stream: RowStream, epochs: int = 1) -> np.ndarray:
    return torch.cat(list(stream.batches(epochs))).float().numpy()


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("buffer_rows", [4, 32, 100, 10_000])
@pytest.mark.parametrize("batch_rows", [1, 7, 16, 500])
def test_each_row_comes_once_per_epoch(made: Made, buffer_rows: int, batch_rows: int) -> None:
    stream = stream_of(made.store, buffer_rows=buffer_rows, batch_rows=batch_rows)
    batches = list(stream.batches(1))
    assert {len(batch) for batch in batches[:-1]} <= {batch_rows}
    found = torch.cat(batches).float().numpy()
    np.testing.assert_array_equal(sorted_rows(found), sorted_rows(made.all_rows(KEY)))
    assert not np.array_equal(found, made.all_rows(KEY))


def test_batches_hold_the_planned_rows(made: Made) -> None:
    stream = stream_of(made.store)
    planned = np.concatenate(list(planned_batches(stream.plan, 0)))
    np.testing.assert_array_equal(joined(stream), made.all_rows(KEY)[planned])


def test_first_positions_are_left_out_unless_asked_for(made: Made) -> None:
    stream = stream_of(made.store, first_positions=False)
    rows = np.concatenate(list(planned_batches(stream.plan, 0)))
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(made.store.position > 0))
    assert len(joined(stream)) == made.store.n_rows - made.store.n_traces


def test_a_seed_fixes_the_order_and_another_changes_it(made: Made) -> None:
    one, same, other = stream_of(made.store), stream_of(made.store), stream_of(made.store, seed=1)
    first = joined(one)
    np.testing.assert_array_equal(first, joined(same))
    assert not np.array_equal(first, joined(other))


@pytest.mark.parametrize("buffer_rows", [32, 10_000])
def test_epochs_differ_and_hold_the_same_rows(made: Made, buffer_rows: int) -> None:
    both = joined(stream_of(made.store, buffer_rows=buffer_rows), epochs=2)
    n = made.store.n_rows
    assert not np.array_equal(both[:n], both[n:])
    np.testing.assert_array_equal(sorted_rows(both[:n]), sorted_rows(both[n:]))


@pytest.mark.parametrize("buffer_rows", [32, 10_000])
@pytest.mark.parametrize("taken", [0, 1, 2, 5, 10, 11, 13, 22, 25])
def test_a_stream_resumes_at_any_batch(made: Made, taken: int, buffer_rows: int) -> None:
    whole = list(stream_of(made.store, buffer_rows=buffer_rows).batches(3))
    stream = stream_of(made.store, buffer_rows=buffer_rows)
    for _ in islice(stream.batches(3), taken):
        pass
    state = json.loads(json.dumps(stream.state()))
    resumed = stream_of(made.store, buffer_rows=buffer_rows)
    resumed.resume(state)
    rest = list(resumed.batches(3))
    assert len(rest) == len(whole) - taken
    for one, other in zip(rest, whole[taken:], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_position_of_another_stream_is_refused(made: Made) -> None:
    state = stream_of(made.store).state()
    for other in (stream_of(made.store, seed=1), RowStream(made.store, "base", SITES[0], Shuffle(16, 0, 4, 32, True))):
        with pytest.raises(ConfigError, match="belongs to another stream"):
            other.resume(state)


def test_batches_are_cast_where_they_go(made: Made) -> None:
    stored = next(stream_of(made.store).batches())
    cast = next(RowStream(made.store, *KEY, stream_of(made.store).settings, dtype=torch.float32).batches())
    assert (stored.dtype, cast.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(stored.float(), cast, rtol=0, atol=0)


@pytest.mark.gpu
def test_batches_reach_the_device(made: Made) -> None:
    settings = stream_of(made.store).settings
    found = torch.cat(list(RowStream(made.store, *KEY, settings, "cuda", torch.float32).batches()))
    assert found.device.type == "cuda"
    np.testing.assert_array_equal(found.cpu().numpy(), joined(stream_of(made.store)))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_other_number_formats_stream_too(make_store: Callable[..., ActivationStore], dtype: str) -> None:
    store = make_store("s", dtype=dtype)
    found = joined(stream_of(store))
    np.testing.assert_array_equal(sorted_rows(found), sorted_rows(store.rows(*KEY, slice(None))))


@pytest.mark.parametrize("sizes", [(0, 4, 32), (16, 0, 32), (16, 64, 32)])
def test_impossible_sizes_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="a shuffle needs batch_rows and block_rows of at least 1"):
        Shuffle(sizes[0], 0, sizes[1], sizes[2])


def test_nothing_to_stream_is_refused(make_store: Callable[..., ActivationStore]) -> None:
    with pytest.raises(DesignError, match="there is no row to stream"):
        stream_of(make_store("s", [1, 1]), first_positions=False)


def plan_of(n_traces: int, length: int, **settings: int) -> tuple[ShufflePlan, np.ndarray]:
    trace = np.repeat(np.arange(n_traces), length)
    facts = {"batch_rows": 64, "seed": 0, **settings}
    return ShufflePlan([len(trace)], trace, np.ones(len(trace), bool), Shuffle(**facts)), trace


def test_collision_ratio_is_what_batches_show() -> None:
    plan, trace = plan_of(30, 400, block_rows=16, buffer_rows=1024)
    measured = [
        pair_rate(trace[rows]) for epoch in range(20) for rows in planned_batches(plan, epoch) if len(rows) == 64
    ]
    assert np.mean(measured) / pair_rate(trace) == pytest.approx(plan.collision_ratio(), rel=0.03)


def test_a_full_buffer_is_a_true_permutation() -> None:
    plan, _ = plan_of(30, 40, buffer_rows=10_000)
    assert plan.n_fills == 1
    assert plan.collision_ratio() == pytest.approx(1)
    firsts = np.array([next(planned_batches(plan, epoch))[0] for epoch in range(2000)])
    counts = np.bincount(firsts // 40, minlength=30)
    assert counts.sum() == 2000
    assert ((counts - 2000 / 30) ** 2 / (2000 / 30)).sum() < 60  # chi-square, 29 degrees of freedom, p = 0.0006


def test_small_blocks_in_a_large_buffer_mix_better() -> None:
    ratios = [plan_of(300, 2000, block_rows=b, buffer_rows=65_536)[0].collision_ratio() for b in (64, 1024, 2000)]
    assert ratios[0] < 1.05
    assert ratios[0] < ratios[1] < ratios[2]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    cut=st.integers(1, 12),
    block=st.integers(1, 9),
    extra=st.integers(0, 60),
    batch=st.integers(1, 20),
)
def test_any_plan_hands_out_every_row_once(lengths: list[int], cut: int, block: int, extra: int, batch: int) -> None:
    trace = np.repeat(np.arange(len(lengths)), lengths)
    ends = sorted({len(trace), *np.cumsum(lengths)[::cut].tolist()})
    plan = ShufflePlan(ends, trace, np.ones(len(trace), bool), Shuffle(batch, 3, block, block + extra))
    np.testing.assert_array_equal(np.sort(np.concatenate(list(planned_batches(plan, 0)))), np.arange(len(trace)))
    assert all(len(plan.rows(blocks)) <= block + extra + block for blocks in plan.fills(0))


def test_pair_rate_by_hand() -> None:
    assert pair_rate(np.array([0, 0, 1])) == pytest.approx(1 / 3)
    assert pair_rate(np.array([0])) == 0.0


def test_batch_memory_is_used_again_only_when_nobody_holds_it() -> None:
    memory = BatchMemory(2, 3, "bfloat16", pinned=False)
    held = [memory.take()[1] for _ in range(3)]
    part = held.pop()[:1]
    addresses = {tensor.untyped_storage().data_ptr() for tensor in (*held, part)}
    assert len(addresses) == 3
    assert memory.take()[1].untyped_storage().data_ptr() not in addresses
    freed = held.pop().untyped_storage().data_ptr()
    again = {memory.take()[1].untyped_storage().data_ptr() for _ in range(4)}
    assert freed in again
    assert not again & {tensor.untyped_storage().data_ptr() for tensor in (*held, part)}


def test_a_file_that_goes_while_it_is_read_is_named(made: Made) -> None:
    batches = stream_of(made.store, buffer_rows=32).batches()
    next(batches)
    for shard in made.store.shards:
        shard.path.unlink()
    with pytest.raises(FormatError, match=r"shard-0000\d.h5 cannot be read: .*No such file"):
        list(batches)


def test_only_chosen_rows_are_streamed(made: Made, rng: np.random.Generator) -> None:
    chosen = rng.random(made.store.n_rows) < 0.4
    settings = stream_of(made.store).settings
    stream = RowStream(made.store, *KEY, settings, rows=chosen)
    found = joined(stream)
    np.testing.assert_array_equal(sorted_rows(found), sorted_rows(made.all_rows(KEY)[chosen]))
    with pytest.raises(ConfigError, match="belongs to another stream"):
        stream_of(made.store).resume(stream.state())
    with pytest.raises(DesignError, match="no row to stream"):
        RowStream(made.store, *KEY, settings, rows=np.zeros(made.store.n_rows, bool))
