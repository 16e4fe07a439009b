"""Outcomes from texts: worked examples by both counting rules, the gate, and what stays unknown."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.annotate.lexical import LexicalAnnotator, capped_keyword_count, keyword_count
from multidir.annotate.text_measures import CoherenceGate
from multidir.errors import ConfigError
from multidir.experiments.cells import capped_counts, cells_table, substring_counts
from multidir.experiments.score import Scorer, coherence
from multidir.experiments.settings import Scoring
from multidir.records.outcome import Condition, Outcome
from multidir.store.rows import read_rows, write_rows
from tests.experiments.worlds import PLAIN, cell, outcome

CELL = Condition("reasoning", "d", 0.5)
TEXT = "Wait, the waiting room has four doors. Hmm, let me count them again: one, two, three, four."
PROMPT = "<|User|>Please wait: how many doors?<|Assistant|>"


def scored(text: str = TEXT, scoring: Scoring | None = None, **more: object) -> Outcome:
    facts: dict[str, object] = {"finished": True, "logprob": -0.5, "positions_edited": 3, **more}
    scorer = Scorer(LexicalAnnotator(), scoring or Scoring())
    return scorer.outcome(CELL, "p0", 0, 7, text, 20, **facts)  # type: ignore[arg-type]


def test_a_text_is_counted_by_both_rules() -> None:
    found = scored(prompt=PROMPT, stopped="eos", kl=0.25, edit_norm=1.5)
    assert (found.n_words, found.n_keywords, found.n_capped) == (17, 2, 2)
    assert (found.n_substrings, found.n_split) == (3, 17)
    assert (found.prompt_substrings, found.prompt_split) == (1, 5)
    assert (found.n_sentences, found.n_backtracks, found.coherent) == (2, 1, True)
    assert (found.stopped, found.kl, found.edit_norm) == ("eos", 0.25, 1.5)
    assert found.zlib_ratio is not None
    assert 0.5 < found.zlib_ratio < 1.2


def test_what_was_not_measured_is_none_and_not_zero() -> None:
    found = scored()
    unknown = ("stopped", "kl", "edit_norm", "prompt_substrings", "prompt_split")
    assert all(getattr(found, name) is None for name in unknown)
    empty = scored("")
    assert (empty.n_words, empty.n_keywords, empty.n_capped, empty.longest_run) == (0, 0, 0, 0)
    assert all(getattr(empty, name) is None for name in ("zlib_ratio", "distinct_2", "coherent", "n_backtracks"))


@pytest.mark.parametrize(
    ("text", "cap", "count"),
    [
        ("Wait, wait, WAIT! No.", 1, 1),
        ("Wait, no. Wait, no. Wait, no. Wait, no.", 1, 2),  # the first has no word before it
        ("Wait, no. Wait, no. Wait, no. Wait, no.", 2, 3),
        ("Wait, no. Hmm, yes. But wait, is it? Or wait until noon.", 1, 4),
        ("wait hmm wait hmm wait hmm", 1, 4),
        ("The waiting room awaits.", 1, 0),
        ("No wait-list; wait!", 1, 2),
        ("\u0130\u0130\u0130 wait now, wait now", 1, 2),  # lower case makes that letter longer
        ("", 1, 0),
    ],
)
def test_repetition_is_taken_out(text: str, cap: int, count: int) -> None:
    assert capped_keyword_count(text, ["wait", "hmm"], cap) == count


WORDY = st.lists(
    st.sampled_from(["wait", "Wait,", "hmm", "no.", "waiting", "then", "wait-list", "\u0130"]), max_size=40
)


@given(WORDY, st.integers(1, 5))
def test_a_capped_count_lies_between_nothing_and_the_count(parts: list[str], cap: int) -> None:
    text = " ".join(parts)
    full = keyword_count(text, ["wait", "hmm"])
    capped = capped_keyword_count(text, ["wait", "hmm"], cap)
    assert capped <= full
    assert (capped > 0) == (full > 0)
    assert capped <= capped_keyword_count(text, ["wait", "hmm"], cap + 1)
    assert keyword_count(text, ["wait", "hmm"], "substring") >= full


@given(WORDY, st.integers(2, 6))
def test_more_rounds_of_a_loop_add_nothing_to_a_capped_count(parts: list[str], rounds: int) -> None:
    one = " ".join(["so", *parts, "end"])
    two = capped_keyword_count(f"{one} {one}", ["wait", "hmm"])
    assert capped_keyword_count(" ".join([one] * rounds), ["wait", "hmm"]) == two


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        capped_keyword_count("wait", ["wait"], 0)


LOOP = "Wait, no, that is not right. " * 20


@pytest.mark.parametrize(
    ("text", "gate", "facts", "passes"),
    [
        (TEXT, {}, {}, True),
        (TEXT, {}, {"stopped": "length"}, True),
        (TEXT, {}, {"stopped": "loop"}, False),
        ("Two words", {}, {"stopped": "loop"}, False),
        ("Two words", {}, {}, None),
        (LOOP, {}, {}, False),
        (TEXT, {"min_logprob": -2.0}, {"logprob": -2.0}, True),
        (TEXT, {"min_logprob": -2.0}, {"logprob": -2.1}, False),
        (TEXT, {"min_logprob": -2.0}, {}, None),
        (LOOP, {"min_logprob": -2.0}, {}, False),
        (TEXT, {"max_kl": 1.0}, {"kl": 1.0}, True),
        (TEXT, {"max_kl": 1.0}, {"kl": 1.1}, False),
        (TEXT, {"max_kl": 1.0, "min_logprob": -2.0}, {"kl": 0.1}, None),
    ],
)
def test_the_gate_asks_what_its_settings_ask(
    text: str, gate: dict[str, float], facts: dict[str, object], passes: bool | None
) -> None:
    assert coherence(text, CoherenceGate(**gate), **facts) is passes  # type: ignore[arg-type]
    facts = {"finished": False, **facts}
    assert scored(text, Scoring(gate=CoherenceGate(**gate)), **{"logprob": None, **facts}).coherent is passes  # type: ignore[arg-type]


def test_impossible_bounds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"min_logprob=0\.5, max_kl=None"):
        CoherenceGate(min_logprob=0.5)
    with pytest.raises(ConfigError, match="max_kl=-1"):
        CoherenceGate(max_kl=-1)


def test_two_accounts_of_one_ending_are_refused() -> None:
    assert scored(finished=False, stopped="loop").stopped == "loop"
    with pytest.raises(ConfigError, match="stopped is 'eos', but finished is False"):
        scored(finished=False, stopped="eos")


def test_the_paper_share_with_and_without_the_prompt_is_that_of_the_whole_text() -> None:
    one = scored(prompt=PROMPT)
    for count_prompt, text in ((False, TEXT), (True, f"{PROMPT} {TEXT}")):
        (found,), (total,) = substring_counts([one], ["p0"], count_prompt)
        assert found / total == pytest.approx(keyword_count(text, ("wait", "hmm"), "substring") / len(text.split()))


def test_a_text_whose_prompt_is_unknown_is_left_out_and_not_counted_as_zero() -> None:
    known, unknown = scored(prompt=PROMPT), replace(scored(), prompt_id="p1")
    found, total = substring_counts([known, unknown], ["p0", "p1"], count_prompt=True)
    assert (found.tolist(), total.tolist()) == ([4, 0], [22, 0])
    table = cells_table([unknown], seed=0, draws=50, count_prompt=True)
    assert np.isnan(table.iloc[0]["substring_share"])
    assert cells_table([unknown], seed=0, draws=50).iloc[0]["substring_share"] == pytest.approx(3 / 17)


def test_cells_tell_what_they_do_not_know() -> None:
    texts = [
        scored(kl=0.2, stopped="eos"),
        replace(scored(LOOP, stopped="loop", finished=False, logprob=None, edit_norm=2.0), prompt_id="p1"),
    ]
    row = cells_table(texts, seed=0, draws=50).iloc[0]
    assert (row["mean_kl"], row["n_no_kl"]) == (0.2, 1)
    assert (row["mean_logprob"], row["n_no_logprob"]) == (-0.5, 1)
    assert (row["loop_share"], row["finished_share"], row["mean_edit_norm"]) == (0.5, 0.5, 2.0)
    assert (row["coherent_share"], row["n_unjudged"]) == (0.5, 0)
    assert row["keyword_share"] == pytest.approx(22 / 137)
    assert row["capped_share"] == pytest.approx(4 / 137)
    bare = cells_table(cell(PLAIN, [0, 1]), seed=0, draws=50).iloc[0]
    for name in ("loop_share", "mean_kl", "mean_edit_norm", "capped_share", "substring_share", "mean_zlib_ratio"):
        assert np.isnan(bare[name])
    assert bare["n_no_kl"] == 2


def test_more_matches_than_words_is_a_share_above_one() -> None:
    row = cells_table([replace(scored("waitwaitwait"), prompt_id=f"p{i}") for i in range(3)], seed=0, draws=50).iloc[0]
    assert row["substring_share"] == 3


@given(st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=12))
def test_capped_counts_add_up_over_what_is_known(counts: list[int | None]) -> None:
    outcomes = [outcome(CELL, f"p{i % 3}", n_capped=count) for i, count in enumerate(counts)]
    found, words = capped_counts(outcomes, ["p0", "p1", "p2"])
    assert found.sum() == sum(count or 0 for count in counts)
    assert words.sum() == 40 * sum(count is not None for count in counts)


OLD = (
    '{"condition":{"target":"base","direction":"none","dose":0.0,"dose_unit":"relative"},"prompt_id":"p","rollout":0,'
    '"seed":1,"text":"So.","n_new_tokens":2,"finished":true,"n_words":1,"n_keywords":0,"n_sentences":1,'
    '"n_backtracks":0,"longest_run":1,"distinct_2":null,"logprob":-1.5,"coherent":null,"positions_edited":0}\n'
)


def test_outcome_files_of_the_first_version_are_read(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text(OLD)
    (old,) = read_rows(tmp_path / "old.jsonl", Outcome)
    assert (old.text, old.logprob) == ("So.", -1.5)
    new = set(asdict(old)) - set(asdict(old).keys() & {"condition", *OLD.replace('"', " ").split()})
    assert {"stopped", "kl", "edit_norm", "n_substrings", "zlib_ratio", "n_capped"} <= new
    assert all(getattr(old, name) is None for name in new)


def test_outcomes_survive_their_file(tmp_path: Path) -> None:
    rows = [scored(prompt=PROMPT, stopped="eos", kl=0.1), scored("", finished=False, stopped="loop")]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert read_rows(tmp_path / "rows.jsonl", Outcome) == rows
