"""Labels come and go without touching activations, and their windows count exactly the right rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multidir.errors import AlignmentError, ConfigError, FormatError
from multidir.linalg.contrast import contrast
from multidir.records.text import Sentence
from multidir.store.activations import ActivationStore
from tests.store.conftest import Made
from tests.store.stores import ANNOTATOR, SITES, D, folder_bytes, make_sentences, make_traces, values_of, write

KEY = ("base", SITES[0])


def by_hand(made: Made, offsets: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Window sums with loops, as the definition reads."""
    labels = sorted({s.label for s in made.sentences if s.label})
    sums, counts = np.zeros((len(made.traces), len(labels), D)), np.zeros((len(made.traces), len(labels)), int)
    for t, trace in enumerate(made.traces):
        rows = values_of(trace, KEY).astype(np.float64)
        for s in made.sentences:
            low, high = s.token_start + offsets[0], s.token_start + offsets[1]
            if s.trace_id == trace.id and s.label is not None and low >= 1 and high < len(rows):
                sums[t, labels.index(s.label)] += rows[low : high + 1].sum(axis=0)
                counts[t, labels.index(s.label)] += high - low + 1
    return sums, counts


def test_sentences_come_back_in_order(made: Made) -> None:
    made.store.put_labels(ANNOTATOR, reversed(made.sentences))
    assert made.store.labels(ANNOTATOR) == made.sentences
    assert ActivationStore.open(made.store.path).labels(ANNOTATOR) == made.sentences
    assert made.store.annotators == (ANNOTATOR,)
    record = made.store.manifest.labels[ANNOTATOR]
    assert record.unlabelled == sum(s.label is None for s in made.sentences)
    assert record.labels == ("a", "b", "c")


@pytest.mark.parametrize("offsets", [(0, 0), (-3, -1), (-13, -8), (0, 4), (-2, 2)])
def test_window_sums_are_what_the_definition_says(made: Made, offsets: tuple[int, int]) -> None:
    found = made.store.window_sums(*KEY, ANNOTATOR, offsets)
    sums, counts = by_hand(made, offsets)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.sums, sums, rtol=1e-13, atol=1e-13)
    assert found.labels == ("a", "b", "c")


def test_windows_say_what_they_left_out(made: Made) -> None:
    windows = made.store.windows(ANNOTATOR, (-1, 0))
    labelled = [s for s in made.sentences if s.label is not None]
    assert windows.outside == sum(s.token_start < 2 for s in labelled)
    assert windows.unlabelled == len(made.sentences) - len(labelled)
    assert len(windows.first) + windows.outside == len(labelled)
    assert windows.rows().shape == (len(windows.first), 2)
    with pytest.raises(ConfigError, match=r"from first to last; got 1..0"):
        made.store.windows(ANNOTATOR, (1, 0))


def test_any_sharding_gives_the_same_sums_to_the_last_bit(
    make_store: Callable[..., ActivationStore], rng: np.random.Generator
) -> None:
    sentences = make_sentences(make_traces((17, 20, 5, 60, 1, 30, 9, 25)), rng)
    found = []
    for rows in (1, 30, 60, 1000):
        store = make_store(f"s{rows}", shard_rows=rows)
        store.put_labels(ANNOTATOR, sentences)
        found.append(store.window_sums(*KEY, ANNOTATOR, (-2, 1)).sums)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_stored_sums_give_the_difference_of_means_of_all_rows(made: Made) -> None:
    made.store.put_labels(ANNOTATOR, made.sentences, window=(-2, 1))
    stored, fresh = made.store.label_sums(*KEY, ANNOTATOR), made.store.window_sums(*KEY, ANNOTATOR, (-2, 1))
    windows, rows = made.store.windows(ANNOTATOR, (-2, 1)), made.all_rows(KEY).astype(np.float64)
    assert stored.sums.shape == (len(made.store.shards), 3, D)
    for label in range(3):
        chosen = rows[windows.rows()[windows.label == label].reshape(-1)]
        direct = chosen.mean(axis=0) - rows[windows.rows().reshape(-1)].mean(axis=0)
        np.testing.assert_allclose(contrast(stored.sums, stored.counts, label), direct, rtol=1e-12)
        np.testing.assert_allclose(contrast(fresh.sums, fresh.counts, label), direct, rtol=1e-12)


def test_another_judge_touches_no_activation(made: Made, rng: np.random.Generator) -> None:
    before = {k: v for k, v in folder_bytes(made.store.path).items() if k.startswith("shard")}
    content = made.store.content_hash
    other = [replace(s, annotator="judge/2", label="z") for s in made.sentences]
    made.store.put_labels("judge/2", other)
    made.store.put_labels(ANNOTATOR, made.sentences[:5])
    assert made.store.labels(ANNOTATOR) == made.sentences[:5]
    assert made.store.labels("judge/2") == other
    after = folder_bytes(made.store.path)
    assert {k: v for k, v in after.items() if k.startswith("shard")} == before
    assert len([name for name in after if name.startswith("labels")]) == 2
    assert made.store.content_hash != content
    assert made.store.verify() == []


def test_no_labels_at_all_are_labels_too(made: Made) -> None:
    made.store.put_labels("nobody/1", [], window=(0, 0))
    assert made.store.labels("nobody/1") == []
    assert made.store.window_sums(*KEY, "nobody/1", (0, 0)).sums.shape == (len(made.traces), 0, D)


def test_labels_that_do_not_fit_are_refused(made: Made) -> None:
    one = made.sentences[0]
    for bad, sentence in [
        (replace(one, trace_id="x"), "trace x is not in it"),
        (replace(one, token_end=999), "trace t0, sentence 0 ends at token 999 of 17"),
    ]:
        with pytest.raises(AlignmentError, match=f"labels of {ANNOTATOR} do not fit the store: {sentence}"):
            made.store.put_labels(ANNOTATOR, [bad])
    with pytest.raises(AlignmentError, match="sentence 0 is there twice"):
        made.store.put_labels(ANNOTATOR, [one, one])
    with pytest.raises(AlignmentError, match="and 2 more"):
        made.store.put_labels(ANNOTATOR, [replace(one, trace_id=f"x{i}") for i in range(5)])
    with pytest.raises(ConfigError, match="sentences of grammar/1 were given as labels of judge/2"):
        made.store.put_labels("judge/2", [one])
    assert made.store.labels(ANNOTATOR) == made.sentences


def test_labels_that_are_not_there_are_named(made: Made) -> None:
    with pytest.raises(ConfigError, match=r"no labels of 'judge/2' in .*; annotators: grammar/1"):
        made.store.labels("judge/2")
    with pytest.raises(ConfigError, match="hold no sums over this store: they were put without a window"):
        made.store.label_sums(*KEY, ANNOTATOR)


def test_sums_are_refused_after_an_extension(made: Made) -> None:
    made.store.put_labels(ANNOTATOR, made.sentences, window=(0, 0))
    more = make_traces([6], first=50)
    extended = write(made.store.path, more)
    assert extended.labels(ANNOTATOR) == made.sentences
    with pytest.raises(ConfigError, match="put before the store was extended; put them again"):
        extended.label_sums(*KEY, ANNOTATOR)
    with pytest.raises(FormatError, match="was extended since it was opened; open it again"):
        made.store.put_labels(ANNOTATOR, made.sentences)
    extended.put_labels(ANNOTATOR, [*made.sentences, Sentence("t50", 0, 0, 1, 2, 3, "a", ANNOTATOR)], window=(0, 0))
    assert (
        extended.label_sums(*KEY, ANNOTATOR).counts.sum() == extended.window_sums(*KEY, ANNOTATOR, (0, 0)).counts.sum()
    )


def test_a_changed_label_file_is_refused(made: Made) -> None:
    file = made.store.path / made.store.manifest.labels[ANNOTATOR].file
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(FormatError, match=f"labels of {ANNOTATOR}, is missing or was changed"):
        ActivationStore.open(made.store.path).labels(ANNOTATOR)


def test_a_reader_from_before_keeps_its_labels_or_says_so(made: Made, tmp_path: Path) -> None:
    early, late = ActivationStore.open(made.store.path), ActivationStore.open(made.store.path)
    assert early.labels(ANNOTATOR) == made.sentences
    made.store.put_labels(ANNOTATOR, made.sentences[:2])
    assert early.labels(ANNOTATOR) == made.sentences
    with pytest.raises(FormatError, match="is missing or was changed"):
        late.labels(ANNOTATOR)


def test_a_pass_lets_go_of_the_shards_behind_it(made: Made) -> None:
    """Mapped pages count as memory of the process until they are let go."""
    store, starts = made.store, [shard.row_start for shard in made.store.shards]
    for number, start in enumerate(starts):
        rows = np.array([start, start + 1])
        np.testing.assert_array_equal(store._gather.passing(KEY, rows), store.rows(*KEY, rows))
        assert [shard.touched for shard in store.shards] == [n == number for n in range(len(starts))]
    for walk in (lambda: store.window_sums(*KEY, ANNOTATOR, (-1, 0)), lambda: store.norms(*KEY)):
        walk()
        assert not any(shard.touched for shard in store.shards)
    assert store._gather.passing(KEY, np.zeros(0, np.int64)).shape == (0, D)
