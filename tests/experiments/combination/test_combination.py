"""From a table to verdicts, tables and sentences: gaps are named, what is left is estimated, nothing is invented."""

from __future__ import annotations

import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from multidir.errors import FormatError
from multidir.experiments.combination.counting import Counted, count
from multidir.experiments.combination.group_contrast import group_table
from multidir.experiments.combination.outcomes_table import check_outcomes
from multidir.experiments.combination.prediction import prediction_table
from multidir.experiments.combination.run import combination_results, read_cosines
from multidir.experiments.combination.tables import (
    cells_table,
    controls_table,
    ladders_table,
    moebius_table,
    pairs_table,
)
from multidir.experiments.combination.verdicts import combine
from multidir.experiments.combination.words import headline, pair_verdict, prompts_needed
from multidir.experiments.power.simulate import FACTORIAL_SPREAD, LADDER_SPREAD, World, simulate, simulate_table
from multidir.experiments.protocol.design import protocol
from multidir.experiments.results import Results
from multidir.records.combination import Combination
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.verdict import Status, Verdict
from multidir.store.directions import save_directions
from multidir.store.plain import build, plain
from tests.experiments.pairs import K2, Settings, study, table

QUICK = Settings(draws=300, shuffles=5)


def results(frame: pd.DataFrame, **changes: object) -> Results:
    return combination_results(frame, Settings(**({"draws": 300, "shuffles": 5} | changes)))  # type: ignore[arg-type]


def verdict_of(mechanism: str) -> Verdict:
    found = study(mechanism)
    return pair_verdict(found.pairs[0], ("a", "b"), Settings().rules)


def test_a_verdict_says_what_decided_and_which_controls_it_passed() -> None:
    gate = verdict_of("AND gate")
    assert gate.claim.startswith(
        "Directions a and b, averaged over all places: synergy. Together they do more than any sharing of"
    )
    assert gate.status is Status.SUPPORTED
    assert gate.label == "synergy"
    assert "more than any dose of one direction that was run: 1/p is at least 1.5" in gate.because
    assert (
        "passed loops, coherence, random pairs, norm-matched single, sham pair, sign flip, shuffled cells"
        in gate.because
    )
    assert "not run orthogonal set, known answers" in gate.because
    pooled = verdict_of("one read-out, threshold")
    assert "On log-odds the interaction is +" in pooled.because
    assert "times the dose of one direction: 1/p = " in pooled.because
    assert "1/p within 0.8 to 1.2" in pooled.rule
    blocked = verdict_of("antagonist")
    assert "does less than one of the two at the same dose" in blocked.because
    assert build(Verdict, json.loads(json.dumps(plain(gate)))).label == "synergy"
    with pytest.raises(TypeError):
        bool(gate)


def test_without_a_ladder_nothing_is_said_on_doses_and_nothing_is_claimed() -> None:
    cells = protocol(4, ladders=False)
    world = World((0.7, 0.9, 0.5, 0.8), {(0, 1): 0.9}, spread=FACTORIAL_SPREAD)
    found = combine(simulate(world, cells, 60, 4, np.random.default_rng(0)), QUICK)
    (pair, *_) = found.pairs
    assert pair.label is Combination.UNDETERMINED
    assert "Without a dose ladder of both" in pair_verdict(pair, ("a", "b"), QUICK.rules).because
    assert [note for note in found.notes if "d1 has no dose ladder (alone at 1)" in note]
    assert pairs_table(found, QUICK.rules)["log_odds"][0] == "more than additive"


def test_an_open_verdict_says_how_many_prompts_would_decide() -> None:
    found = study("one read-out, linear", m=30, rollouts=2)
    pair = next(p for p in found.pairs if p.label is Combination.UNDETERMINED)
    wanted = prompts_needed(pair.evidence, QUICK.rules)
    assert wanted is None or wanted > 30
    because = pair_verdict(pair, ("a", "b"), QUICK.rules).because
    assert wanted is None or f"About {wanted} prompts of this kind would decide." in because


def test_tables_hold_every_pair_rung_set_control_and_cell() -> None:
    found = study("AND gate")
    pairs, ladders, moebius = pairs_table(found, QUICK.rules), ladders_table(found), moebius_table(found)
    assert list(zip(pairs["first"], pairs["second"], strict=True)) == list(combinations(("d1", "d2", "d3", "d4"), 2))
    assert pairs.loc[0, "verdict"] == "synergy"
    assert math.isinf(pairs.loc[0, "exponent_high"])
    assert len(ladders) == 6 * (1 + 5 + 5)
    assert (ladders["share_low"] <= ladders["share"]).all()
    assert len(moebius) == 15
    gate = moebius[moebius["set"] == "d1 + d2"].iloc[0]
    assert gate["moebius_low"] > 1
    assert gate["banzhaf"] == pytest.approx(gate["moebius"], abs=0.6)
    assert len(controls_table(found)) >= 8
    assert len(cells_table(found)) == len(found.tally.controls)
    assert headline(found).startswith("synergy: d1 + d2; ")


def test_unseen_cells_are_predicted_best_by_what_is_true() -> None:
    found = study("AND gate")
    gaps = prediction_table(found)
    assert set(gaps["model"]) == {"adding", "pairwise", "bliss", "read_out"}
    assert gaps["cell"].nunique() == 5
    with_gate = gaps[gaps["cell"].str.contains(r"d1 \+ d2")]
    error = with_gate.groupby("model")["gap"].apply(lambda g: (g**2).mean() ** 0.5)
    assert error["pairwise"] < 0.6 < error["adding"]


def test_one_read_out_predicts_one_read_out() -> None:
    """Four directions that all pool: only the shared read-out predicts the triples."""

    def all_pool(doses: np.ndarray) -> np.ndarray:
        x = 0.75 * doses.sum(axis=1)
        return 3 * x**4 / (1 + x**4)

    cells = protocol(3)
    world = World((0.0, 0.0, 0.0), spread=LADDER_SPREAD)
    rng = np.random.default_rng(4)
    odds = world.log_odds(cells, 100, rng) + all_pool(cells.doses)
    tally = simulate(world, cells, 100, 4, rng)
    n = np.full(odds.shape, 120.0)
    y = rng.binomial(120, 1 / (1 + np.exp(-odds))).astype(float)
    tally.y[:], tally.n[:] = y, n
    found = combine(tally, QUICK)
    gap = prediction_table(found).set_index("model")["gap"].abs()
    assert gap["read_out"] < 0.35 < gap["adding"]
    assert found.fit.others_off
    assert {p.reading for p in found.pairs} <= {Combination.THRESHOLD_POOLING, Combination.UNDETERMINED}


# --- tables that lack something --------------------------------------------------------------------


def test_missing_cells_are_named_and_the_rest_is_estimated() -> None:
    frame = table("own thresholds", cells=protocol(3))
    gone = (frame["dose_d1"] > 0) & (frame["dose_d2"] > 0) & (frame["dose_d3"] == 0)
    found = results(frame[~gone])
    assert "The factorial lacks 1 of 8 cells: d1 + d2." in found.remarks
    pairs = found.tables["pairs"]
    assert pairs["delta"].notna().all()  # d1 + d2 by the cell with all three
    assert pairs["exponent"].notna().tolist() == [False, True, True]
    assert pairs["verdict"][0] == "undetermined"


def test_a_fraction_of_eight_directions_estimates_all_pairs() -> None:
    cells = protocol(8, ladders=False)
    world = World((0.3,) * 8, {(2, 5): 0.8}, spread=FACTORIAL_SPREAD)
    found = combine(simulate(world, cells, 60, 2, np.random.default_rng(1)), QUICK)
    values = {p.evidence.pair: p.evidence.delta for p in found.pairs}
    assert len(values) == 28
    assert max(values, key=lambda pair: values[pair].value) == (2, 5)
    assert sum(p.evidence.p_claim < 0.05 for p in found.pairs) == 1
    assert all(p.label is Combination.UNDETERMINED for p in found.pairs)  # no ladder, no verdict


def test_an_unbalanced_table_is_analysed_on_the_prompts_that_have_what_is_compared() -> None:
    frame = table("one read-out, threshold", 60, 2)
    lost = frame["prompt"].isin([f"p{i}" for i in range(15)]) & (frame["dose_d1"] > 1)
    found = results(frame[~lost])
    assert any(r.startswith("Cells without a scored rollout of some of the 60 prompts: d1") for r in found.remarks)
    assert found.verdicts[0].estimates["exponent 1/p"].n == 45
    assert found.verdicts[0].estimates["interaction"].n > 45


def test_prompts_that_never_backtrack_are_counted() -> None:
    frame = table("own thresholds", 30, 1)
    frame.loc[frame["prompt"].isin(["p1", "p2", "p3"]), "backtracks"] = 0
    remark = next(r for r in results(frame).remarks if "have no backtracking in any cell" in r)
    assert int(remark.split(" of ")[0]) >= 3


def test_nothing_ever_backtracks_and_nothing_is_claimed() -> None:
    found = results(table("own thresholds", 30, 1).assign(backtracks=0))
    assert found.verdicts[0].status is Status.UNDETERMINED
    assert not found.verdicts[0].estimates["interaction"].has_interval
    assert any("Not estimable, because cells are missing or never backtrack: d1 and d2" in r for r in found.remarks)


def test_one_prompt_gives_no_interval() -> None:
    frame = table("AND gate", 1, 4)
    found = results(frame)
    assert found.verdicts[0].status is Status.UNDETERMINED
    assert not any(e.has_interval for e in found.verdicts[0].estimates.values())


def test_the_same_table_gives_the_same_results() -> None:
    frame = table("AND gate", 30, 2)
    one, two = results(frame), results(frame.sample(frac=1.0, random_state=0))
    pd.testing.assert_frame_equal(one.tables["pairs"], two.tables["pairs"])


# --- groups -----------------------------------------------------------------------------------------


def grouped(**plants: dict[tuple[int, int], float]) -> Counted:
    """A factorial of two models over the same prompts, each with its own interaction."""
    cells = protocol(2, ladders=False)
    tallies = {
        name: simulate(World((0.7, 0.9), inter), cells, 100, 4, np.random.default_rng(i + 2))
        for i, (name, inter) in enumerate(plants.items())
    }
    return Counted(tallies, ())


def test_base_and_reasoning_are_compared_prompt_by_prompt() -> None:
    found = group_table(grouped(reasoning={(0, 1): 1.0}, base={})).iloc[0]
    assert (found["by"], found["group"], found["against"]) == ("model", "reasoning", "base")
    assert found["difference_low"] > 0
    same = group_table(grouped(reasoning={(0, 1): 1.0}, base={(0, 1): 1.0})).iloc[0]
    assert same["difference_low"] < 0 < same["difference_high"]


def test_a_base_model_that_never_backtracks_is_unknown_not_zero() -> None:
    both = grouped(reasoning={(0, 1): 1.0}, base={})
    both.tallies["base"].y[:] = 0
    found = group_table(both).iloc[0]
    assert math.isnan(found["delta_against"])
    assert math.isnan(found["difference"])


def test_categories_are_compared_with_all_others() -> None:
    frames = []
    for category, extra, seed in (("logic", 1.2, 0), ("maths", 0.0, 1), ("prose", 0.0, 2)):
        world = World((0.7, 0.9), {(0, 1): extra})
        made = simulate_table(world, protocol(2, ladders=False), 50, 4, np.random.default_rng(seed))
        frames.append(made.assign(category=category, prompt=category + made["prompt"]))
    found = group_table(count(check_outcomes(pd.concat(frames)))).set_index("group")
    assert set(found.index) == {"logic", "maths", "prose"}
    assert found.loc["logic", "difference_low"] > 0
    assert found.loc["logic", "p_adjusted"] < 0.05


def test_a_table_without_groups_has_no_group_table() -> None:
    assert "groups" not in results(table("AND gate", 20, 1)).tables


# --- cosines ----------------------------------------------------------------------------------------


def test_cosines_are_read_from_a_table_or_from_directions(tmp_path) -> None:
    pd.DataFrame({"first": ["a"], "second": ["b"], "cosine": [0.3]}).to_csv(tmp_path / "c.csv", index=False)
    assert read_cosines(tmp_path / "c.csv", ["a", "b"]) == {("a", "b"): 0.3}
    site = Site(2)
    pair = [Direction.from_vector("a", np.array([1.0, 0, 0]), site), Direction.from_vector("b", np.ones(3), site)]
    save_directions(tmp_path / "d.safetensors", DirectionSet(pair))
    assert read_cosines(tmp_path / "d.safetensors")["a", "b"] == pytest.approx(3**-0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first,second\na,b\n", "needs columns first, second and cosine"),
        ("first,second,cosine\na,b,1.5\n", "every cosine is a number from -1 to 1"),
        ("first,second,cosine\nx,y,0.5\n", "holds no pair of the table's directions a, b"),
    ],
)
def test_cosines_that_cannot_be_used_are_refused(text: str, message: str, tmp_path) -> None:
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_cosines(tmp_path / "c.csv", ["a", "b"])


def test_the_protocol_has_each_cell_once() -> None:
    cells = protocol(4, flips=True, n_random=20)
    assert len(cells.doses) == 28 + 4 + 60
    assert len({(*row, c) for row, c in zip(map(tuple, cells.doses), cells.controls, strict=True)}) == 92
    assert len(K2.doses) == 10
