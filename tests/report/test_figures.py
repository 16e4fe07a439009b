"""Every figure: it draws, it says what it shows, and its CSV holds exactly the numbers drawn."""

from __future__ import annotations

import csv
import io
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D

from multidir.errors import ConfigError, FormatError
from multidir.report import figures, words
from multidir.report.style import BASE, CARD, REASONING, SERIES
from tests.report import demo
from tests.report.conftest import DRAWINGS, Drawing, drawn


def _lines(axes: Axes) -> dict[str, Line2D]:
    """Lines that hold all points of a series, by label."""
    return {str(line.get_label()): line for line in axes.get_lines() if not str(line.get_label()).startswith("_")}


def _xy(line: Line2D) -> np.ndarray:
    return np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])


def test_all_functions_are_covered() -> None:
    functions = {name for name in figures.__all__ if name not in ("Plot", "save")}
    assert functions == set(DRAWINGS)


def test_draws_in_both_shapes_with_title_reading_and_numbers(plot: figures.Plot) -> None:
    assert plot.title
    assert plot.reading.endswith(".")
    assert "nan" not in plot.reading
    assert plot.narrow is not None
    assert not plot.data.empty
    assert plot.note == ""
    for svg in (plot.svg(), plot.svg(narrow=True)):
        assert svg.count("<text") > 5  # text stays text
        assert "<image" not in svg
    assert plot.name in repr(plot)


def test_a_notebook_shows_the_svg_which_is_the_same_every_time() -> None:
    plot = drawn("offset_grid")
    assert plot._repr_svg_() == plot.svg()


def test_same_numbers_in_any_row_order_give_the_same_bytes(drawing: Drawing) -> None:
    function, table = drawing
    one, two = drawn(function.__name__), function(table().sample(frac=1.0, random_state=1))
    if one.name != "random_spread":  # dots of random directions lie in the order of their values
        pd.testing.assert_frame_equal(one.data, two.data)
    assert one.svg() == two.svg()
    assert "<dc:date>" not in one.svg()


def test_png_is_deterministic() -> None:
    assert figures.rates_by_cause(demo.cause_table()).png(60) == figures.rates_by_cause(demo.cause_table()).png(60)


def test_missing_columns_are_all_named_in_one_sentence(drawing: Drawing) -> None:
    function, table = drawing
    frame = table()
    first, last = frame.columns[0], frame.columns[-1]
    with pytest.raises(FormatError, match=f"{function.__name__}: missing columns .*") as caught:
        function(frame.rename(columns={first: "x_first", last: "x_last"}))
    message = str(caught.value)
    assert first in message
    assert last in message
    assert "x_first" in message
    assert "\n" not in message


def test_an_empty_table_is_refused(drawing: Drawing) -> None:
    function, table = drawing
    with pytest.raises(FormatError, match="no rows"):
        function(table().iloc[:0])


def test_a_table_without_any_score_draws_and_never_shows_zero(drawing: Drawing) -> None:
    function, table = drawing
    numbers = {
        "backtrack_share",
        "low",
        "high",
        "fold",
        "rate",
        "auroc",
        "projection",
        "length",
        "cosine_between_roles",
    }
    numbers |= {"count", *(f"{n}{end}" for n in ("precision", "recall", "f1") for end in ("", "_low", "_high"))}
    numbers |= {"share", "rms", "mean", "deviation", "first"}
    numbers |= {"keyword_share", "length_low", "length_high", "cosine_low", "cosine_high"}
    numbers |= {"cosine", "raw_cosine", "degrees", "noise_degrees", "random_degrees"}
    numbers |= {"score", "null_low", "null_high", "share", "median", "value", "published"}
    numbers |= {
        f"{name}{end}" for name in ("mean", "other", "auroc", "caught", "ahead") for end in ("", "_low", "_high")
    }
    for name in ("delta", "exponent", "moebius", "gap", "gain", "share"):
        numbers |= {name, f"{name}_low", f"{name}_high"}
    numbers |= {"multiple_first", "multiple_second", "banzhaf", "shapley", "fitted", "claimed", "gain_seen"}
    numbers |= {"loss", "held_out_fvu", "dead", "fvu", "fvu_low", "fvu_high", "density", "reasoning_share"}
    numbers |= {"fall", "change", "rho", *(f"{n}{end}" for n in ("add", "ablate") for end in ("", "_low", "_high"))}
    frame = table()
    if "fall" in frame:
        numbers -= {"share"}  # of an ablation that is done: a setting there, not a score
    numeric = frame.select_dtypes("number").columns  # `first` and `other` are numbers in one table, names in another
    frame[[column for column in numeric if column in numbers]] = np.nan
    plot = function(frame)
    assert "could not be scored" in plot.note
    assert plot.svg()
    drawn_lines = [line for axes in plot.figure.axes for line in axes.get_lines()]
    for line in drawn_lines:
        level = str(line.get_label()).startswith("_child")  # reference levels and the start of the sentence
        assert level or np.isnan(_xy(line)).any(axis=1).all()


def test_numbers_that_are_not_numbers_are_refused(drawing: Drawing) -> None:
    function, table = drawing
    frame = table()
    names = ("low", "length", "projection", "count", "f1", "degrees", "score", "share", "rms", "auroc", "caught")
    pairs = ("delta_low", "exponent_low", "share_low", "moebius_low", "gap_low", "gain_low", "claimed")
    dictionaries = ("held_out_fvu", "fvu", "density", "reasoning_share")
    ablations = ("add", "rho", "fall")
    column = next(c for c in (*names, *pairs, *dictionaries, *ablations) if c in frame)
    frame[column] = "many"
    with pytest.raises(FormatError, match=f"column {column} must hold numbers"):
        function(frame)


def test_csv_is_read_back_exactly(plot: figures.Plot) -> None:
    rows = list(csv.DictReader(io.StringIO(plot.csv())))
    for column in plot.data.select_dtypes("float"):
        read = [float(row[column] or "nan") for row in rows]
        np.testing.assert_array_equal(read, plot.data[column].to_numpy(float))


def test_save_writes_three_files(tmp_path) -> None:
    plot = drawn("rates_by_cause")
    svg, png, numbers = figures.save(plot, tmp_path)
    assert svg.read_text() == plot.svg()
    assert numbers.read_text() == plot.csv()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == [numbers.name, png.name, svg.name]


def test_a_plot_cannot_have_a_name_that_is_no_file_name() -> None:
    plot = drawn("rates_by_cause")
    with pytest.raises(ConfigError, match="cannot name a figure"):
        figures.Plot(plot.figure, plot.data, "../x", "", "")


# --- dose curves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("measure", "column"), [("backtrack", "backtrack_share"), ("keyword", "keyword_share")])
def test_dose_curves_draw_the_cells_and_write_them(measure: str, column: str) -> None:
    cells = demo.dose_cells()
    plot = drawn("dose_curves" if measure == "backtrack" else "dose_curves_keyword")
    for axes, target in zip(plot.figure.axes, ("reasoning", "base"), strict=True):
        lines = _lines(axes)
        assert set(lines) == {"base -6..-2", "reasoning -6..-2", "random median"}
        for name, line in lines.items():
            written = plot.data[(plot.data["target"] == target) & (plot.data["direction"] == name)]
            np.testing.assert_array_equal(_xy(line), written[["dose", "value"]].to_numpy())
            if name != "random median":
                given = cells[(cells["target"] == target) & cells["direction"].isin([name, "none"])].sort_values("dose")
                np.testing.assert_array_equal(_xy(line), given[["dose", column]].to_numpy())


def test_random_directions_are_pooled_to_median_and_range() -> None:
    cells = demo.dose_cells()
    data = drawn("dose_curves").data
    given = cells[(cells["target"] == "reasoning") & (cells["direction_role"] == "random") & (cells["dose"] == 1.0)]
    pooled = data[(data["target"] == "reasoning") & (data["direction_role"] == "random") & (data["dose"] == 1.0)].iloc[
        0
    ]
    values = given["backtrack_share"]
    assert (pooled["value"], pooled["low"], pooled["high"]) == (values.median(), values.min(), values.max())
    assert pooled["n_directions"] == 20


def test_an_unscored_cell_is_a_gap_and_a_note_never_a_zero() -> None:
    cells = demo.dose_cells()
    where = (cells["direction"] == "base -6..-2") & (cells["target"] == "reasoning") & (cells["dose"] == 0.5)
    cells.loc[where, ["backtrack_share", "low", "high"]] = np.nan
    plot = figures.dose_curves(cells)
    line = _xy(_lines(plot.figure.axes[0])["base -6..-2"])
    at = line[:, 0] == 0.5
    assert np.isnan(line[at, 1]).all()
    assert not np.isnan(line[~at, 1]).any()
    assert plot.note.startswith("1 of ")
    assert ",0.5,,,," in plot.csv()


def test_a_value_without_interval_keeps_its_point_and_says_so() -> None:
    cells = demo.dose_cells()
    cells[["low", "high"]] = np.nan
    plot = figures.dose_curves(cells)
    assert "[not estimable]" in plot.reading
    assert plot.note == ""


def test_the_best_dose_is_a_coherent_one() -> None:
    cells = demo.dose_cells()
    assert "At dose 0.75" in drawn("dose_curves").reading
    incoherent = cells["dose"].isin([0.75, 1.0])
    cells.loc[incoherent, "coherent_share"] = 0.2
    plot = figures.dose_curves(cells)
    assert "At dose 0.5" in plot.reading
    hollow = [line for line in plot.figure.axes[0].get_lines() if line.get_markerfacecolor() == CARD.light]
    assert {0.75, 1.0} <= {x for line in hollow for x in line.get_xdata()}


def test_a_cell_of_unknown_coherence_does_not_count_as_coherent() -> None:
    cells = demo.dose_cells()
    cells["coherent_share"] = np.nan
    plot = figures.dose_curves(cells)
    assert plot.reading.startswith("No dose of the base-derived direction")
    assert not plot.data["coherent"].any()


def test_one_colour_per_origin_everywhere() -> None:
    plots = [
        function(table()) for name, (function, table) in DRAWINGS.items() if name in ("dose_curves", "offset_grid")
    ]
    for plot in plots:
        for axes in plot.figure.axes:
            for name, line in _lines(axes).items():
                expected = BASE if "base" in name else REASONING if "reasoning" in name else None
                assert expected is None or to_hex(line.get_color()) == expected.light


def test_a_model_that_was_not_steered_is_said_to_be_missing() -> None:
    cells = demo.dose_cells()
    plot = figures.dose_curves(cells[cells["target"] == "reasoning"])
    assert "the base model was not steered with it" in plot.reading
    assert "not measured" in [text.get_text() for text in plot.figure.axes[1].texts]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction_role": "probe"}, "direction_role holds probe; it must be one of base, reasoning, random"),
        ({"target": "llama"}, "target holds llama; it must be one of reasoning, base"),
        ({"backtrack_share": 36.0}, "backtrack_share must be shares between 0 and 1"),
        ({"dose": 0.1}, "cells stand twice, the first is target"),
    ],
)
def test_cells_that_cannot_be_meant_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        figures.dose_curves(demo.dose_cells().assign(**change))


def test_doses_of_two_units_do_not_share_an_axis() -> None:
    cells = demo.dose_cells()
    cells.loc[cells.index[3:], "dose_unit"] = "residual"
    with pytest.raises(FormatError, match="doses are in relative and residual"):
        figures.dose_curves(cells)


# --- the other figures ---------------------------------------------------------------------------


def test_transfer_shows_the_base_model_at_the_dose_chosen_in_the_reasoning_model() -> None:
    cells = demo.dose_cells()
    lift = (cells["target"] == "base") & (cells["direction_role"] == "base") & (cells["dose"] == 0.1)
    cells.loc[lift, "backtrack_share"] = 0.9  # the base model's own best dose must not be taken
    data = figures.transfer_matrix(cells).data
    derived = data[data["direction_role"] == "base"]
    assert set(derived["target"]) == {"base", "reasoning"}
    assert set(derived["dose"]) == {0.75}


def test_transfer_without_one_model_says_so() -> None:
    cells = demo.dose_cells()
    plot = figures.transfer_matrix(cells[cells["target"] == "reasoning"])
    assert "the base model was not measured" in plot.reading
    assert "not measured" in [text.get_text() for text in plot.figure.axes[0].texts]


def test_of_several_directions_the_reading_names_the_best() -> None:
    cells = demo.dose_cells()
    other = cells[cells["direction"] == "base -6..-2"].assign(direction="base -13..-8")
    other[["backtrack_share", "low", "high"]] *= 0.5
    plot = figures.dose_curves(pd.concat([cells, other]))
    assert "the base-derived direction base -6..-2 takes" in plot.reading


def test_transfer_without_coherent_dose_says_so() -> None:
    plot = figures.transfer_matrix(demo.dose_cells().assign(coherent_share=0.1))
    assert "no dose was coherent" in plot.reading
    assert set(plot.data["direction_role"]) == {"none"}


def test_random_spread_draws_every_direction() -> None:
    table = demo.fold_table()
    plot = drawn("random_spread")
    lines = _lines(plot.figure.axes[0])
    shown = np.concatenate([np.asarray(line.get_xdata(), float) for line in lines.values()])
    random = np.sort(np.asarray(lines["random"].get_xdata(), float))
    np.testing.assert_array_equal(random, np.sort(table.loc[table["direction_role"] == "random", "fold"]))
    assert 6.3 in shown
    assert "1.6x by the strongest of 20" in plot.reading


def test_offset_grid_draws_a_line_per_dose_and_names_the_best_window() -> None:
    plot = drawn("offset_grid")
    for axes, role in zip(plot.figure.axes, ("base", "reasoning"), strict=True):
        for name, line in _lines(axes).items():
            some = plot.data[(plot.data["direction_role"] == role) & (plot.data["dose"] == float(name.split("/")[2]))]
            np.testing.assert_array_equal(_xy(line), some[["offset", "value"]].to_numpy())
    assert "best from tokens -6..-3" in plot.reading


def test_each_site_and_origin_has_its_own_panel() -> None:
    grid, auroc = demo.grid_cells(), demo.auroc_table()
    derived = grid["direction_role"] != "none"
    both = pd.concat([grid.assign(site=np.where(derived, site, None)) for site in ("L10.resid_post", "L2.resid_post")])
    plot = figures.offset_grid(both.drop_duplicates())
    titles = [axes.get_title(loc="left") for axes in plot.figure.axes]
    assert titles[:2] == ["L2.resid_post: base-derived", "L2.resid_post: reasoning-derived"]
    assert len(titles) == 4
    assert "-6..-3 of L" in plot.reading
    plot = figures.projection_separation(
        pd.concat([auroc.assign(site=site) for site in ("L10.resid_post", "L2.resid_post")])
    )
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == ["L2.resid_post", "L10.resid_post"]


def test_geometry_of_one_model_shows_no_empty_angle() -> None:
    table = demo.geometry_table()
    table = table[table["role"] == "base"]
    table = table.assign(cosine_between_roles=np.nan, cosine_low=np.nan, cosine_high=np.nan)
    plot = figures.direction_geometry(table)
    assert len(plot.figure.axes) == 1
    assert plot.reading.startswith("The longest direction is the base-derived one at")


def test_random_directions_at_one_dose_are_a_bar_and_nothing_is_drawn_in_between() -> None:
    cells = demo.dose_cells()
    cells = cells[(cells["direction_role"] != "random") | ((cells["dose"] == 0.75) & (cells["target"] == "reasoning"))]
    plot = figures.dose_curves(cells)
    line = _lines(plot.figure.axes[0])["random median"]
    written = plot.data[plot.data["direction_role"] == "random"]
    np.testing.assert_array_equal(_xy(line), written[["dose", "value"]].to_numpy())
    assert list(written["dose"]) == [0.75]


def test_offset_grid_needs_the_target_it_is_asked_for() -> None:
    with pytest.raises(FormatError, match="steers the base model"):
        figures.offset_grid(demo.grid_cells(), target="base")


def test_geometry_draws_lengths_and_cosines() -> None:
    table = demo.geometry_table()
    left, right = drawn("direction_geometry").figure.axes
    for role in ("base", "reasoning"):
        given = table[table["role"] == role]["length"].to_numpy()
        np.testing.assert_array_equal(_xy(_lines(left)[f"L3.resid_post/{role}"])[:, 1], given)
    given = table.loc[table["role"] == "base", "cosine_between_roles"].to_numpy()
    np.testing.assert_array_equal(_xy(_lines(right)["L3.resid_post/cosine"])[:, 1], given)


def test_geometry_shows_every_site() -> None:
    table = demo.geometry_table()
    both = pd.concat([table, table.assign(site="L2.resid_post")])
    titles = [axes.get_title(loc="left") for axes in figures.direction_geometry(both).figure.axes]
    assert [title.split(":")[0] for title in titles] == ["L2.resid_post"] * 2 + ["L3.resid_post"] * 2


def test_two_directions_of_one_window_are_refused() -> None:
    table = demo.geometry_table()
    with pytest.raises(FormatError, match="cells stand twice, the first is role base, site L3"):
        figures.direction_geometry(pd.concat([table, table]))


def test_rates_keep_measured_and_planted_apart() -> None:
    table = demo.cause_table()
    axes = drawn("rates_by_cause").figure.axes[0]
    bars = [patch.get_height() for patch in axes.patches]
    np.testing.assert_array_equal(bars, table["planted"])
    values = [line.get_ydata()[0] for line in axes.get_lines() if line.get_label() == "_value"]
    np.testing.assert_array_equal(values, table["rate"])


def test_separation_reads_only_windows_before_the_sentence() -> None:
    table = demo.auroc_table()
    table.loc[table["offset_lo"] == 0, "auroc"] = 0.99
    assert "0.99" not in figures.projection_separation(table).reading


def test_histogram_counts_every_scored_sentence_once() -> None:
    scores = demo.score_table()
    scores.loc[scores.index[:7], "projection"] = np.nan
    plot = figures.projection_histogram(scores)
    counts = plot.data.groupby(["role", "before_backtracking"])["count"].sum()
    assert counts.to_dict() == {
        ("base", False): 2393,
        ("base", True): 230,
        ("reasoning", False): 2400,
        ("reasoning", True): 230,
    }
    shares = plot.data.groupby(["role", "before_backtracking"])["share"].sum()
    np.testing.assert_allclose(shares, 1.0, rtol=1e-12)
    assert plot.note.startswith("7 of 5260")


def test_an_unlabelled_sentence_is_not_taken_for_a_negative() -> None:
    scores = demo.score_table().astype({"before_backtracking": object})
    scores.loc[0, "before_backtracking"] = None
    with pytest.raises(FormatError, match="before_backtracking must be true or false in every row"):
        figures.projection_histogram(scores)


def test_confusion_writes_every_count_into_its_field_and_names_the_worst() -> None:
    plot = drawn("confusion_matrix")
    fields = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in plot.figure.axes[0].texts}
    order = ["deduction", "uncertainty-estimation", "backtracking"]  # by how often the reference says it
    assert fields == {
        (order.index(a), order.index(b)): f"{n}\n{words.percent(n / sum(demo.LABELLED[a, c] for c in order))}"
        for (a, b), n in demo.LABELLED.items()
    }
    assert "83% of 3271 sentences the same label" in plot.reading
    assert "uncertainty-estimation by the reference is deduction by the other (241 sentences)" in plot.reading


def test_an_empty_field_stays_empty_and_full_agreement_is_said() -> None:
    table = demo.confusion_table()
    table.loc[table["reference"] != table["other"], "count"] = 0
    plot = figures.confusion_matrix(table)
    assert len(plot.figure.axes[0].texts) == 3
    assert plot.reading == "Both annotators give all 2726 sentences the same label."


def test_scores_are_drawn_where_they_are() -> None:
    table, lines = demo.agreement_table(), _lines(drawn("agreement_scores").figure.axes[0])
    for row in table.itertuples():
        for name in ("precision", "recall", "f1"):
            assert _xy(lines[f"{row.label} {name}"])[0, 0] == getattr(row, name)


def test_many_dictionaries_are_told_apart_by_architecture_in_the_legend() -> None:
    names = [f"base-L1-{arch}-w{width}" for arch in ("topk", "jumprelu") for width in range(5)]
    curves = pd.concat([demo.curve_table().assign(name=name) for name in names])
    (legend,) = figures.training_curves(curves).figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["jumprelu", "topk"]


# --- colours -------------------------------------------------------------------------------------

_SEEN = {  # Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
    "full colour": np.eye(3),
    "no red cones": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green cones": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def _linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    share = _XYZ @ np.clip(linear, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _apart(one: str, other: str) -> float:
    """Distance in Lab, for the eyes that tell the two least apart."""
    return min(float(np.linalg.norm(_lab(m @ _linear(one)) - _lab(m @ _linear(other)))) for m in _SEEN.values())


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_any_two_series_stay_apart_for_all_eyes_and_stand_out_from_the_card(mode: str) -> None:
    colours = [getattr(tone, mode) for tone in SERIES]
    assert min(_apart(*two) for two in combinations(colours, 2)) > 12
    card = float((_XYZ @ _linear(getattr(CARD, mode)))[1])
    for colour in colours:
        light, dark = sorted([card, float((_XYZ @ _linear(colour))[1])], reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3


def test_vermilion_and_olive_of_one_lightness_would_not_pass() -> None:
    full = float(np.linalg.norm(_lab(_linear("#d55e00")) - _lab(_linear("#8a6d00"))))
    assert _apart("#d55e00", "#8a6d00") < 12 < full


def test_an_incoherent_point_has_no_band_and_does_not_stretch_the_axis() -> None:
    cells = demo.dose_cells()
    last = (cells["dose"] == cells["dose"].max()) & (cells["direction_role"] == "base")
    cells.loc[last, ["coherent_share", "high"]] = [0.0, 0.97]
    plot = figures.dose_curves(cells)
    assert plot.data["high"].max() == 0.97  # the numbers keep it
    assert max(axes.get_ylim()[1] for axes in plot.figure.axes) < 0.9
