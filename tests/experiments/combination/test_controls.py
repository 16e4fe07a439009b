"""Every control: it passes where it should, and fails where something is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from multidir.errors import DesignError
from multidir.experiments.combination.counting import count
from multidir.experiments.combination.outcomes_table import check_outcomes
from multidir.experiments.combination.tally import Tally
from multidir.experiments.combination.verdicts import Combined, combine
from multidir.experiments.power.simulate import LADDER_SPREAD, World, simulate
from multidir.experiments.protocol.design import Cells, protocol
from multidir.records.combination import Combination, Control, State
from tests.experiments.pairs import K4, SHIFTS, Settings, study, table, tally, world

AND = "AND gate"


def controls_of(found: Combined) -> dict[str, Control]:
    return {c.name: c for c in found.pairs[0].controls}


def analysed(changed: Tally) -> Combined:
    return combine(changed, Settings())


def test_a_clean_study_passes_everything_that_was_run() -> None:
    found = controls_of(study(AND))
    passed = {name for name, c in found.items() if c.state is State.PASSED}
    assert passed == {
        "loops",
        "coherence",
        "random pairs",
        "norm-matched single",
        "sham pair of d1",
        "sham pair of d2",
        "sign flip of d1",
        "sign flip of d2",
        "shuffled cells",
    }
    assert {c.state for name, c in found.items() if name not in passed} == {State.NOT_RUN}
    assert study(AND).pairs[0].label is Combination.SYNERGY


def test_a_direction_interacts_with_itself_on_log_odds_and_its_sham_control_says_so() -> None:
    sham = controls_of(study("one read-out, threshold"))["sham pair of d1"]
    assert sham.state is State.PASSED
    assert "on log-odds alone it would interact with itself by +" in sham.because


def with_loops(share: float) -> Tally:
    both = [i for i, row in enumerate(K4.doses) if row[0] == 1 == row[1] and not K4.controls[i]]
    looping = replace(world(AND), cell_loops=dict.fromkeys(both, share))
    return simulate(looping, K4, 100, 4, np.random.default_rng(11))


def test_a_pair_that_loops_more_is_invalid_never_a_weaker_claim() -> None:
    found = analysed(with_loops(0.10))
    assert controls_of(found)["loops"].state is State.FAILED
    assert found.pairs[0].reading is Combination.SYNERGY
    assert found.pairs[0].label is Combination.INVALID
    assert "loops failed: The pair's rollouts loop" in found.pairs[0].reason


def test_without_a_loop_column_there_is_no_synergy_but_no_failure_either() -> None:
    found = analysed(replace(tally(AND), loops=None))
    assert controls_of(found)["loops"].state is State.NOT_RUN
    assert found.pairs[0].label is Combination.UNDETERMINED
    assert found.pairs[0].reason == "Both axes say synergy, but this does not hold without: loops."


def test_incoherent_cells_are_past_the_cliff() -> None:
    plain = tally(AND)
    broken = np.zeros_like(plain.y)
    broken[:, [i for i, row in enumerate(K4.doses) if row[:2].sum() == 2]] = 2.0
    found = analysed(replace(plain, incoherent=broken))
    assert controls_of(found)["coherence"].state is State.FAILED
    assert found.pairs[0].label is Combination.INVALID


def test_random_pairs_are_needed_and_must_not_do_as_much() -> None:
    few = tally(AND).take([i for i, c in enumerate(K4.controls) if c == "" or c in ("random:1", "random:2")])
    found = analysed(few)
    assert controls_of(found)["random pairs"].because == "2 random pairs; 20 are needed."
    assert found.pairs[0].label is Combination.UNDETERMINED
    plain = tally(AND)
    both = [i for i, row in enumerate(K4.doses) if K4.controls[i] and row.sum() == 2]
    y = plain.y.copy()
    y[:, both] = plain.n[:, both] // 1.3
    found = analysed(replace(plain, y=y))
    assert controls_of(found)["random pairs"].state is State.FAILED
    assert found.pairs[0].label is Combination.INVALID


def test_a_pair_that_acts_by_its_norm_does_no_more_than_a_single_of_that_norm() -> None:
    control = controls_of(study("norm only (p = 2)"))["norm-matched single"]
    assert control.state is State.OPEN
    assert control.because.endswith("a single direction of the pair's norm has 0.50.")


def test_a_flipped_direction_that_does_more_fails() -> None:
    plain = tally(AND)
    flip = next(i for i, row in enumerate(K4.doses) if row[0] < 0)
    y = plain.y.copy()
    y[:, flip] = plain.n[:, flip] // 2
    found = analysed(replace(plain, y=y))
    assert controls_of(found)["sign flip of d1"].state is State.FAILED


def test_halves_that_disagree_fail_the_sham_pair() -> None:
    plain = tally("one read-out, threshold")
    twice = next(i for i, row in enumerate(K4.doses) if row[0] == 2.0)
    half = plain.half_y.copy()
    half[:, twice] *= 0.3
    found = analysed(replace(plain, half_y=half))
    assert controls_of(found)["sham pair of d1"].state is State.FAILED
    one = analysed(tally("one read-out, threshold", rollouts=1))
    assert controls_of(one)["sham pair of d1"].because == "It needs two prompts with two rollouts in every cell."


def test_where_nothing_backtracks_no_control_fails_and_nothing_is_said_on_doses() -> None:
    plain = tally(AND)
    found = analysed(replace(plain, y=np.zeros_like(plain.y), half_y=np.zeros_like(plain.y)))
    controls = controls_of(found)
    for name in ("sham pair of d1", "sign flip of d1"):
        assert (controls[name].state, controls[name].because) == (State.NOT_RUN, "None of its sentences backtracks.")
    assert not found.pairs[0].evidence.axes.exponent.has_interval
    assert found.pairs[0].label is Combination.UNDETERMINED


def test_two_prompts_are_too_few_to_fail_a_control() -> None:
    found = analysed(tally(AND).only(np.arange(len(tally(AND).prompts)) < 2))
    states = {control.state for name, control in controls_of(found).items() if name.startswith(("sham", "sign"))}
    assert State.FAILED not in states
    alone = analysed(tally(AND).only(np.arange(len(tally(AND).prompts)) < 1))
    assert controls_of(alone)["sign flip of d1"].state is State.NOT_RUN


def test_shuffled_cells_hardly_ever_claim_anything() -> None:
    because = controls_of(study(AND))["shuffled cells"].because
    assert int(because.split(" of ")[0]) <= 2
    assert because.endswith("at most 4 may.")
    none = combine(tally(AND, 20, 1), Settings(draws=100, shuffles=0))
    assert controls_of(none)["shuffled cells"].state is State.NOT_RUN


# --- rows with other vectors -----------------------------------------------------------------------


def with_control(mechanism: str, control: str, shown: str, names: tuple[str, str] = ("d1", "d2")) -> Combined:
    """A K=2 study of one mechanism, whose rows of a control follow another one."""
    cells = protocol(2, n_random=20)
    own = table(mechanism, 100, 4, cells=cells)
    other = table(shown, 100, 4).assign(control=control)  # the same seed: the same prompts
    rows = other[(other["dose_d1"] > 0) | (other["dose_d2"] > 0)] if control != "beside:d2" else other
    if control == "beside:d2":
        rows = other[(other["dose_d2"] == 1) & other["dose_d1"].isin([0, 1])]
    counted = count(check_outcomes(pd.concat([own, rows])))
    return combine(counted.tallies[""], Settings(draws=500, shuffles=0))


def test_known_answers_must_be_read_right() -> None:
    good = with_control(AND, "plant:and", AND)
    assert controls_of(good)["plant:and"].state is State.PASSED
    assert good.pairs[0].label is Combination.SYNERGY
    bad = with_control(AND, "plant:and", "antagonist")
    assert controls_of(bad)["plant:and"].because.startswith("Planted synergy, read antagonism; delta -")
    assert bad.pairs[0].label is Combination.INVALID


def test_a_random_vector_in_place_of_one_direction_must_do_less() -> None:
    good = with_control(AND, "beside:d2", "own thresholds")
    assert controls_of(good)["beside:d2"].state is State.PASSED
    bad = with_control(AND, "beside:d2", AND)
    assert controls_of(bad)["beside:d2"].state is State.FAILED
    assert bad.pairs[0].label is Combination.INVALID


def test_token_knobs_that_interact_as_much_fail() -> None:
    assert controls_of(with_control(AND, "token", AND))["token"].state is State.FAILED
    quiet = controls_of(with_control("own thresholds", "token", "own thresholds"))["token"]
    assert quiet.state is State.PASSED


def test_an_orthogonal_set_must_agree() -> None:
    assert controls_of(with_control(AND, "orthogonal", AND))["orthogonal set"].state is State.PASSED
    bad = with_control(AND, "orthogonal", "own thresholds")
    assert controls_of(bad)["orthogonal set"].state is State.FAILED


def test_incomplete_control_rows_are_not_run() -> None:
    own = table(AND, 40, 2)
    only = own[(own["dose_d1"] == 1) & (own["dose_d2"] == 1)].assign(control="orthogonal")
    found = combine(count(check_outcomes(pd.concat([own, only]))).tallies[""], Settings(draws=200, shuffles=0))
    assert controls_of(found)["orthogonal set"].state is State.NOT_RUN


def test_two_directions_that_are_one_are_refused_with_the_reason() -> None:
    with pytest.raises(
        DesignError, match=r"d1 and d2 \(0.95\) have a cosine beyond 0.9: together they are one direction"
    ):
        combine(tally(AND), Settings(), {("d1", "d2"): 0.95})
    fine = combine(tally(AND), Settings(draws=200, shuffles=0), {("d2", "d1"): 0.5})
    assert fine.pairs[0].evidence.norm_exponent == pytest.approx(np.log2(3) / 2)


def test_a_sham_pair_is_no_synergy_even_with_a_dose_off_by_15_percent() -> None:
    cells = Cells(K4.doses, K4.controls)
    for steepness in (1.0, 4.0, 8.0):

        def shift(a, b, base, h=steepness):
            return SHIFTS["one read-out, threshold"](a, b, base, steepness=h)  # type: ignore[call-arg]

        sham = World((0, 0, 0.7, 0.5), mechanism=shift, spread=LADDER_SPREAD, miscalibration=0.15)
        for seed in range(3):
            found = analysed(simulate(sham, cells, 60, 2, np.random.default_rng(seed)))
            assert found.pairs[0].label is not Combination.SYNERGY
