"""What goes into a store comes out, aligned, however it was cut into shards."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multidir.errors import AlignmentError, ConfigError, DesignError
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.store.run_files import input_hash
from multidir.store.spec import StoreSpec
from tests.store.conftest import Made
from tests.store.stores import (
    LENGTHS,
    SITES,
    D,
    activations_of,
    folder_bytes,
    make_traces,
    spec,
    values_of,
    write,
)


def test_rows_come_back_exactly(made: Made) -> None:
    for key in made.store.spec.keys:
        np.testing.assert_array_equal(made.store.rows(*key, slice(None)), made.all_rows(key))


def test_shards_hold_whole_traces_in_order(made: Made) -> None:
    shards = made.store.manifest.shards
    assert [shard.rows for shard in shards] == [37, 5, 60, 40, 25]
    assert [shard.traces for shard in shards] == [2, 1, 1, 3, 1]
    assert [info.id for info in made.store.traces] == [trace.id for trace in made.traces]
    assert made.store.manifest.complete


def test_token_facts_are_aligned(made: Made) -> None:
    store = made.store
    np.testing.assert_array_equal(store.token_ids, np.concatenate([trace.token_ids for trace in made.traces]))
    np.testing.assert_array_equal(store.position, np.concatenate([np.arange(n) for n in LENGTHS]))
    np.testing.assert_array_equal(store.trace_index, np.repeat(np.arange(len(LENGTHS)), LENGTHS))
    assert (store.n_rows, store.n_traces, store.d) == (sum(LENGTHS), len(LENGTHS), D)
    assert store.roles == ("base", "reasoning")
    assert store.sites == SITES


def test_traces_come_back_as_records(made: Made) -> None:
    assert list(made.store.iterate_traces()) == made.traces
    assert made.store.trace("t3") == made.traces[3]
    rows = made.store.rows("base", SITES[0], made.store.trace_rows("t3"))
    np.testing.assert_array_equal(rows, values_of(made.traces[3], ("base", SITES[0])))


def test_any_choice_of_rows_keeps_its_order(made: Made, rng: np.random.Generator) -> None:
    store, key = made.store, ("reasoning", SITES[1])
    everything = made.all_rows(key)
    shuffled = rng.permutation(store.n_rows)
    mask = rng.random(store.n_rows) < 0.3
    for index in (
        shuffled,
        np.sort(shuffled[:50]),
        shuffled[[3, 3, 3]],
        [0],
        [],
        range(5, 9),
        mask,
        slice(150, 30, -7),
    ):
        chosen = everything[list(index) if isinstance(index, range) else index] if len(np.atleast_1d(index)) else []
        np.testing.assert_array_equal(store.rows(*key, index), np.reshape(chosen, (-1, D)))
    assert store.rows(*key, 3).shape == (1, D)
    np.testing.assert_array_equal(store.rows(*key, slice(35, 110)), everything[35:110])


def test_rows_that_are_not_there_are_refused(made: Made) -> None:
    with pytest.raises(ConfigError, match=r"rows 0..167 were asked for, but the store has rows 0..166"):
        made.store.rows("base", SITES[0], [0, 167])
    with pytest.raises(ConfigError, match=r"rows -1..2"):
        made.store.rows("base", SITES[0], [-1, 2])
    with pytest.raises(ConfigError, match="a mask over this store has 167 entries"):
        made.store.rows("base", SITES[0], np.ones(3, bool))
    with pytest.raises(ConfigError, match="chosen by integers, got float64"):
        made.store.rows("base", SITES[0], [0.5])
    with pytest.raises(ConfigError, match=r"base L9.resid_post is not in .*; it holds base L2.resid_post"):
        made.store.rows("base", Site(9), [0])
    with pytest.raises(ConfigError, match="no trace 'x'"):
        made.store.trace_rows("x")


def test_raw_rows_are_the_stored_bits(made: Made) -> None:
    raw = made.store.raw_rows("base", SITES[0], [160, 0, 40])
    assert raw.dtype == np.uint16
    np.testing.assert_array_equal(
        (raw.astype(np.uint32) << 16).view(np.float32), made.store.rows("base", SITES[0], [160, 0, 40])
    )


def test_a_plain_hdf5_reader_sees_the_same(made: Made) -> None:
    with h5py.File(made.store.path / "shard-00000.h5") as file:
        dataset = file["acts/reasoning/L3.resid_pre"]
        np.testing.assert_array_equal(dataset[:], made.all_rows(("reasoning", SITES[1]))[:37])
        assert dataset.dtype == np.float32
        assert dataset.attrs["hidden_states_index"] == 3
        assert file["traces/id"].asstr()[:].tolist() == ["t0", "t1"]
        assert file["traces/category"].asstr()[0] == "cät"
        assert file["traces/offsets"][:].tolist() == [0, 17, 37]


def test_norms_and_moments_equal_the_rows(made: Made) -> None:
    key = ("base", SITES[1])
    everything = made.all_rows(key).astype(np.float64)
    later = everything[made.store.position > 0]
    moments = made.store.moments(*key)
    np.testing.assert_allclose(made.store.norms(*key), np.linalg.norm(everything, axis=1), rtol=1e-6)
    assert made.store.mean_norm(*key) == pytest.approx(np.linalg.norm(later, axis=1).mean(), rel=1e-6)
    assert moments.count == len(later)
    np.testing.assert_allclose(moments.mean, later.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance(ddof=0), later.var(axis=0), rtol=1e-12)


def test_moments_need_a_position_after_the_first(make_store: Callable[..., ActivationStore]) -> None:
    with pytest.raises(DesignError, match="needs more than 0 rows"):
        make_store("ones", [1, 1]).moments("base", SITES[0]).variance(ddof=0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_each_number_format_holds_what_it_can(tmp_path: Path, dtype: str, rng: np.random.Generator) -> None:
    trace, key = make_traces([11])[0], ("base", SITES[0])
    one = spec(dtype=dtype, models={"base": {}}, sites=SITES[:1])
    values = rng.normal(size=(11, D)).astype(np.float32)
    with ActivationStore.create(tmp_path / "s", one, [trace]) as writer:
        writer.append(trace.id, {key: torch.from_numpy(values)})
    expected = torch.from_numpy(values).to(getattr(torch, dtype)).float().numpy()
    np.testing.assert_array_equal(ActivationStore.open(tmp_path / "s").rows(*key, slice(None)), expected)


def test_the_same_traces_make_the_same_bytes(tmp_path: Path, make_store: Callable[..., ActivationStore]) -> None:
    make_store("one")
    make_store("two")
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")


def test_files_hold_no_time_of_day(tmp_path: Path, make_store: Callable[..., ActivationStore]) -> None:
    make_store("one", [5])
    with h5py.File(tmp_path / "one" / "shard-00000.h5") as file:
        assert h5py.h5o.get_info(file["tokens/id"].id).mtime == 0


def test_content_hash_follows_content_not_place(tmp_path: Path, make_store: Callable[..., ActivationStore]) -> None:
    store = make_store("one")
    shutil.move(tmp_path / "one", tmp_path / "moved")
    moved = ActivationStore.open(tmp_path / "moved")
    assert moved.content_hash == store.content_hash == input_hash(tmp_path / "moved")
    assert moved.verify() == []
    assert make_store("other", LENGTHS[:-1]).content_hash != store.content_hash
    assert make_store("third", provenance={"prompts": "x"}).content_hash != store.content_hash


def test_a_store_can_be_extended(tmp_path: Path, make_store: Callable[..., ActivationStore]) -> None:
    first = make_store("s")
    more = make_traces([8, 12], first=len(LENGTHS))
    extended = write(tmp_path / "s", more)
    assert extended.n_traces == len(LENGTHS) + 2
    assert extended.manifest.shards[: len(first.shards)] == first.manifest.shards
    np.testing.assert_array_equal(
        extended.rows("base", SITES[0], extended.trace_rows("t9")), values_of(more[1], ("base", SITES[0]))
    )


def test_a_store_goes_to_other_processes_by_its_path(made: Made) -> None:
    again = pickle.loads(pickle.dumps(made.store))
    assert again.content_hash == made.store.content_hash


def test_an_empty_store_is_a_store(tmp_path: Path) -> None:
    store = write(tmp_path / "s", [])
    assert (store.n_rows, store.traces, store.verify()) == (0, (), [])
    assert store.rows("base", SITES[0], slice(None)).shape == (0, D)
    assert store.token_ids.shape == (0,)


@settings(deadline=None, max_examples=20)  # each example writes and fsyncs a store: its time is the disk's
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), shard_rows=st.integers(1, 60))
def test_any_cut_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], shard_rows: int
) -> None:
    traces = make_traces(lengths)
    one = spec(models={"base": {}}, sites=SITES[:1], shard_rows=shard_rows)
    store = write(tmp_path_factory.mktemp("cut") / "s", traces, one)
    expected = np.concatenate([values_of(trace, one.keys[0]) for trace in traces])
    np.testing.assert_array_equal(store.rows(*one.keys[0], slice(None)), expected)
    assert all(shard.rows <= shard_rows or shard.traces == 1 for shard in store.manifest.shards)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    traces, one = make_traces([4, 3]), spec()
    good, key = activations_of(traces[0], one), one.keys[0]
    others = {k: v for k, v in good.items() if k != key} | {("base", Site(9)): good[key]}
    not_finite = np.array([[np.nan] * D, [np.inf] * D, [1] * D, [1] * D])
    with ActivationStore.create(tmp_path / "s", one, traces) as writer:
        for kind, sentence, activations in (
            (ConfigError, r"t0: activations do not fit.*missing base/L2.resid_post.*unknown base/L9", others),
            (
                AlignmentError,
                r"t0: expected activations of shape \(4, 6\).*base/L2.resid_post \(3, 6\)",
                good | {key: np.zeros((3, D), np.float32)},
            ),
            (
                ConfigError,
                r"t0: not finite in bfloat16: 2 rows at base/L2.resid_post; look at the model",
                good | {key: not_finite},
            ),
        ):
            with pytest.raises(kind, match=sentence):
                writer.append("t0", activations)
        writer.append("t0", good)
        writer.append("t1", activations_of(traces[1], one))
    with pytest.raises(ConfigError, match=r"writer of .* is closed"):
        writer.append("t0", good)
    assert ActivationStore.open(tmp_path / "s").n_traces == 2


def test_traces_come_as_they_were_announced(tmp_path: Path) -> None:
    traces, one = make_traces([4, 3, 2]), spec()
    writer = ActivationStore.create(tmp_path / "s", one, traces)
    for wrong in ("t1", "t9"):
        with pytest.raises(ConfigError, match=rf"trace {wrong} cannot be appended .*: trace t0 comes next"):
            writer.append(wrong, activations_of(traces[1], one))
    for trace in traces[:2]:
        writer.append(trace.id, activations_of(trace, one))
    assert [trace.id for trace in writer.missing] == ["t2"]
    with pytest.raises(ConfigError, match=r"ends 1 of 3 traces too early, the next one is t2; append them"):
        writer.close()
    with (
        ActivationStore.create(tmp_path / "s", one, []) as writer,
        pytest.raises(ConfigError, match="every announced trace is there"),
    ):
        writer.append("t2", activations_of(traces[2], one))
    with pytest.raises(AlignmentError, match="no token in 1 traces, the first one is t0"):
        ActivationStore.create(tmp_path / "s", one, [replace(traces[0], token_ids=(), n_prompt=0)])
    with pytest.raises(ConfigError, match="1 trace ids are there twice, the first one is t1"):
        ActivationStore.create(tmp_path / "s", one, [*traces, traces[1]])


def test_an_id_names_one_trace_only(made: Made) -> None:
    first = made.traces[0]
    with ActivationStore.create(made.store.path, spec(), [first]) as writer:
        assert writer.missing == ()
    other, before = replace(first, token_ids=(*first.token_ids[:-1], 999)), folder_bytes(made.store.path)
    with pytest.raises(ConfigError, match=r"trace t0 is in .* with other tokens; new traces need new ids or seeds"):
        ActivationStore.create(made.store.path, spec(), [other], {"prompt_set": "x"})
    assert folder_bytes(made.store.path) == before


def test_sources_are_kept_once_each(tmp_path: Path) -> None:
    first, second = {"prompt_set": "a", "skipped": {"x": "why"}}, {"prompt_set": "b", "skipped": {}}
    for source, traces in ((first, []), (first, make_traces([3])), (second, make_traces([3, 4])), (None, [])):
        with ActivationStore.create(tmp_path / "s", spec(), traces, source) as writer:
            for trace in writer.missing:
                writer.append(trace.id, activations_of(trace, spec()))
    store = ActivationStore.open(tmp_path / "s")
    assert store.manifest.sources == (first, second)
    assert store.n_traces == 2


def test_float16_overflow_is_refused(tmp_path: Path) -> None:
    one = spec(dtype="float16", models={"base": {}}, sites=SITES[:1])
    with (
        pytest.raises(ConfigError, match="float16 ends at 65504"),
        ActivationStore.create(tmp_path / "s", one, make_traces([1])) as writer,
    ):
        writer.append("t0", {one.keys[0]: np.full((1, D), 7e4, np.float32)})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"models": {}}, "a store needs models for the roles base, reasoning; got none"),
        ({"models": {"judge": {}}}, r"got \['judge'\]"),
        ({"sites": ()}, "a store needs different sites"),
        ({"sites": (Site(1), Site(1))}, "a store needs different sites"),
        ({"d": 0}, "count from 1; got d=0"),
        ({"dtype": "int8"}, "no storage dtype 'int8'"),
    ],
)
def test_impossible_specs_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        spec(**changes)


def test_a_shard_has_a_bounded_size_by_default() -> None:
    small, wide = spec(shard_rows=0), spec(shard_rows=0, d=4096)
    assert small.shard_rows == 65_536
    assert wide.shard_rows * wide.row_bytes <= 128 << 20 < (wide.shard_rows + 1) * wide.row_bytes
    assert StoreSpec.from_json(wide.to_json()) == wide
