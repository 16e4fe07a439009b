"""Telling loops: against a search of the whole text, at every token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multidir.errors import ConfigError
from multidir.models.stopping import LoopWatch
from multidir.records.stopping import NO_LOOPS, LoopRule

CPU = torch.device("cpu")
TEXTS = st.lists(st.lists(st.integers(0, 1), min_size=30, max_size=30), min_size=1, max_size=4)
RULES = st.builds(LoopRule, repeats=st.integers(2, 4), min_tokens=st.integers(2, 9), max_period=st.integers(1, 5))


def is_loop(ids: list[int], rule: LoopRule) -> bool:
    for period in range(1, rule.max_period + 1):
        needed = rule.needed(period)
        end = ids[len(ids) - needed :]
        if len(ids) >= needed and all(a == b for a, b in zip(end, end[period:], strict=False)):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(TEXTS, RULES)
def test_equals_a_search_of_the_whole_text(texts: list[list[int]], rule: LoopRule) -> None:
    watch = LoopWatch(rule, CPU)
    watch.enter(len(texts))
    for step in range(30):
        found = watch.see(torch.tensor([text[step] for text in texts]))
        assert found.tolist() == [is_loop(text[: step + 1], rule) for text in texts]


def test_rows_come_and_go() -> None:
    rule = LoopRule(2, 4, 2)
    watch = LoopWatch(rule, CPU)
    watch.enter(2)
    for _ in range(3):
        assert not watch.see(torch.tensor([7, 1])).any()
    watch.keep(torch.tensor([1]))
    watch.enter(1)
    assert watch.see(torch.tensor([1, 7])).tolist() == [True, False], "the new row has written one token"


def test_without_a_rule_nothing_is_a_loop() -> None:
    watch = LoopWatch(NO_LOOPS, CPU)
    watch.enter(3)
    assert not any(bool(watch.see(torch.tensor([5, 5, 5])).any()) for _ in range(500))


@pytest.mark.parametrize("bad", [{"repeats": 1}, {"repeats": -1}, {"min_tokens": 1}, {"max_period": 0}])
def test_rules_that_every_text_falls_under_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="a loop rule needs"):
        LoopRule(**bad)
