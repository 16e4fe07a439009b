"""Figures of mixtures: held-out beside where it was chosen, the frontier, the front, and what they leave out."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes

from multidir.errors import FormatError
from multidir.report import figures
from tests.report import demo_mixtures
from tests.report.conftest import drawn


def hollow(axes: Axes) -> list[float]:
    dots = [line for line in axes.get_lines() if len(line.get_xdata()) == 1 and line.get_marker() != "None"]
    return sorted(float(dot.get_xdata()[0]) for dot in dots if dot.get_markerfacecolor() != dot.get_color())


def names(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_a_mixture_is_drawn_where_it_was_chosen_and_held_out() -> None:
    plot = drawn("mixture_contest")
    by_kl = plot.figure.axes[0]
    assert names(by_kl)[:3] == ["free vector", "mixture", "linear read-out"]
    assert {2.6, 2.0, 4.0} <= set(hollow(by_kl))
    assert "mixture 2.10 [1.90, 2.30] (+2.60)" in plot.reading


def test_the_contest_shows_the_best_singles_and_no_step_of_the_path() -> None:
    shown = names(drawn("mixture_contest").figure.axes[0])
    assert [name for name in shown if name.startswith("single")] == ["single d0", "single d1", "single d2", "single d3"]
    assert "mixture of 2" not in shown
    table = demo_mixtures.contest_table()
    with pytest.raises(FormatError, match="twice"):
        figures.mixture_contest(table.assign(contender="one"))
    with pytest.raises(FormatError, match="matched"):
        figures.mixture_contest(table.assign(matched="length"))


def test_whole_texts_are_in_percent_with_the_unsteered_level() -> None:
    plot = drawn("mixture_texts")
    assert plot.data["value"].max() == pytest.approx(17)
    assert "unsteered" in names(plot.figure.axes[0])
    assert hollow(plot.figure.axes[0])[-1] == pytest.approx(24), "where it was chosen, the search is flattered"
    assert "mixture by search 17.0 [15.0, 19.0]" in plot.reading
    assert "unsteered it is 6.0" in plot.reading


def test_the_frontier_says_how_many_are_enough() -> None:
    plot = drawn("mixture_frontier")
    assert plot.reading.startswith("2 of 6 directions gain 1.90 [1.70, 2.10]")
    levels = {text.get_text() for text in plot.figure.axes[0].texts}
    assert levels == {"best single direction", "free vector"}


def test_the_front_names_who_is_beaten_by_none() -> None:
    plot = drawn("mixture_front")
    by_kl, by_loops = plot.figure.axes
    assert {text.get_text() for text in by_kl.texts} == {"unsteered", "mixture"}
    beaten = [line for line in by_kl.get_lines() if line.get_markerfacecolor() != line.get_color()]
    assert len(beaten) == 3
    assert by_loops.get_xlabel() == "texts that loop or make no sense, in percent"
    assert plot.reading.endswith("fewer lost texts than mixture and unsteered.")
    with pytest.raises(FormatError, match="shares between 0 and 1"):
        figures.mixture_front(demo_mixtures.front_table().assign(lost_share=7.0))
