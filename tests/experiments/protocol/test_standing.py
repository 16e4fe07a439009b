"""What stands in a text already: told before anything is pushed, held apart in counts, and named by the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from multidir.annotate.base import Annotator
from multidir.errors import DesignError, FormatError
from multidir.experiments.combination.counting import count, where
from multidir.experiments.combination.outcomes_table import check_outcomes
from multidir.experiments.combination.run import combination_results
from multidir.experiments.combination.verdicts import combine, named_pairs
from multidir.experiments.corpus.labels import annotator_by_name
from multidir.experiments.corpus.prompts import read_prompts
from multidir.experiments.corpus.traces import sampling_for, write_traces
from multidir.experiments.protocol.cells import StudyCell, wait_tokens
from multidir.experiments.protocol.design import protocol
from multidir.experiments.protocol.next_sentences import Asked, NextSentences, read_next, sentence_ends
from multidir.experiments.protocol.screen import screen_table
from multidir.experiments.protocol.standing import pattern, standing
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from tests.experiments.pairs import Settings, tally

QUICK = Settings(draws=200, shuffles=0)


def gate(a: float, b: float, standing: str) -> float:
    """Log-odds of an AND of two causes, each there by a push of at least its dose or because it stands."""
    first, second = a >= 1 or standing == "a", b >= 1 or standing == "b"
    return float(logit(0.5) if first and second else logit(0.05) if first or second else logit(0.02)) + 0.1 * (a + b)


def gate_table(prompts: int = 40, rollouts: int = 4, sentences: int = 60) -> pd.DataFrame:
    """Half of the places have no cause, a quarter each has one of them."""
    rng, rows = np.random.default_rng(5), []
    for name, luck in zip((f"p{i}" for i in range(prompts)), rng.normal(0, 0.5, prompts), strict=True):
        for a, b in protocol(2).doses.tolist():
            for rollout in range(rollouts):
                for what, share in (("", 0.5), ("a", 0.25), ("b", 0.25)):
                    n = int(sentences * share)
                    y = int(rng.binomial(n, expit(gate(a, b, what) + luck)))
                    row = {"prompt": name, "rollout": rollout, "dose_a": a, "dose_b": b}
                    rows.append({**row, "standing": what, "sentences": n, "backtracks": y})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return gate_table()


def test_a_gate_is_read_where_neither_cause_stands_and_hidden_in_the_average(table: pd.DataFrame) -> None:
    apart = combination_results(table, QUICK)
    (verdict,) = apart.verdicts
    assert "where neither stands in the text already" in verdict.claim
    assert "Averaged over all places" in verdict.because
    (pair,) = apart.tables["pairs"].to_dict("records")
    assert pair["reading"] == "synergy"
    assert pair["delta"] > 1.5
    strata = apart.tables["strata"].drop_duplicates("standing").set_index("standing")["delta"]
    assert strata["neither"] == pytest.approx(pair["delta"])
    assert abs(strata["first"]) < 0.35, "the other push completes the pair, whichever cause stands"
    assert abs(strata["second"]) < 0.35
    keys = ["prompt", "rollout", "dose_a", "dose_b"]
    together = combination_results(table.groupby(keys, as_index=False)[["sentences", "backtracks"]].sum(), QUICK)
    (average,) = together.tables["pairs"].to_dict("records")
    assert strata["all"] == pytest.approx(average["delta"], abs=0.1)
    assert average["delta"] < pair["delta"] - 1
    assert "averaged over all places" in together.verdicts[0].claim
    assert "not held apart" in together.verdicts[0].because
    assert "strata" not in together.tables


def test_places_are_added_up_to_whole_rollouts(table: pd.DataFrame) -> None:
    checked = check_outcomes(table)
    (whole,) = count(checked).tallies.values()
    (free,) = count(where(checked)).tallies.values()
    (there,) = count(where(checked, "a")).tallies.values()
    assert (whole.n == 60 * 4).all()
    assert (whole.rollouts == 4).all()
    assert (whole.half_n == 120).all(), "halves are of rollouts, not of places"
    assert (free.n == 30 * 4).all()
    assert there.y.sum() == table.loc[table["standing"] == "a", "backtracks"].sum()
    assert where(check_outcomes(table[table["standing"] == "a"].assign(standing="unknown"))).empty


def test_a_table_that_names_what_is_no_direction_is_refused(table: pd.DataFrame) -> None:
    with pytest.raises(FormatError, match="standing names c; there are the directions a, b"):
        check_outcomes(table.assign(standing=table["standing"].replace("a", "a + c")))


def test_patterns_name_what_stands() -> None:
    names = ("a", "b", "c")
    assert pattern(np.array([1.0, 0.0, 1.0]), names) == "a + c"
    assert pattern(np.zeros(3), names) == ""
    assert pattern(np.array([1.0, np.nan, 0.0]), names) == "unknown"


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load_model("shipped:tiny/reasoning-and", "reasoning", device="cpu")


@pytest.fixture(scope="module")
def asked(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Asked]:
    annotator: Annotator = annotator_by_name("grammar")
    file = tmp_path_factory.mktemp("standing") / "traces.jsonl"
    problems = read_prompts("shipped:prompts/tiny.jsonl")[::12]
    return sentence_ends(lm, write_traces(lm, problems, sampling_for(lm, 200), 1, 0, 64, file), annotator)


def planted() -> DirectionSet:
    from safetensors.numpy import load_file

    from multidir import resources

    vectors = load_file(resources.path("tiny/base/planted.safetensors"))
    return DirectionSet(
        [
            Direction.from_vector(name, vectors[name], Site(2), source={"label": name})
            for name in ("hesitation", "mistake")
        ]
    )


def test_projections_find_the_causes_of_the_tiny_pair(lm: LanguageModel, asked: dict[str, Asked]) -> None:
    """Where neither projects high, no step has a cause."""
    truth, found = standing("cause", lm, asked, planted()), standing("projection", lm, asked, planted())
    assert truth is not None
    assert found is not None
    assert list(truth) == list(found) == list(asked)
    real, read = np.concatenate(list(truth.values())), np.concatenate(list(found.values()))
    known = ~np.isnan(real[:, 0])
    assert 0.3 < known.mean() < 1, "only steps have causes"
    for cause in range(2):
        assert read[known & (real[:, cause] == 1), cause].mean() > 0.95
        assert read[known & (real[:, cause] == 0), cause].mean() < 0.6
    assert standing("none", lm, asked, planted()) is None


def test_labels_tell_what_the_sentence_before_was(lm: LanguageModel, asked: dict[str, Asked]) -> None:
    (label,) = {s.label for each in asked.values() for s in each.before if s is not None and s.label == "backtracking"}
    item = next(iter(planted()))
    found = standing("label", lm, asked, DirectionSet([replace(item, source={"label": label})]))
    assert found is not None
    for name, each in asked.items():
        for sentence, there in zip(each.before, found[name][:, 0], strict=True):
            unlabelled = sentence is None or sentence.label is None
            assert np.isnan(there) if unlabelled else there == (sentence.label == label)  # type: ignore[union-attr]
    with pytest.raises(DesignError, match="found by no label"):
        standing("label", lm, asked, DirectionSet([replace(item, source={})]))
    with pytest.raises(DesignError, match="the tiny pair's causes are hesitation, mistake"):
        standing("cause", lm, asked, DirectionSet([replace(item, source={"label": "deduction"})]))


def test_the_screen_is_the_alternating_sum_of_log_odds() -> None:
    names = ("a", "b", "c")
    value = {(0, 0, 0): 0.0, (1, 0, 0): 1.0, (0, 1, 0): 2.0, (0, 0, 1): 0.5}
    value |= {(1, 1, 0): 3.7, (1, 0, 1): 1.5, (0, 1, 1): 2.5, (1, 1, 1): 5.2}
    cells = {
        tuple(map(float, on)): [
            NextSentences("k", "p", (odds - 2, odds - 2 + 0.1 * sum(on))),
            NextSentences("k", "q", (odds - 3,)),
        ]
        for on, odds in value.items()
    }
    free = {"p": np.array([True, False]), "q": np.array([True])}
    found = screen_table(names, cells, free).set_index(["places", "set"])
    assert found.loc[("none stands", "a + b"), "moebius"] == pytest.approx(0.7)
    assert found.loc[("none stands", "a + c"), "moebius"] == pytest.approx(0)
    assert found.loc[("all", "a + b + c"), "moebius"] == pytest.approx(5.2 - 3.7 - 1.5 - 2.5 + 1.0 + 2.0 + 0.5)
    assert found.loc["all", "n_places"].tolist() == [3] * 4
    assert found.loc["none stands", "n_places"].tolist() == [2] * 4
    assert set(screen_table(names, cells, None)["places"]) == {"all"}


def test_a_verdict_on_some_pairs_shares_the_error_between_those(tmp_path: Path) -> None:
    study = tally("AND gate", m=40, rollouts=2)
    every, one = combine(study, QUICK), combine(study, replace(QUICK, pairs=("d2+d1",)))
    (pair,) = one.pairs
    assert pair.evidence.pair == (0, 1)
    assert len(every.pairs) == 6
    assert pair.evidence.p_claim <= every.pairs[0].evidence.p_claim
    assert named_pairs(("d3 + d1",), study.directions) == ((0, 2),)
    for wrong in ("d1", "d1+d1", "d1+x"):
        with pytest.raises(DesignError, match="is not two of the directions d1, d2, d3, d4"):
            named_pairs((wrong,), study.directions)


@pytest.mark.parametrize(("rule", "low", "high"), [("and", 1.5, 4.0), ("additive", -0.8, 0.8), ("either", -5.0, -2.0)])
def test_the_shipped_models_follow_their_rules(
    asked: dict[str, Asked], lm: LanguageModel, rule: str, low: float, high: float, tmp_path: Path
) -> None:
    """The interaction of the true causes, on log-odds of the next sentence, in the same texts."""
    model = load_model(f"shipped:tiny/reasoning-{rule}", "reasoning", device="cpu")
    tokens, plain = wait_tokens(model, ("wait", "hmm", "but", "no")), StudyCell("", (0.0, 0.0))
    rows = read_next(model, asked, [plain], tokens, {}, 0, 8192, tmp_path / "next.jsonl")
    truth = standing("cause", lm, asked, planted())
    assert truth is not None
    p = expit(np.concatenate([row.log_odds for row in rows]))
    causes = np.concatenate([truth[row.prompt_id] for row in rows])
    none, hesitation, mistake, both = (
        logit(p[(causes == np.array(which)).all(axis=1)].mean()) for which in ((0, 0), (1, 0), (0, 1), (1, 1))
    )
    assert low < both - hesitation - mistake + none < high
    assert none < logit(0.02)
