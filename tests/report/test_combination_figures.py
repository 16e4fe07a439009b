"""Figures of combinations: what is drawn is what the table says, and what is unknown is not drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from multidir.errors import FormatError
from multidir.report import figures
from tests.report import demo_pairs
from tests.report.conftest import drawn


def points(axes: Axes, label: str) -> np.ndarray:
    """All points of lines with a label, one row each."""
    lines = [line for line in axes.get_lines() if line.get_label() == label]
    return np.array([[float(line.get_xdata()[0]), float(line.get_ydata()[0])] for line in lines])


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_plane_puts_each_pair_at_its_two_numbers() -> None:
    plot = drawn("joint_plane")
    given = plot.data[["delta", "exponent"]].to_numpy()
    np.testing.assert_allclose(points(plot.figure.axes[0], "_pair"), given)
    assert {"synergy", "additive", "antagonism", "norm\nonly"} <= set(texts(plot.figure.axes[0]))
    assert "hesitation + mistake: synergy" in plot.reading
    key = [text.get_text() for text in plot.figure.legends[0].get_texts()]
    assert "hesitation + mistake:\nsynergy" in key


def test_a_pair_without_ladder_is_not_on_the_plane_and_is_counted() -> None:
    table = demo_pairs.plane_table()
    table.loc[0, ["exponent", "exponent_low", "exponent_high"]] = np.nan
    plot = figures.joint_plane(table)
    assert len(points(plot.figure.axes[0], "_pair")) == 2
    assert plot.note == "1 of 3 points could not be scored and are left out."


def test_an_exponent_far_below_zero_stays_on_the_edge() -> None:
    table = demo_pairs.plane_table()
    table.loc[0, ["exponent", "exponent_low", "exponent_high"]] = [-np.inf, -np.inf, -1.0]
    low = points(figures.joint_plane(table).figure.axes[0], "_pair")[:, 1].min()
    assert -0.4 < low < -0.2


def test_the_ladder_figure_drops_the_pair_onto_its_dose() -> None:
    plot = drawn("equivalent_doses")
    table = demo_pairs.ladder_table()
    for axes in plot.figure.axes:
        first, second = axes.get_title(loc="left").split("\n")[0].split(" + ")
        mine = table[(table["first"] == first) & (table["second"] == second)]
        pair = mine[mine["part"] == "pair"].iloc[0]
        assert points(axes, "pair")[0] == pytest.approx([min(pair["multiple"], 4), pair["share"]])
        for part in ("first", "second"):
            (line,) = [item for item in axes.get_lines() if item.get_label() == part]
            np.testing.assert_allclose(line.get_ydata(), mine[mine["part"] == part]["share"])
    assert "hesitation + mistake does as much as at least 2.8 doses of one direction" in plot.reading
    assert "hesitation + doubt equals 2.0 [1.9, 2.1] doses" in plot.reading


def test_more_pairs_than_panels_are_counted() -> None:
    table = demo_pairs.ladder_table()
    more = pd.concat([table.assign(first=table["first"] + suffix) for suffix in ("", "2", "3")])
    plot = figures.equivalent_doses(more)
    assert plot.note == "3 more pairs are in the table."
    assert sum(axes.get_visible() for axes in plot.figure.axes) == 6


def test_the_matrix_writes_every_value_and_verdict() -> None:
    shown = texts(drawn("interaction_matrix").figure.axes[0])
    assert {"+1.60", "[1.46, 1.72]", "synergy", "+0.02", "independent causes"} <= set(shown)
    table = demo_pairs.matrix_table()
    table.loc[0, ["delta", "delta_low", "delta_high"]] = np.nan
    plot = figures.interaction_matrix(table)
    assert "unknown" in texts(plot.figure.axes[0])
    assert "of hesitation + doubt" in plot.reading


def test_isoboles_put_each_pair_at_its_shares() -> None:
    plot = drawn("isoboles")
    shares = 1 / plot.data[["multiple_first", "multiple_second"]].to_numpy()
    np.testing.assert_allclose(points(plot.figure.axes[0], "_pair"), shares)
    assert "hesitation + mistake need 35% and 35% of the doses alone" in plot.reading
    on_line = plot.data[plot.data["exponent"] == 1.0].iloc[0]
    assert on_line["share_first"] + on_line["share_second"] == pytest.approx(1, abs=0.03)


def test_moebius_terms_grey_what_may_be_zero() -> None:
    plot = drawn("moebius_terms")
    axes = plot.figure.axes[0]
    colours = {
        line.get_label(): line.get_color() for line in axes.get_lines() if line.get_label() in set(plot.data["set"])
    }
    assert colours["mistake + doubt"] != colours["hesitation + mistake"]
    assert "hesitation + mistake (1.60 [1.40, 1.80])" in plot.reading
    none = demo_pairs.moebius_table().assign(moebius_low=-1.0, moebius_high=1.0)
    assert figures.moebius_terms(none).reading.startswith("No pair and no larger set clearly adds")


def test_held_out_cells_count_the_predictions_that_hold() -> None:
    assert drawn("held_out_cells").reading == (
        "Of 1 unseen cells, the interval holds the prediction in: log-odds add 0, log-odds and pairs 1, "
        "hazards add 0, one read-out 0."
    )


def test_power_says_what_the_largest_design_sees() -> None:
    plot = drawn("power_curves")
    assert plot.reading.startswith("With 300 prompts x 4 rollouts an interaction is claimed in ")
    lines = {line.get_label(): line for line in plot.figure.axes[1].get_lines()}
    given = plot.data[(plot.data["rollouts"] == 4) & (plot.data["planted"] == -0.6)]
    np.testing.assert_allclose(lines["-0.6"].get_ydata(), given["claimed"])


@pytest.mark.parametrize("function", [figures.joint_plane, figures.interaction_matrix, figures.isoboles])
def test_a_pair_twice_is_refused(function) -> None:
    table = pd.concat([demo_pairs.pair_table()] * 2)
    with pytest.raises(FormatError, match="cells stand twice, the first is first hesitation, second mistake"):
        function(table)


def test_pushes_are_drawn_by_what_stands_and_the_interaction_stands_above_them() -> None:
    plot = drawn("pushes_by_standing")
    (axes,) = plot.figure.axes
    bars = {bar.get_label(): bar[0].get_height() for bar in axes.containers}
    assert bars["neither both"] == pytest.approx(0.11)
    assert bars["second first"] == pytest.approx(0.29)
    assert {"+0.86", "-0.65", "-0.76", "+0.48", "-0.11"} <= set(texts(axes))
    assert "+0.86 [0.74, 0.98] where neither stands and -0.11" in plot.reading.replace("0.86 [", "+0.86 [", 1)
    table = demo_pairs.strata_table()
    left = figures.pushes_by_standing(table[table["standing"] != "both"])
    assert not any(str(bar.get_label()).startswith("both ") for bar in left.figure.axes[0].containers)
    with pytest.raises(FormatError, match="standing"):
        figures.pushes_by_standing(table.assign(standing="somewhere"))
