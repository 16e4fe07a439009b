"""The paper's numbers as they are kept here, against the published data; and the rule that sets ours beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from multidir.annotate.published import read_published
from multidir.experiments.paper.numbers import LABELS, NUMBERS, Published, beside, beside_table, count_statuses
from multidir.experiments.paper.ours import (
    FIGURES_OF,
    claims_table,
    from_baselines,
    from_directions,
    from_geometry,
    from_grid,
    from_steering,
    from_traces,
)
from multidir.experiments.paper.tables import (
    FIG4,
    FIG4_MAGNITUDES,
    fig2_cells,
    fig4_cells,
    fig5_scores,
)
from multidir.linalg.angles import cosine
from multidir.linalg.basis import orthonormal_basis
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Status, Verdict
from multidir.report import figures
from multidir.stats.estimate import Estimate
from multidir.store.atomic import write_json_atomic
from multidir.store.directions import load_published

COSINE = Published("k", "cosine", 0.716, "vectors", "cosine", without_effect=0.0)


def estimate(value: float, low: float = np.nan, high: float = np.nan) -> Estimate:
    return Estimate(value, low, high, 30, "cluster bootstrap")


# --- the numbers themselves ----------------------------------------------------------------------


def test_kept_numbers_are_those_of_the_published_vectors(reference: Path) -> None:
    vectors = load_published(reference / "directions_l10.safetensors", Site(10))
    for label in LABELS:
        base, reasoning = vectors[f"base/{label}"], vectors[f"reasoning/{label}"]
        assert NUMBERS[f"length/base/{label}"].value == pytest.approx(base.length, abs=0.0011)
        assert NUMBERS[f"length/reasoning/{label}"].value == pytest.approx(reasoning.length, abs=0.0011)
        assert NUMBERS[f"between/{label}"].value == pytest.approx(cosine(base.unit, reasoning.unit), abs=0.0006)
        if label != "backtracking":
            found = cosine(reasoning.unit, vectors["reasoning/backtracking"].unit)
            assert NUMBERS[f"label/{label}"].value == pytest.approx(found, abs=0.0006)
    six = np.stack([vectors[f"reasoning/{label}"].vector for label in LABELS]).astype(np.float32)
    assert NUMBERS["rank"].value == len(orthonormal_basis(six))


def test_kept_shares_are_those_of_the_published_traces(reference: Path) -> None:
    """Our own counting, run on the published traces, finds the published shares."""
    traces, sentences = [], []
    for item in read_published(reference / "r1_llama8b_traces_300.jsonl"):
        traces.append(Trace(item.id, item.id, item.category, (), 0, item.reasoning))
        for i, span in enumerate(item.spans(LABELS)):
            sentences.append(Sentence(item.id, i, span.start, span.end, 0, 1, span.label, "published/gpt-4o"))
    found = from_traces(traces, sentences, 200, 0)
    for name in ("backtracking", "recall", "keywords"):
        verdict = beside(found[f"share/{name}"], NUMBERS[f"share/{name}"])
        assert verdict.status is Status.SUPPORTED, verdict
        assert found[f"share/{name}"].value == pytest.approx(NUMBERS[f"share/{name}"].value, abs=0.006)


def test_figure_four_is_its_csv_drawn_by_the_function_that_draws_ours(reference: Path) -> None:
    published = pd.read_csv(reference / "fig4_baselines.csv").drop_duplicates()  # some rows stand twice
    curves = published.pivot_table(index="intervention_type", columns="magnitude", values="wait_percentage")
    assert set(curves.index) == set(FIG4)
    for name, values in FIG4.items():
        np.testing.assert_allclose(curves.loc[name, list(FIG4_MAGNITUDES)], values, atol=6e-4)
    plot = figures.dose_curves(fig4_cells(), "keyword", None)
    lines = {line.get_label(): line for line in plot.figure.axes[0].get_lines()}
    assert set(FIG4) <= set(lines)
    np.testing.assert_allclose(lines["backtracking"].get_ydata()[1:], np.array(FIG4["backtracking"][1:]) / 100)
    assert "from 0.2% to 31%" in plot.reading
    assert plot.note == "Whether the texts are coherent was not reported."


def test_figure_four_has_the_shape_the_paper_tells_of() -> None:
    """Inverted U, onset between 4 and 6, nothing left by 20; noise rises later; the others vanish by 10."""
    curves = {name: dict(zip(FIG4_MAGNITUDES, values, strict=True)) for name, values in FIG4.items()}
    backtracking, noise = curves["backtracking"], curves["noise"]
    assert max(backtracking, key=lambda m: backtracking[m]) == 12
    assert backtracking[4] < 1 < 4 < backtracking[6]
    assert backtracking[20] == backtracking[25] == 0
    assert max(noise, key=lambda m: noise[m]) == 20
    assert all(curves[name][m] < 0.25 for name in ("overall_mean", "deduction", "initializing") for m in (10, 12, 14))
    assert max(noise.values()) < max(backtracking.values()) / 10


def test_figures_two_and_five_are_drawn_by_the_functions_that_draw_ours() -> None:
    two = figures.offset_grid(fig2_cells(), coherent_at_least=None, measure="keyword")
    assert "works best from tokens -13..-9 of L10.resid_post (52%" in two.reading
    assert two.name == "offset_grid_keyword"
    five = figures.logit_lens(fig5_scores())
    assert "highest at block 28 (0.55, base unembedding)" in five.reading
    assert five.note.endswith("could not be scored and are left out."), "blocks that cannot be read are no zeros"


# --- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "status"),
    [
        (estimate(0.73, 0.65, 0.8), Status.SUPPORTED),
        (estimate(0.72, 0.7163, 0.74), Status.SUPPORTED),  # equal to the printed digits
        (estimate(0.9, 0.85, 0.95), Status.REFUTED),
        (estimate(0.4, -0.2, 0.9), Status.UNDETERMINED),  # holds the published value, and no effect too
        (estimate(0.716), Status.UNDETERMINED),  # without an interval
    ],
)
def test_supported_refuted_undetermined(ours: Estimate, status: Status) -> None:
    verdict = beside(ours, COSINE)
    assert verdict.status is status
    assert "The cosine is 0.716" in verdict.claim
    assert "published in vectors" in verdict.because


def test_a_number_that_is_exact_needs_no_interval() -> None:
    rank = NUMBERS["rank"]
    assert beside(estimate(5), rank).status is Status.SUPPORTED
    assert beside(estimate(6), rank).status is Status.REFUTED


def test_numbers_in_one_models_units_are_compared_for_the_same_pair_only() -> None:
    ours = {"length/base/backtracking": estimate(0.63, 0.6, 0.66), "rank": estimate(5), "other": estimate(1)}
    assert list(beside_table(ours, same_pair=False)["key"]) == ["rank"]
    both = beside_table(ours, same_pair=True)
    assert list(both["key"]) == ["length/base/backtracking", "rank"]
    assert count_statuses(both) == "of 2 published numbers that we have too, 2 supported"
    assert count_statuses(beside_table({}, same_pair=True)).endswith("too, none")
    assert "1 supported (✓)" in figures.beside_paper(both.assign(status=["supported", "refuted"])).reading


# --- our side ------------------------------------------------------------------------------------


def test_directions_are_read_at_one_site_and_window() -> None:
    row = {"role": "base", "label": "backtracking", "site": "L10.resid_post", "offset_lo": -13, "offset_hi": -8}
    row |= {"length": 0.6, "length_low": 0.55, "length_high": 0.66, "raw_length": 0.63, "n_traces": 136}
    row |= {"cosine_between_roles": 0.8, "cosine_low": 0.75, "cosine_high": 0.86, "raw_cosine": 0.72}
    table = pd.DataFrame([row, {**row, "offset_lo": -3, "raw_length": 9.0}, {**row, "label": "calculation"}])
    found = from_directions(table, Site(10), (-13, -8))
    length, between = found["length/base/backtracking"], found["between/backtracking"]
    assert set(found) == {"length/base/backtracking", "between/backtracking"}
    assert (length.value, length.n) == (0.63, 136)
    assert (length.low, length.high) == pytest.approx((0.58, 0.69))
    assert (between.low, between.high) == pytest.approx((0.67, 0.78))


def test_labels_and_rank_are_read_from_the_geometry() -> None:
    row = {"axis": "label", "within": "reasoning", "a": "adding-knowledge", "b": "backtracking"}
    row |= {"cosine": -0.2, "low": -0.3, "high": -0.1, "raw_cosine": -0.18, "n_traces": 300}
    other = {**row, "b": "deduction"}
    cosines = pd.DataFrame([row, other, {**row, "within": "base", "raw_cosine": 9.0}, {**row, "axis": "site"}])
    found = from_geometry(cosines, pd.DataFrame({"rank": [5]}))
    assert set(found) == {"rank", "label/adding-knowledge"}
    assert found["label/adding-knowledge"].value == -0.18


def test_peaks_are_taken_over_doses_and_unscored_cells_are_no_peaks() -> None:
    cells = pd.DataFrame(
        {
            "target": ["reasoning"] * 4 + ["base"],
            "direction_role": ["none", "base", "base", "base", "base"],
            "dose": [0.0, 1.0, 2.0, 3.0, 1.0],
            "direction": ["none", "base/backtracking L10 -13..-8", "a", "b", "c"],
            "substring_share": [0.01, 0.3, 0.2, np.nan, 0.9],
            "substring_low": 0.1,
            "substring_high": 0.4,
            "n_prompts": 10,
        }
    )
    found = from_steering(cells)
    assert set(found) == {"peak/base"}
    assert (found["peak/base"].value, found["peak/base"].n) == (0.3, 10)
    assert from_grid(cells) == {}
    assert from_grid(cells.assign(direction_role="reasoning"))["peak/grid"].value == 0.3
    other = cells.assign(direction_role="label", direction="base/adding-knowledge L10 -13..-8")
    assert set(from_steering(other, "wait")) == {"wait/adding-knowledge"}


def test_baselines_count_for_the_papers_word_only_where_that_word_was_counted(tmp_path: Path) -> None:
    row = {"target": "reasoning", "direction_role": "noise", "direction": "noise", "dose": 1.0, "n_prompts": 9}
    row |= {"substring_share": 0.03, "substring_low": 0.02, "substring_high": 0.04}
    pd.DataFrame([row]).to_csv(tmp_path / "cells.csv", index=False)
    for words, name in ((["wait"], "wait/noise"), (["wait", "hmm"], "peak/noise")):
        (tmp_path / "config.json").write_text(json.dumps({"science": {"scoring": {"keywords": words}}}))
        assert list(from_baselines(tmp_path)) == [name]
        assert name in NUMBERS


def test_every_figure_with_a_verdict_is_listed_with_its_claim(tmp_path: Path) -> None:
    for name, claim in (("steering", "It steers."), ("sweep", "Block 10.")):
        (tmp_path / name).mkdir()
        verdict = Verdict(claim, Status.REFUTED, "Because.", "a rule")
        write_json_atomic(tmp_path / name / "verdicts.json", [verdict])
    (tmp_path / "lens").mkdir()
    table = claims_table({name: tmp_path / name for name in ("sweep", "steering", "lens")} | {"offsets": None})
    assert list(table["figure"]) == ["Fig. 3", "Fig. B.1"]
    assert list(table["claim"]) == ["It steers.", "Block 10."]
    assert set(table["status"]) == {"refuted"}
    assert set(FIGURES_OF) <= {"offsets", "steering", "baselines", "lens", "density", "sweep", "geometry"}
