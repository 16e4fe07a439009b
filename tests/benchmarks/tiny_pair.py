"""What the shipped tiny pair shows, beside what it has to show.

    python -m tests.benchmarks.tiny_pair [--quick] [--json] [--runs DIR]

Runs `study --preset tiny` (finished stages in DIR are not run again) and reads its tables. Problems are held
out from training; window and dose are chosen on other problems than those that the figures are measured on.
`--quick` changes nothing: the study is the quick version.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from multidir.config import Compute
from multidir.experiments.results import read_choice
from multidir.recipes.preset import load_preset
from multidir.recipes.study import run_study
from multidir.store.manifest_file import read_manifest
from tests.benchmarks.measure import Row, show


def inputs_of(report: Path) -> dict[str, Path]:
    """Run folders that a report was made from, by the name of the input."""
    inputs = read_manifest(report)["inputs"]
    return {name: next(report.parents[2].glob(f"*/*/{item['name']}")) for name, item in inputs.items()}


def spontaneous(cells: pd.DataFrame) -> list[Row]:
    plain = cells[cells["direction"] == "none"].set_index("target")
    mine, base = plain.loc["reasoning"], plain.loc["base"]
    n = int(mine["n_rollouts"])
    return [
        Row("backtracking.reasoning", 100 * mine["backtrack_share"], "% sent.", "at most 15", n, at_least=5),
        Row("backtracking.base", 100 * base["backtrack_share"], "% sent.", "unsteered", n, at_most=0.1),
        Row("keywords.reasoning", 100 * mine["keyword_share"], "% words", "wait, hmm", n),
    ]


def causes(rates: pd.DataFrame) -> list[Row]:
    names = {(False, False): "neither", (True, False): "hesitation", (False, True): "mistake", (True, True): "both"}
    return [
        Row(
            f"rule.{names[bool(row['hesitation']), bool(row['mistake'])]}",
            100 * row["rate"],
            "% steps",
            f"planted {100 * row['planted']:g}, interval {100 * row['low']:.1f} to {100 * row['high']:.1f}",
            int(row["n"]),
        )
        for _, row in rates.iterrows()
    ]


def steering(cells: pd.DataFrame, folds: pd.DataFrame, dose: float) -> list[Row]:
    by_role = dict(iter(folds.groupby("direction_role")))
    null, base, own = by_role["random"]["fold"], by_role["base"].iloc[0], by_role["reasoning"].iloc[0]
    target = cells[(cells["target"] == "base") & (cells["direction_role"] == "base") & (cells["dose"] == dose)].iloc[0]
    curve = cells[(cells["target"] == "reasoning") & (cells["direction_role"] == "base")].sort_values("dose")
    at_dose = curve[curve["dose"] == dose].iloc[0]
    last = curve.iloc[-1]
    n = int(at_dose["n_prompts"])
    spread = f"{len(null)} random directions of equal norm, {null.min():.2f} to {null.max():.2f}"
    return [
        Row("fold.base_derived", base["fold"], "x", f"{base['low']:.1f} to {base['high']:.1f}", n, at_least=4),
        Row("fold.reasoning_derived", own["fold"], "x", f"{own['low']:.1f} to {own['high']:.1f}", n),
        Row("fold.random_median", float(null.median()), "x", spread, n, at_most=2),
        Row("base_target", 100 * target["backtrack_share"], "% sent.", f"dose {dose:g}x", n, at_most=0.5),
        Row("coherent", 100 * at_dose["coherent_share"], "% texts", f"dose {dose:g}x", n, at_least=80),
        Row("largest_dose", 100 * last["backtrack_share"], "% sent.", f"dose {last['dose']:g}x: the U turns", n),
    ]


def offsets(cells: pd.DataFrame, directions: pd.DataFrame, site: str, window: tuple[int, int]) -> list[Row]:
    usable = cells[(cells["coherent_share"] >= 0.8) & (cells["dose"] > 0) & (cells["site"] == site)]
    before = usable[usable["offset_hi"] < 0]["backtrack_share"].max()
    at = usable[usable["offset_lo"] >= 0]["backtrack_share"].max()
    mine = directions[(directions["label"] == "backtracking") & (directions["site"] == site)]
    chosen = mine[mine["offset_lo"] == window[0]].iloc[0]
    interval = f"{chosen['cosine_low']:.2f} to {chosen['cosine_high']:.2f}, as found {chosen['raw_cosine']:.2f}"
    return [
        Row("offset.best_before", 100 * before, "% sent.", f"best coherent dose, {site}", len(usable)),
        Row("offset.best_at_start", 100 * at, "% sent.", "windows from offset 0 on", len(usable)),
        Row("cosine.base_reasoning", chosen["cosine_between_roles"], "", interval, int(chosen["n_traces"]), at_most=1),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    folders = inputs_of(run_study(load_preset("tiny"), Compute(runs=options.runs)))
    choice = read_choice(folders["offsets"])
    cells = pd.read_csv(folders["steering"] / "cells.csv")
    rows = spontaneous(cells) + causes(pd.read_csv(folders["causes"] / "rates.csv"))
    rows += steering(cells, pd.read_csv(folders["steering"] / "folds.csv"), choice.dose)
    tables = (pd.read_csv(folders["offsets"] / "cells.csv"), pd.read_csv(folders["directions"] / "directions.csv"))
    rows += offsets(*tables, choice.site, (choice.offset_lo, choice.offset_hi))
    show(f"The tiny pair: site {choice.site}, window {choice.window}, dose {choice.dose:g}x", rows, options.json)


if __name__ == "__main__":
    main()
