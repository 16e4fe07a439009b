"""The published traces, read as the paper's authors counted them."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from multidir.annotate.base import LabelledSpan
from multidir.annotate.lexical import classify, keyword_count
from multidir.annotate.published import PublishedTrace, read_published
from multidir.annotate.segment import split_sentences
from multidir.annotate.taxonomy import load_taxonomy
from multidir.annotate.text_measures import coherent
from multidir.stats.agreement import score_estimates


@pytest.fixture(scope="module")
def traces(reference: Path) -> list[PublishedTrace]:
    return read_published(reference / "r1_llama8b_traces_300.jsonl")


def backtracking(traces: list[PublishedTrace]) -> list[str]:
    return [s.text for trace in traces for s in trace.sections if s.label == "backtracking"]


def test_counts(traces: list[PublishedTrace]) -> None:
    assert len(traces) == 300
    per_category = Counter(trace.category for trace in traces)
    assert set(per_category.values()) == {30}
    assert len(per_category) == 10
    assert len(backtracking(traces)) == 227
    with_any = [t for t in traces if any(s.label == "backtracking" for s in t.sections)]
    assert len(with_any) == 136
    by_category = Counter(t.category for t in with_any)
    assert [by_category[c] for c in ("math_logic", "spatial", "verbal", "pattern", "lateral")] == [14, 21, 20, 5, 24]


def test_sections_that_were_closed_are_the_published_number(traces: list[PublishedTrace]) -> None:
    names, sections = load_taxonomy().names, [section for trace in traces for section in trace.sections]
    unknown = sorted(section.label for section in sections if section.label not in names)
    assert unknown == ["calculation", "substitution"]
    assert sum(section.closed for section in sections) - len(unknown) == 5882


def test_share_with_wait_or_hmm(traces: list[PublishedTrace]) -> None:
    texts = backtracking(traces)
    share = np.mean([keyword_count(text, ["wait", "hmm"], "substring") > 0 for text in texts])
    assert round(100 * share) == 63


def test_every_span_is_exact_but_for_the_judges_edits(traces: list[PublishedTrace]) -> None:
    assert sum(len(trace.unaligned) for trace in traces) == 8
    assert all(trace.sections[i].label != "backtracking" for trace in traces for i in trace.unaligned)
    for trace in traces:
        for section in trace.sections:
            if section.start is not None:
                assert trace.reasoning[section.start : section.end].split() == section.text.split()
        spans = trace.spans()
        assert all(a.end <= b.start for a, b in pairwise(spans))


def test_sections_begin_where_sentences_do(traces: list[PublishedTrace]) -> None:
    hits = total = 0
    for trace in traces:
        starts = {start for start, _ in split_sentences(trace.reasoning)}
        spans: list[LabelledSpan] = trace.spans()
        hits += sum(span.start in starts for span in spans)
        total += len(spans)
    assert hits / total > 0.99  # the rest are clauses: the judge split some sentences at a comma


def test_the_figures_in_the_docstring_of_the_lexical_annotator(traces: list[PublishedTrace]) -> None:
    judge, rules, trace_of = [], [], []
    for i, trace in enumerate(traces[1::2]):
        for span in trace.spans(load_taxonomy().names):
            label = classify(trace.reasoning[span.start : span.end])
            if span.label is not None and label is not None:
                judge.append(span.label)
                rules.append(label)
                trace_of.append(i)
    found = score_estimates(judge, rules, "backtracking", np.array(trace_of), np.random.default_rng(0))
    assert (len(judge), judge.count("backtracking")) == (2885, 96)
    assert [round(found[key].value, 2) for key in ("precision", "recall", "f1")] == [0.5, 0.58, 0.54]
    assert [round(found["f1"].low, 2), round(found["f1"].high, 2)] == pytest.approx([0.44, 0.64], abs=0.015)


def test_real_traces_are_coherent(traces: list[PublishedTrace]) -> None:
    assert sum(coherent(trace.reasoning) is True for trace in traces) == 296
