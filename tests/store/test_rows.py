"""Records survive the way through JSON lines; broken and torn lines are named."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import FormatError
from multidir.records.outcome import Condition
from multidir.stats.estimate import Estimate
from multidir.store.plain import build, plain
from multidir.store.rows import append_rows, iterate_rows, read_rows, repair_tail, write_rows


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Row:
    name: str
    where: Condition
    value: float
    count: int | None
    pair: tuple[int, str]
    many: tuple[float, ...] = ()
    estimates: dict[str, Estimate] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    colour: Colour = Colour.RED
    kind: Literal["a", "b"] = "a"


def make(name: str = "x", value: float = 0.5, count: int | None = 3) -> Row:
    estimate = Estimate(1.0, 0.5, 2.0, 7, "bootstrap")
    return Row(name, Condition("base", "v", 0.25), value, count, (1, "é"), (1.0, math.inf), {"e": estimate}, {"k": [1]})


def test_rows_come_back_as_the_same_records(tmp_path: Path) -> None:
    rows = [make(), make("line\nbreak \u2028 \x85", count=None)]
    write_rows(tmp_path / "t.jsonl", rows[:1])
    append_rows(tmp_path / "t.jsonl", rows[1:])
    assert read_rows(tmp_path / "t.jsonl", Row) == rows
    assert (tmp_path / "t.jsonl").read_bytes().count(b"\n") == 2
    assert next(iterate_rows(tmp_path / "t.jsonl", dict))["where"]["target"] == "base"


def test_an_unknown_number_stays_unknown(tmp_path: Path) -> None:
    write_rows(tmp_path / "t.jsonl", [make(value=math.nan)])
    assert "null" in (tmp_path / "t.jsonl").read_text()
    assert math.isnan(read_rows(tmp_path / "t.jsonl", Row)[0].value)


@given(
    name=st.text(),
    value=st.floats(allow_nan=False),
    count=st.none() | st.integers(),
    many=st.lists(st.floats(allow_nan=False)),
)
def test_plain_and_build_are_inverse(name: str, value: float, count: int | None, many: list[float]) -> None:
    row = Row(name, Condition("base", "v", 0.25), value, count, (1, "x"), tuple(many))
    assert build(Row, plain(row)) == row


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"target": "base"}\n', r"t.jsonl:2: not a Condition: missing direction, dose"),
        ('{"target": "base", "direction": "v", "dose": 1, "x": 1}\n', r"t.jsonl:2: not a Condition: unknown x"),
        ('{"target": "base", "direction": "v", "dose": true}\n', r"t.jsonl:2: dose: expected float, got True"),
        ('{"target": 3, "direction": "v", "dose": 1}\n', r"t.jsonl:2: target: expected str, got 3"),
        ('{"target": \n', r"t.jsonl:2: not JSON"),
        ("\n", r"t.jsonl:2: not JSON"),
        ('{"target": "base", "dir', r"t.jsonl:2: torn last line.*repair_tail"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "t.jsonl"
    write_rows(path, [Condition("base", "v", 1.0)])
    with path.open("a") as file:
        file.write(line)
    with pytest.raises(FormatError, match=sentence):
        read_rows(path, Condition)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"absent.jsonl does not exist: expected JSON lines of Condition"):
        read_rows(tmp_path / "absent.jsonl", Condition)


@pytest.mark.parametrize("torn", [1, 100, 70_000, 200_000])
def test_a_torn_tail_is_dropped_and_nothing_else(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "t.jsonl"
    rows = [Condition("base", "v" * 1000, float(i)) for i in range(3)]
    append_rows(path, rows)
    with path.open("ab") as file:
        file.write(b"x" * torn)
    with pytest.raises(FormatError, match="call repair_tail first"):
        append_rows(path, rows)
    assert repair_tail(path) == torn
    assert repair_tail(path) == 0
    append_rows(path, rows)
    assert read_rows(path, Condition) == rows + rows


def test_repair_of_a_single_torn_line_and_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("half")
    assert repair_tail(tmp_path / "t.jsonl") == 4
    assert (tmp_path / "t.jsonl").read_bytes() == b""
    assert repair_tail(tmp_path / "absent") == 0
