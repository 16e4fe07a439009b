"""Joins cells with the facts of their directions, and picks the best coherent cell of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.score import BACKTRACKING
from multidir.records.direction import Direction, DirectionSet
from multidir.records.outcome import Condition, Outcome
from multidir.records.site import Site


@dataclass(frozen=True)
class Choice:
    """What a search on its own prompts settled on; later stages measure it afresh on other prompts."""

    site: str
    offset_lo: int
    offset_hi: int
    dose: float
    """Relative to the mean residual norm of the reasoning model at the site."""

    @property
    def window(self) -> str:
        """`-13..-8`, in tokens before the first token of the sentence."""
        return f"{self.offset_lo}..{self.offset_hi}"


def with_direction_facts(cells: pd.DataFrame, directions: Iterable[Direction]) -> pd.DataFrame:
    """Add role, site and offsets of each cell's direction; `none` and control directions have no offsets."""
    facts = pd.DataFrame(
        [
            {
                "direction": item.name,
                "direction_role": _origin(item),
                "site": str(item.site),
                "offset_lo": item.source.get("offsets", [np.nan, np.nan])[0],
                "offset_hi": item.source.get("offsets", [np.nan, np.nan])[1],
            }
            for item in directions
        ],
        columns=["direction", "direction_role", "site", "offset_lo", "offset_hi"],
    )
    joined = cells.merge(facts, on="direction", how="left")
    joined["direction_role"] = joined["direction_role"].fillna("none")
    return joined


def _origin(item: Direction) -> str:
    """The model a direction of the behaviour is from; `label` for another label's, else the method that made it."""
    if item.source.get("label", BACKTRACKING) != BACKTRACKING:
        return "label"
    return str(item.source.get("role", item.method))


def coherent_cells(cells: pd.DataFrame, min_coherent: float) -> pd.DataFrame:
    """Steered cells whose texts mostly pass the coherence gate and have a score at all."""
    steered = cells[cells["dose"] != 0]
    return steered[(steered["coherent_share"] >= min_coherent) & steered["backtrack_share"].notna()]


def best_coherent(cells: pd.DataFrame, min_coherent: float) -> pd.Series:
    """The coherent cell with the most backtracking; at equal shares the smaller dose.

    Raises:
        DesignError: no steered cell is coherent.
    """
    usable = coherent_cells(cells, min_coherent)
    if usable.empty:
        raise DesignError(
            f"none of {len(cells)} cells is coherent in at least {min_coherent:.0%} of its texts; try smaller doses"
        )
    return usable.sort_values(["backtrack_share", "dose"], ascending=[False, True]).iloc[0]


def best_outcomes(
    outcomes: Mapping[Condition, Sequence[Outcome]], cells: pd.DataFrame, min_coherent: float
) -> tuple[pd.Series, Sequence[Outcome]] | None:
    """The row and the outcomes of the best coherent cell; None when no cell is coherent."""
    try:
        top = best_coherent(cells, min_coherent)
    except DesignError:
        return None
    return top, outcomes[Condition(str(top["target"]), str(top["direction"]), float(top["dose"]))]


def derived(directions: DirectionSet, role: str, label: str = BACKTRACKING) -> list[Direction]:
    """The directions of a model before sentences with a label; those that name no label, as imported ones, count.

    Raises:
        DesignError: the set has none.
    """
    of_role = [item for item in directions if item.source.get("role") == role]
    found = [item for item in of_role if item.source.get("label", label) == label]
    if not found:
        raise DesignError(f"there is no {role}-derived {label} direction among {', '.join(directions.names)}")
    return found


def find_direction(directions: DirectionSet, role: str, choice: Choice, label: str = BACKTRACKING) -> Direction:
    """The direction of a role at the chosen site and window.

    Raises:
        DesignError: the set has none.
    """
    offsets = [choice.offset_lo, choice.offset_hi]
    for item in derived(directions, role, label):
        if (str(item.site), item.source.get("offsets")) == (choice.site, offsets):
            return item
    raise DesignError(
        f"no {role} {label} direction for window {choice.window} at {choice.site} among {', '.join(directions.names)}"
    )


def sites_of(directions: Iterable[Direction]) -> tuple[Site, ...]:
    """All sites, each once, in order."""
    return tuple(sorted({item.site for item in directions}))
