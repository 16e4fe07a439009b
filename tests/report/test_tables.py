"""Tables: escaped, aligned, and never silent about what is missing."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import FormatError
from multidir.report.tables import Interval, cell_text, html_table
from multidir.stats.estimate import Estimate


class _Cells(HTMLParser):
    """Collects tags, and the text of every cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = tag in ("td", "th")
        if self.inside:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data


FRAME = pd.DataFrame(
    {
        "direction": ["base", "<b>bold</b>"],
        "share": [0.36, np.nan],
        "low": [0.31, np.nan],
        "high": [0.41, np.nan],
        "n": [1200, 60],
        "coherent": [True, False],
    }
)


def test_estimates_numbers_and_unknowns() -> None:
    html = html_table(FRAME, "Cells", intervals={"backtracking": Interval("share", "low", "high", percent=True)})
    assert _Cells(html).cells == [
        *("direction", "backtracking", "n", "coherent"),
        *("base", "36% [31, 41]", "1,200", "yes"),
        *("<b>bold</b>", "not scored", "60", "no"),
    ]
    assert '<td class="number">1,200</td>' in html
    assert '<td class="unknown">not scored</td>' in html
    assert '<th scope="col">direction</th>' in html
    assert '<th scope="row">base</th>' in html
    assert "<caption>Cells</caption>" in html


def test_decimals_headers_and_percent() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0.5, 1 / 3], "z": [0.05, 0.5]})
    html = html_table(frame, "t", decimals={"y": 3}, percent=("z",), headers={"y": "why"})
    assert _Cells(html).cells == ["x", "why", "z", "1", "0.500", "5.0%", "2", "0.333", "50%"]


def test_long_tables_say_that_they_are_cut() -> None:
    html = html_table(pd.DataFrame({"x": range(10)}), "t", most_rows=3)
    assert "first 3 of 10 rows" in html
    assert _Cells(html).cells == ["x", "0", "1", "2"]
    assert "first" not in html_table(pd.DataFrame({"x": range(3)}), "t", most_rows=3)


def test_an_estimate_object_reads_as_one() -> None:
    assert cell_text(Estimate(0.31, 0.22, 0.4, 60, "jackknife")) == "0.31 [0.22, 0.40]"
    assert cell_text(Estimate(0.31, float("nan"), float("nan"), 1, "jackknife")) == "0.31 [not estimable]"
    assert (cell_text(None), cell_text(np.bool_(True)), cell_text(np.int64(3)), cell_text("x")) == (
        "not scored",
        "yes",
        "3",
        "x",
    )


def test_unknown_columns_are_all_named() -> None:
    with pytest.raises(FormatError, match="no column lo, hi, pct; there are direction"):
        html_table(FRAME, "t", intervals={"a": Interval("share", "lo", "hi")}, percent=("pct",))


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=("Cs",)), max_size=40))
def test_no_text_becomes_markup(text: str) -> None:
    parsed = _Cells(html_table(pd.DataFrame({text: [text]}), text))
    assert parsed.cells == [text.replace("_", " "), text]
    assert parsed.tags == ["div", "table", "caption", "thead", "tr", "th", "tbody", "tr", "th"]
