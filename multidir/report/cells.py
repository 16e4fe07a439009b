"""The tables that figures are drawn from: columns checked once, rows taken out by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from multidir.errors import FormatError
from multidir.report import words


def checked(
    table: pd.DataFrame, what: str, keys: Iterable[str], numbers: Iterable[str], shares: Iterable[str] = ()
) -> pd.DataFrame:
    """Keep the named columns, numbers as float64 with nan for unknown.

    Args:
        table: what the caller passed.
        what: name of the figure, for messages.
        keys: columns taken as they are.
        numbers: columns that must be numeric.
        shares: those of `numbers` that must lie in 0..1.
    Raises:
        FormatError: columns are missing (all are named), there is no row, or a column holds something else.
    """
    keys, numbers = list(keys), list(numbers)
    missing = [column for column in [*keys, *numbers] if column not in table.columns]
    if missing:
        raise FormatError(
            f"{what}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"the table has {', '.join(map(str, table.columns)) or 'no columns'}"
        )
    if table.empty:
        raise FormatError(f"{what}: the table has no rows, so there is nothing to draw")
    kept = table[[*keys, *numbers]].reset_index(drop=True)
    if "site" in kept:
        kept["site"] = ["" if words.is_unknown(site) else str(site) for site in kept["site"]]
    for column in numbers:
        kept[column] = _as_float(kept[column], what)
    outside = [c for c in shares if ((kept[c] < 0) | (kept[c] > 1)).any()]
    if outside:
        raise FormatError(f"{what}: {', '.join(outside)} must be shares between 0 and 1 (not percent)")
    return kept


def flags(table: pd.DataFrame, what: str, columns: Iterable[str]) -> pd.DataFrame:
    """The table with the named columns as booleans.

    Raises:
        FormatError: a value is missing or is neither true nor false; an unlabelled row is not a negative one.
    """
    columns = list(columns)
    wrong = [column for column in columns if not table[column].isin([True, False]).all()]
    if wrong:
        raise FormatError(f"{what}: {', '.join(wrong)} must be true or false in every row; leave out unlabelled rows")
    return table.astype(dict.fromkeys(columns, bool))


def known_values(table: pd.DataFrame, what: str, column: str, known: Iterable[str]) -> None:
    """Refuse values of a column that the figure has no meaning for.

    Raises:
        FormatError: names the unknown values and the known ones.
    """
    known = list(known)
    unknown = sorted({str(value) for value in table[column]} - set(known))
    if unknown:
        raise FormatError(f"{what}: {column} holds {', '.join(unknown)}; it must be one of {', '.join(known)}")


def one_unit(table: pd.DataFrame, what: str) -> str:
    """The dose unit of a table.

    Raises:
        FormatError: there are several.
    """
    units = sorted(map(str, table["dose_unit"].unique()))
    if len(units) > 1:
        raise FormatError(f"{what}: doses are in {words.joined(units)}; one figure shows one dose unit")
    return units[0]


def no_repeats(table: pd.DataFrame, what: str, key: list[str]) -> None:
    """Refuse a table in which a cell stands twice.

    Raises:
        FormatError: names the first repeated cell.
    """
    repeated = table[table.duplicated(key)]
    if not repeated.empty:
        first = ", ".join(f"{name} {repeated.iloc[0][name]}" for name in key)
        raise FormatError(f"{what}: {len(repeated)} cells stand twice, the first is {first}; pool them before drawing")


def unscored(data: pd.DataFrame, column: str = "value") -> str:
    """The sentence that counts what a figure had to leave out; empty when it left nothing out."""
    missing = int(data[column].isna().sum())
    return f"{missing} of {len(data)} points could not be scored and are left out." if missing else ""


def point_at(points: pd.DataFrame, **where: object) -> Any:
    """The one point with these column values, or None."""
    for column, value in where.items():
        points = points[points[column] == value]
    return None if points.empty else points.iloc[0]


def sites_of(table: pd.DataFrame) -> list[str]:
    """The sites of a table, lower layers first."""
    return sorted({str(site) for site in table["site"]}, key=lambda site: (len(site), site))


def highest(table: pd.DataFrame, column: str) -> Any:
    """The row with the highest known value in a column, or None when none is known."""
    known = table[table[column].notna()].sort_values(column, ascending=False, kind="stable")
    return None if known.empty else known.iloc[0]


def rows(table: pd.DataFrame) -> list[Any]:
    """The rows with columns as attributes."""
    return list(table.itertuples(index=False))


def _as_float(column: pd.Series, what: str) -> pd.Series:
    try:
        return pd.to_numeric(column).astype("float64")
    except (ValueError, TypeError) as error:
        raise FormatError(f"{what}: column {column.name} must hold numbers, but {error}") from error
