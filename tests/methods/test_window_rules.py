from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multidir.errors import ConfigError
from multidir.methods.diffmeans import TraceSums
from multidir.methods.window_rules import parse_window, window_sums, windows_of
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec
from tests.methods.planted import ANNOTATOR, OFFSETS, SITE

WHO, N_PROMPT = "hand/1", 5
LENGTHS = {"a": 30, "b": 18}
STARTS = {"a": (5, 11, 12, 13, 17, 24, 29), "b": (1, 12, 16)}
LABELS = ("deduction", "backtracking")


def sliced(rule: str, start: int, n: int, around: int) -> list[int]:
    """The indices that the two slices of the paper's code take, in its own arithmetic."""
    positions = list(range(n))
    if rule == "six":
        moved = start + around
        return positions[moved - 1 : moved + 4 + 1] if moved - 1 >= 0 else []
    return positions[start + around - 1 : start + around + 4] if start + around >= 1 else []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """Two short traces whose rows name themselves: column 0 is the row number, column 1 is 1."""
    path: Path = tmp_path_factory.mktemp("small") / "store"
    spec = StoreSpec(models={"base": {"fingerprint": "x"}}, sites=(Site(0),), d=2, dtype="float32")
    sentences, row = [], 0
    traces = [Trace(name, name, "verbal", tuple(range(n)), N_PROMPT, "x" * n) for name, n in LENGTHS.items()]
    with ActivationStore.create(path, spec, traces) as writer:
        for name, n in LENGTHS.items():
            x = np.stack([np.arange(row, row + n), np.ones(n)], axis=1).astype(np.float32)
            writer.append(name, {("base", Site(0)): x})
            row += n
            for i, start in enumerate(STARTS[name]):
                label = None if i == 1 else LABELS[i % 2]
                sentences.append(Sentence(name, i, i, i + 1, start, start + 1, label, WHO))
    store = ActivationStore.open(path)
    store.put_labels(WHO, sentences)
    return store


@pytest.mark.parametrize(
    ("text", "window"),
    [("-13:-8", (-13, -8)), ("six@-12", (-13, -8)), ("five@-12", (-13, -9)), ("six@-20", (-21, -16)), ("0:4", (0, 4))],
)
def test_windows_are_those_of_the_paper(text: str, window: tuple[int, int]) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize("rule", ["six", "five"])
@pytest.mark.parametrize("around", [-20, -16, -12, -8, -4, 0])
def test_a_slice_of_the_code_is_the_window_of_its_name(rule: str, around: int) -> None:
    low, high = parse_window(f"{rule}@{around}")
    assert sliced(rule, 60, 100, around) == list(range(60 + low, 60 + high + 1))


@pytest.mark.parametrize("text", ["-13", "a:b", "-1:-3", "seven@-12", "six@", "six@-1:2"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="window"):
        parse_window(text)


@pytest.mark.parametrize("rule", ["six", "five"])
@pytest.mark.parametrize("around", [-12, -2, 0])
def test_the_codes_skip_rule_takes_the_rows_its_slices_take(small: ActivationStore, rule: str, around: int) -> None:
    found = {label: [] for label in LABELS}
    for windows in windows_of(small, WHO, parse_window(f"{rule}@{around}"), "code"):
        for rows, label in zip(windows.rows(), windows.label, strict=True):
            found[windows.labels[label]].append(rows.tolist())
    expected = {label: [] for label in LABELS}
    offset = dict(zip(LENGTHS, (0, LENGTHS["a"]), strict=True))
    for sentence in small.labels(WHO):
        rows = sliced(rule, sentence.token_start, LENGTHS[sentence.trace_id], around)
        if sentence.label is not None and rows:
            expected[sentence.label].append([offset[sentence.trace_id] + i for i in rows])
    assert {label: sorted(rows) for label, rows in found.items()} == {k: sorted(v) for k, v in expected.items()}


def test_sums_under_each_skip_rule_are_sums_of_its_rows(small: ActivationStore) -> None:
    for skip in ("whole", "code", "reply"):
        sums, counts, labels = window_sums(small, "base", Site(0), WHO, (-2, 2), skip)
        by_hand = np.zeros_like(sums)
        for windows in windows_of(small, WHO, (-2, 2), skip):
            for rows, trace, label in zip(windows.rows(), windows.trace, windows.label, strict=True):
                by_hand[trace, label] += [rows.sum(), len(rows)]
        np.testing.assert_array_equal(sums, by_hand)
        np.testing.assert_array_equal(counts, sums[:, :, 1])
        assert labels == tuple(sorted(LABELS))


def test_the_rules_differ_only_at_the_ends_of_a_text(small: ActivationStore) -> None:
    first = {
        skip: sorted(int(f) for windows in windows_of(small, WHO, (-12, 2), skip) for f in windows.first)
        for skip in ("whole", "code", "reply")
    }
    # trace a: starts 12 (first row 0), 13, 17, 24, and 29 (cut after one row past its start); trace b: 16 (cut)
    assert first["code"] == [0, 1, 5, 12, 17, 34]
    assert first["whole"] == [1, 5, 12]
    assert first["reply"] == [5, 12]


def test_nothing_usable_gives_an_empty_group_that_counts(small: ActivationStore) -> None:
    (only,) = windows_of(small, WHO, (-40, -35), "code")
    assert (len(only.first), only.outside, only.unlabelled) == (0, 8, 2)
    assert window_sums(small, "base", Site(0), WHO, (-40, -35), "code").counts.sum() == 0


def test_inside_a_long_text_all_rules_agree(store: ActivationStore) -> None:
    read = {skip: TraceSums.read(store, "base", SITE, ANNOTATOR, OFFSETS, skip) for skip in ("whole", "code")}
    inner = store.window_sums("base", SITE, ANNOTATOR, OFFSETS)
    np.testing.assert_array_equal(read["whole"].sums, inner.sums)
    np.testing.assert_allclose(read["code"].sums, inner.sums, rtol=1e-12)
    assert read["code"].direction("backtracking").source["skip"] == "code"
