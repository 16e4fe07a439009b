"""Data frames as accessible HTML tables: everything escaped, numbers aligned, estimates with their interval."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup, escape

from multidir.errors import FormatError
from multidir.report import words
from multidir.stats.estimate import Estimate


class Interval(NamedTuple):
    """A column that is made of three: value with low and high."""

    value: str
    low: str
    high: str
    percent: bool = False
    decimals: int = 2


def html_table(
    frame: pd.DataFrame,
    caption: str,
    *,
    intervals: Mapping[str, Interval] | None = None,
    percent: tuple[str, ...] = (),
    decimals: Mapping[str, int] | None = None,
    headers: Mapping[str, str] | None = None,
    most_rows: int = 200,
) -> Markup:
    """An HTML table; a missing value reads `not scored`, never 0 and never an empty cell.

    Args:
        frame: columns are shown in order; the first one names the row.
        caption: what the table shows, plain text.
        intervals: header -> the three columns it is made of; it stands where the value column stood.
        percent: columns of shares shown as percent.
        decimals: column -> digits after the point (2 otherwise; whole columns show none).
        headers: column -> header to show.
        most_rows: rows beyond this number are left out, and the table says so.
    Raises:
        FormatError: a column named in `intervals`, `percent` or `decimals` is not in the frame.
    """
    intervals, decimals, headers = dict(intervals or {}), dict(decimals or {}), dict(headers or {})
    named = [c for i in intervals.values() for c in (i.value, i.low, i.high)]
    missing = [c for c in [*named, *percent, *decimals] if c not in frame.columns]
    if missing:
        raise FormatError(f"table {caption!r}: no column {', '.join(missing)}; there are {_names(frame)}")
    columns = _columns(frame.head(most_rows), intervals, percent, decimals, headers)
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(_align(right), header) for header, right, _ in columns
    )
    body = Markup("\n").join(_row(columns, index) for index in range(min(len(frame), most_rows)))
    left_out = len(frame) - most_rows
    more = f" (first {most_rows} of {len(frame)} rows; all of them are in the CSV)" if left_out > 0 else ""
    return Markup(
        '<div class="table" tabindex="0" role="region" aria-label="{0}"><table>\n<caption>{0}{1}</caption>\n'
        "<thead><tr>{2}</tr></thead>\n<tbody>\n{3}\n</tbody></table></div>"
    ).format(caption, more, head, body)


def cell_text(value: Any, decimals: int = 2, percent: bool = False) -> str:
    """One value as people read it."""
    if isinstance(value, Estimate):
        return words.estimate(value.value, value.low, value.high, decimals)
    if words.is_unknown(value):
        return words.UNSCORED
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        return words.percent(float(value)) if percent else f"{float(value):,.{decimals}f}"
    return str(value)


def _names(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns)) or "none"


def _columns(
    frame: pd.DataFrame,
    intervals: dict[str, Interval],
    percent: tuple[str, ...],
    decimals: dict[str, int],
    headers: dict[str, str],
) -> list[tuple[str, bool, list[str]]]:
    """(header, aligned right, cell texts) for every column shown."""
    starts = {interval.value: header for header, interval in intervals.items()}
    hidden = {c for interval in intervals.values() for c in (interval.low, interval.high)}
    shown: list[tuple[str, bool, list[str]]] = []
    for name in frame.columns:
        if name in starts:
            shown.append((starts[name], True, _interval_texts(frame, intervals[starts[name]])))
        elif name not in hidden:
            digits = decimals.get(name, 0 if _whole(frame[name]) else 2)
            texts = [cell_text(value, digits, name in percent) for value in frame[name]]
            shown.append((headers.get(name, str(name).replace("_", " ")), _is_numeric(frame[name]), texts))
    return shown


def _interval_texts(frame: pd.DataFrame, interval: Interval) -> list[str]:
    rows = zip(frame[interval.value], frame[interval.low], frame[interval.high], strict=True)
    if interval.percent:
        return [words.percent_estimate(*row) for row in rows]
    return [words.estimate(*row, decimals=interval.decimals) for row in rows]


def _row(columns: list[tuple[str, bool, list[str]]], index: int) -> Markup:
    cells = []
    for place, (_, right, texts) in enumerate(columns):
        tag = Markup('th scope="row"') if place == 0 else Markup("td")
        text = texts[index]
        unknown = Markup(' class="unknown"') if text == words.UNSCORED else Markup("")
        align = unknown or _align(right)
        cells.append(Markup("<{}{}>{}</{}>").format(tag, align, escape(text), tag.split()[0]))
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _align(right: bool) -> Markup:
    return Markup(' class="number"') if right else Markup("")


def _is_numeric(column: pd.Series) -> bool:
    if column.dtype == object:
        return any(isinstance(value, Estimate) for value in column)
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _whole(column: pd.Series) -> bool:
    known = column.dropna()
    return _is_numeric(column) and not known.empty and column.dtype != object and bool((known % 1 == 0).all())
