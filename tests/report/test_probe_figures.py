"""Figures of probes: what their sentences and axes say of controls."""

from __future__ import annotations

from multidir.report.figures import probe_bars
from tests.report.demo_probes import bars_table


def test_shuffled_labels_above_chance_are_explained_and_at_chance_not_mentioned() -> None:
    table = bars_table()
    assert "shuffled" not in probe_bars(table).reading
    shuffled = table["kind"] == "labels shuffled within traces"
    table.loc[shuffled, ["auroc", "auroc_low", "auroc_high"]] = 0.66, 0.62, 0.7
    said = probe_bars(table).reading
    assert "Labels shuffled within traces still give up to 0.66 [0.62, 0.70]: every trace keeps its number" in said


def test_the_axis_does_not_promise_whole_prompts_for_controls_that_split_them() -> None:
    assert probe_bars(bars_table()).figure.axes[-1].get_xlabel() == "AUROC, held out by prompt unless split"
