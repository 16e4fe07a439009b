from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.annotate.text_measures import CoherenceGate, coherent, distinct_2, longest_run, overlap, words, zlib_ratio
from multidir.errors import ConfigError

PROSE = (
    "The river carries sand from the hills to the sea, and every spring the farmers watch how high it stands. "
    "When snow melts early they open the gates, let the fields drink, and close them before the frost is back. "
    "Nobody wrote these rules down; children learn them while they help, and some years they turn out to be wrong."
)


def test_words_are_words() -> None:
    assert words("Don't re-do it: x\u00b2 = 4, na\u00efve!") == ["don't", "re-do", "it", "x\u00b2", "4", "na\u00efve"]
    assert words("... --- !!!") == []


def test_measures_by_hand() -> None:
    assert longest_run("Wait, wait. WAIT! no wait") == 3
    assert longest_run("") == 0
    assert distinct_2("a b a b") == pytest.approx(2 / 3)
    assert distinct_2("one") is None
    assert zlib_ratio("") is None
    assert zlib_ratio("wait " * 200) < 0.05 < 0.4 < zlib_ratio(PROSE)


@pytest.mark.parametrize(
    "loop",
    [
        "Wait, " * 60,
        "Wait, no, that is not right. " * 20,
        PROSE + " " + "and then the other one goes up again " * 12,
        "wait " * 6,
    ],
)
def test_loops_are_caught(loop: str) -> None:
    assert coherent(loop) is False


def test_prose_passes_also_when_long() -> None:
    assert coherent(PROSE) is True
    longer = PROSE + " " + PROSE.replace("river", "canal").replace("farmers", "millers")
    assert coherent(longer) is True


def test_too_short_is_unknown() -> None:
    assert coherent("Two words") is None
    assert coherent("") is None
    assert coherent("wait wait", CoherenceGate(min_words=2, max_run=1)) is False


@given(st.text(max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    assert coherent(text) in (True, False, None)
    share = distinct_2(text)
    assert share is None or 0 < share <= 1


def test_impossible_thresholds_are_refused() -> None:
    with pytest.raises(ConfigError, match="window=1"):
        CoherenceGate(window=1)
    with pytest.raises(ConfigError, match="min_distinct_2 and min_zlib are shares"):
        CoherenceGate(min_zlib=40)


def test_overlap_counts_common_word_quadruples() -> None:
    assert overlap("One two three four five.", "one, two three FOUR five") == 1.0
    assert overlap("one two three four five", "one two three four six") == pytest.approx(1 / 3)
    assert overlap("one two three", "one two four") == 0.0
    assert overlap("", "") == 1.0
