"""The outcomes table of a combination study: one row per rollout, checked as a whole, counted by prompt and cell.

| column | |
|---|---|
| `prompt` | id of the prompt; intervals resample prompts |
| `rollout` | number or name of the rollout within its prompt and cell |
| `dose_NAME`, ... | dose of each direction, 0 where it is not applied; at least two such columns |
| `sentences`, `backtracks` | counts; both empty where a rollout could not be scored |
| `loop`, `coherent` | optional, 0 or 1: the rollout repeats itself; it passes the coherence gate |
| `split` | optional: `confirm` and others; only the rows of one split are read, and no prompt may be in two |
| `category` | optional: of the prompt |
| `model` | optional: `reasoning` or `base`, which model was steered |
| `control` | optional: which control a row belongs to, see `CONTROLS`; empty for the directions themselves |
| `standing` | optional: directions that stand in the text already where these sentences begin, see below |

A control row has the doses of the row that it stands beside: `control = random:7` with `dose_a = 1, dose_b = 1` is the
seventh pair of random vectors, of the norms of a and b at these doses. A negative dose is a flipped direction. The sham
pair and the norm-matched single need no rows of their own: they are rungs of the ladders.

With `standing` a rollout has one row for everything that stands at some of its places: `a + b` for both, empty for
none, `unknown` where nobody can say. It has to be known without steering, or the split selects on what steering did.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from multidir.errors import FormatError

PREFIX = "dose_"
REQUIRED = ("prompt", "rollout", "sentences", "backtracks")
OPTIONAL = ("loop", "coherent", "split", "category", "model", "control", "standing")
UNKNOWN = "unknown"
"""In `standing`: nobody can say."""
JOIN = " + "
"""Between the directions of `standing`."""
CONTROLS = {
    "random": "random:N, the N-th pair of random vectors in place of the directions, same norm and covariance",
    "beside": "beside:NAME, a random vector in place of direction NAME, the other one as it is",
    "orthogonal": "orthogonal, the directions made orthogonal without preferring one (Loewdin)",
    "token": "token, directions that write the same words but were not found as causes",
    "plant": "plant:additive, plant:and, plant:threshold or plant:antagonist, known answers on the same model",
}
"""Kinds of control rows, and how they are written."""


def read_outcomes(path: Path) -> pd.DataFrame:
    """Read a table from `.parquet` or `.csv`.

    Raises:
        FormatError: another ending, a file that cannot be read as what its name says, or a direction that is never
            applied.
    """
    path = Path(path)
    try:
        frame = _read(path)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    if unused := [str(c) for c in frame.columns if str(c).startswith(PREFIX) and frame[c].eq(0).to_numpy().all()]:
        raise FormatError(
            f"{path}: {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} 0 in every row; leave the column of a "
            "direction out that is never applied"
        )
    return frame


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix != ".csv":
        raise FormatError(f"{path}: an outcomes table ends in .parquet or .csv")
    texts = ("prompt", "rollout", "split", "category", "model", "control", "standing")
    frame = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
    # pandas would call the second column of a name `NAME.1`, and it would be a direction of its own
    frame.columns = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
    return frame


def direction_names(frame: pd.DataFrame) -> list[str]:
    """The directions of a table: its columns `dose_NAME` without the prefix."""
    return [str(c).removeprefix(PREFIX) for c in frame.columns if str(c).startswith(PREFIX)]


def check_outcomes(frame: pd.DataFrame, split: str = "confirm") -> pd.DataFrame:
    """The rows to analyse, every column present and of its type.

    Args:
        frame: As in the module docstring.
        split: Which rows are read when there is a column `split`.
    Returns:
        prompt, rollout, model, control, category, standing as text; doses as float; sentences and backtracks as float
        with nan for rollouts that were not scored; loop and coherent as float, nan throughout without such a column.
    Raises:
        FormatError: everything that is wrong with the table, in one message.
    """
    doses = [c for c in frame.columns if str(c).startswith(PREFIX)]
    problems = list(_column_problems(frame, doses))
    if not problems:
        table = _typed(frame, doses)
        problems = list(_value_problems(table, doses))
    if problems:
        raise FormatError(f"the outcomes table cannot be used: {'; '.join(problems)}")
    if "split" in frame.columns:
        table = table[table["split"] == split].reset_index(drop=True)
        if table.empty:
            found = ", ".join(sorted(frame["split"].astype(str).unique()))
            raise FormatError(f"the outcomes table has no row of split {split!r}; there are {found}")
    return table


def _column_problems(frame: pd.DataFrame, doses: list[str]) -> Iterator[str]:
    if twice := sorted({str(c) for c in frame.columns[frame.columns.duplicated()]}):
        yield f"more than one column {', '.join(twice)}"
    missing = [c for c in REQUIRED if c not in frame.columns]
    if missing:
        yield f"missing column{'s' * (len(missing) > 1)} {', '.join(missing)}"
    if len(doses) < 2:
        yield f"a combination needs two columns {PREFIX}NAME or more, got {', '.join(doses) or 'none'}"
    for column in frame.columns:
        if column not in (*REQUIRED, *OPTIONAL, *doses):
            near = difflib.get_close_matches(str(column), [*REQUIRED, *OPTIONAL, PREFIX], n=1)
            hint = f"did you mean {near[0]!r}?" if near else "leave it out"
            yield f"unknown column {column!r} ({hint})"
    if frame.empty:
        yield "it has no rows"


def _typed(frame: pd.DataFrame, doses: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(index=frame.index)
    for column in ("prompt", "rollout", "model", "control", "category", "split", "standing"):
        given = frame[column] if column in frame.columns else pd.Series("", index=frame.index)
        table[column] = given.astype(object).where(given.notna(), "").astype(str)
    if "standing" not in frame.columns:
        table["standing"] = UNKNOWN
    for column in (*doses, "sentences", "backtracks", "loop", "coherent"):
        given = frame[column] if column in frame.columns else pd.Series(np.nan, index=frame.index)
        # what is no number becomes infinite here, and is complained about with the other values
        numbers = pd.to_numeric(given, errors="coerce").astype(np.float64).round(9)
        table[column] = numbers.mask(numbers.isna() & given.notna(), np.inf)
    return table.reset_index(drop=True)


def _value_problems(table: pd.DataFrame, doses: list[str]) -> Iterator[str]:
    n, y = table["sentences"], table["backtracks"]
    scored = n.notna() & y.notna()

    def rows(wrong: pd.Series, what: str) -> Iterator[str]:
        if wrong.any():
            first = table[wrong].iloc[0]
            where = f"the first is prompt {first['prompt']}, rollout {first['rollout']}"
            yield f"{what} in {int(wrong.sum())} of {len(table)} rows ({where})"

    yield from rows(table["prompt"].eq("") | table["rollout"].eq(""), "no prompt or no rollout")
    yield from rows(~table[doses].map(np.isfinite).all(axis=1), "a dose that is no finite number")
    yield from rows(n.notna() ^ y.notna(), "one of sentences and backtracks without the other")
    odd = scored & ~((n % 1 == 0) & (y % 1 == 0) & (y >= 0) & (n >= 0))
    yield from rows(odd, "counts that are not whole numbers from 0 on")
    yield from rows(scored & ~odd & (y > n), "more backtracks than sentences")
    for flag in ("loop", "coherent"):
        yield from rows(table[flag].notna() & ~table[flag].isin([0, 1]), f"{flag} neither 0 nor 1")
    key = ["model", "prompt", "rollout", "control", "standing", *doses]
    yield from rows(table.duplicated(key), "the same prompt, rollout, doses and control again")
    for column in ("split", "category"):
        several = table.groupby("prompt")[column].nunique()
        if (several > 1).any():
            names = ", ".join(map(str, several[several > 1].index[:5]))
            count = int((several > 1).sum())
            yield f"{count} prompt{'s are' if count > 1 else ' is'} in more than one {column}: {names}"
    directions = direction_names(table)
    yield from _control_problems(table, directions)
    standing = {name for text in set(table["standing"]) for name in text.split(JOIN) if text not in ("", UNKNOWN)}
    if lost := sorted(standing - set(directions)):
        yield f"standing names {', '.join(lost)}; there are the directions {', '.join(directions)}, joined by `{JOIN}`"


def _control_problems(table: pd.DataFrame, names: list[str]) -> Iterator[str]:
    for control in sorted(set(table["control"]) - {""}):
        kind, _, label = control.partition(":")
        needs_label = kind in ("random", "beside", "plant")
        if kind not in CONTROLS or needs_label != bool(label):
            yield f"unknown control {control!r}; write {'; or '.join(CONTROLS.values())}"
        elif kind == "beside" and label not in names:
            yield f"control {control!r} names no direction; there are {', '.join(names)}"
        elif kind == "plant" and label not in ("additive", "and", "threshold", "antagonist"):
            yield f"unknown control {control!r}; write {CONTROLS['plant']}"
