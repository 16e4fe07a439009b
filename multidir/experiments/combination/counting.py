"""From a checked outcomes table to counts by prompt and cell, one tally per model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.combination.outcomes_table import JOIN, PREFIX, UNKNOWN
from multidir.experiments.combination.tally import Tally
from multidir.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Counted:
    """What a table holds, by model, and what had to be left out."""

    tallies: dict[str, Tally]
    """By name of the steered model; the name is empty without a column `model`."""
    notes: tuple[str, ...]

    @property
    def target(self) -> str:
        """The model that the verdict is about: the reasoning model, or the only one.

        Raises:
            DesignError: several models, none of them called `reasoning`.
        """
        if "reasoning" in self.tallies or len(self.tallies) == 1:
            return "reasoning" if "reasoning" in self.tallies else next(iter(self.tallies))
        raise DesignError(
            f"the table holds models {', '.join(self.tallies)}; call the one that the verdict is about `reasoning`"
        )


def where(table: pd.DataFrame, *stand: str) -> pd.DataFrame:
    """The rows of places where just these directions stand in the text already; none given: where none stands.

    Args:
        table: From `check_outcomes`.
        stand: Names of directions.
    """
    wanted = set(stand)
    fits = {text: text != UNKNOWN and set(text.split(JOIN)) - {""} == wanted for text in set(table["standing"])}
    return table[table["standing"].map(fits).astype(bool)]


def count(table: pd.DataFrame) -> Counted:
    """Add up rollouts by prompt and cell; prompts are the same, in the same order, in every tally.

    Places are added up whatever stands there; take the rows of some with `where` first.

    Args:
        table: From `check_outcomes`.
    Raises:
        DesignError: no rollout was scored.
    """
    table = whole_rollouts(table)
    known = table["sentences"].notna()
    flags = [f for f in ("loop", "coherent") if table[f].notna().any()]
    for flag in flags:
        # a control whose loops nobody looked at is counted all the same; a rollout that could not be judged is not
        looked_at = table.groupby(["model", "control"])[flag].transform("count") > 0
        known &= table[flag].notna() | ~looked_at
    scored = table[known & (table["sentences"] > 0)]
    if scored.empty:
        raise DesignError(f"none of {len(table)} rollouts was scored, so there is nothing to estimate")
    prompts = tuple(sorted(set(scored["prompt"])))
    doses = [c for c in table.columns if c.startswith(PREFIX)]
    tallies = {str(name): _tally(part, doses, prompts, flags) for name, part in scored.groupby("model")}
    notes = []
    if (lost := len(table) - len(scored)) > 0:
        notes.append(f"{lost} of {len(table)} rollouts were not scored or have no sentence; they are left out.")
    if (unsound := int((~_sound(scored)).sum())) > 0:
        notes.append(
            f"{unsound} of {len(scored)} rollouts loop or are not coherent; "
            "they count with their sentences and without their backtracks."
        )
    return Counted(tallies, tuple(notes))


def whole_rollouts(table: pd.DataFrame) -> pd.DataFrame:
    """One row per rollout, whatever stands at its places."""
    if table["standing"].nunique() < 2:
        return table
    doses = [c for c in table.columns if c.startswith(PREFIX)]
    by = table.groupby(["model", "control", *doses, "prompt", "rollout"], sort=False, as_index=False)
    return by.agg(
        sentences=("sentences", "sum"),
        backtracks=("backtracks", "sum"),
        **{column: (column, "first") for column in ("loop", "coherent", "category", "standing")},
    )


def _sound(rows: pd.DataFrame) -> pd.Series:
    return ~(rows["loop"].eq(1) | rows["coherent"].eq(0))


def _tally(rows: pd.DataFrame, doses: list[str], prompts: tuple[str, ...], flags: list[str]) -> Tally:
    keys = rows[[*doses, "control"]]
    cells = keys.drop_duplicates().sort_values(["control", *doses], ignore_index=True)
    place = {tuple(row): i for i, row in enumerate(cells.itertuples(index=False, name=None))}
    cell = np.array([place[row] for row in keys.itertuples(index=False, name=None)], dtype=np.intp)
    prompt = np.searchsorted(np.array(prompts), rows["prompt"].to_numpy().astype(str))
    sound = _sound(rows).to_numpy()
    n, y = rows["sentences"].to_numpy(np.float64), rows["backtracks"].to_numpy(np.float64) * sound
    # a loop can be very long: it weighs no more than a usual rollout
    usual = float(np.median(n[sound])) if sound.any() else 1.0
    n = np.where(sound, n, np.minimum(n, usual))
    turn = rows.groupby([prompt, cell]).cumcount().to_numpy() % 2
    shape = (len(prompts), len(cells))

    def total(values: FloatArray | IntArray) -> FloatArray:
        flat = np.bincount(prompt * shape[1] + cell, weights=values, minlength=shape[0] * shape[1])
        return np.asarray(flat.reshape(shape), dtype=np.float64)

    by_prompt = rows.drop_duplicates("prompt").set_index("prompt")["category"]
    categories = tuple(str(by_prompt.get(p, "")) for p in prompts) if (by_prompt != "").any() else None
    return Tally(
        directions=tuple(c.removeprefix(PREFIX) for c in doses),
        doses=cells[doses].to_numpy(np.float64),
        controls=tuple(cells["control"]),
        prompts=prompts,
        y=total(y),
        n=total(n),
        half_y=total(y * (turn == 0)),
        half_n=total(n * (turn == 0)),
        rollouts=total(np.ones(len(rows))),
        loops=total(rows["loop"].to_numpy(np.float64)) if "loop" in flags else None,
        incoherent=total(1 - rows["coherent"].to_numpy(np.float64)) if "coherent" in flags else None,
        categories=categories,
    )
