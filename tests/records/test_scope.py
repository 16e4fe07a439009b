"""Scopes and gates as nouns: they print, parse, and refuse what can select nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import ConfigError
from multidir.records.scope import EVERYWHERE, PARTS, Gate, Scope
from multidir.records.site import Site


@given(st.data())
def test_a_scope_prints_and_parses(data: st.DataObject) -> None:
    begin, length = data.draw(st.tuples(st.integers(0, 99), st.none() | st.integers(1, 99)))
    trigger = st.none() | st.integers(0, 10**6) | st.text(min_size=1)
    text = data.draw(st.none() | st.text(min_size=1))
    scope = Scope(
        data.draw(st.sampled_from(PARTS)),
        begin,
        None if length is None else begin + length,
        from_token=data.draw(trigger) if text is None else None,
        from_text=text,
        sentence=data.draw(st.sampled_from([None, "start", "end"])),
    )
    assert Scope.parse(str(scope)) == scope
    assert Scope.of(scope) is scope


def test_the_usual_ones_are_words() -> None:
    assert Scope.parse("all") == EVERYWHERE == Scope.of("all")
    assert [str(Scope(part)) for part in PARTS] == ["all", "prompt", "generated", "decoded"]
    assert Scope.parse("generated[10:20]") == Scope("generated", 10, 20)
    assert Scope.parse("[:20]") == Scope(end=20)
    assert str(Scope("decoded", from_text='a "b"')) == 'decoded from text "a \\"b\\""'


@pytest.mark.parametrize("text", ["", "last", "generated[3]", "generated at paragraph", "all from text Wait", "all "])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"no scope .*all, prompt, generated|no scope at sentence 'paragraph'|no scope ''"
    ):
        Scope.parse(text)


def test_scopes_that_select_nothing_or_contradict_themselves_are_refused() -> None:
    for begin, end in ((3, 3), (5, 2), (-1, None)):
        with pytest.raises(ConfigError, match="selects nothing: positions count from 0"):
            Scope(begin=begin, end=end)
    with pytest.raises(ConfigError, match="begins at a token and at a text; choose one"):
        Scope(from_token=3, from_text="x")
    with pytest.raises(ConfigError, match="an empty text is everywhere"):
        Scope(from_text="")


def test_which_scopes_need_more_than_positions() -> None:
    gate = Gate(np.ones(3))
    assert not Scope("prompt", 3, 5).conditional
    assert Scope(gate=gate).conditional
    assert not Scope(gate=gate).by_tokens
    assert Scope(from_token=3).by_tokens
    assert str(Scope("generated", gate=Gate(np.ones(3), threshold=0.5))) == "generated where a probe is above 0.5"


def test_a_gate_has_a_score() -> None:
    for weights in (np.zeros(3), np.ones((1, 3)), np.array([1, np.nan])):
        with pytest.raises(ConfigError, match="a gate needs one finite weight vector, not zero"):
            Gate(weights)
    with pytest.raises(ConfigError, match="bias and threshold of a gate are finite, got nan and 0"):
        Gate(np.ones(3), float("nan"))
    assert Gate(np.ones(3), site=Site(2)).site == Site(2)
