"""A figure with the numbers it draws, its one-sentence reading, and how it becomes SVG, PNG and CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from multidir.errors import ConfigError
from multidir.report.style import FONT_STACK, SETTINGS
from multidir.store.atomic import write_bytes_atomic

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, eq=False)
class Plot:
    """One drawn figure. In a notebook it shows itself."""

    figure: Figure
    """The figure at page width."""
    data: pd.DataFrame
    """Exactly the numbers drawn; written beside the figure as CSV."""
    name: str
    """File name without ending, unique in a report: lower case, digits, underscores."""
    title: str
    reading: str
    """One sentence: what a reader should take from the figure."""
    narrow: Figure | None = None
    """The same figure for a phone, panels below each other."""
    note: str = ""
    """What is missing from the figure: cells that could not be scored, panels that were not measured."""

    def __post_init__(self) -> None:
        """Refuse a name that is not safe as a file name and an anchor."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"{self.name!r} cannot name a figure; use lower-case letters, digits and underscores")

    def svg(self, narrow: bool = False) -> str:
        """The figure as SVG with text as text; the same input gives the same bytes."""
        figure = self.narrow if narrow and self.narrow is not None else self.figure
        salt = f"multidir/{self.name}/{'narrow' if narrow else 'wide'}"
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": salt}), io.StringIO() as out:
            figure.savefig(out, format="svg", metadata=nothing)
            return re.sub(r"'DejaVu Sans'(, sans-serif)?", FONT_STACK, out.getvalue())

    def png(self, dots_per_inch: int = 200) -> bytes:
        """The figure as PNG."""
        with matplotlib.rc_context(SETTINGS), io.BytesIO() as out:
            self.figure.savefig(out, format="png", dpi=dots_per_inch, metadata={"Software": None})
            return out.getvalue()

    def csv(self) -> str:
        """The numbers drawn, at full precision; an unknown is an empty field."""
        return self.data.to_csv(index=False, lineterminator="\n")

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        return f"Plot({self.name}, {len(self.data)} rows): {self.reading}"


def save(plot: Plot, folder: Path) -> tuple[Path, Path, Path]:
    """Write `NAME.svg`, `NAME.png` and `NAME.csv`.

    Returns:
        The three paths, in that order.
    Raises:
        ConfigError: the folder cannot be written.
    """
    paths = (folder / f"{plot.name}.svg", folder / f"{plot.name}.png", folder / f"{plot.name}.csv")
    for path, data in zip(paths, (plot.svg().encode(), plot.png(), plot.csv().encode()), strict=True):
        write_bytes_atomic(path, data)
    return paths


def compose(
    draw: Callable[[Figure, bool], None],
    data: pd.DataFrame,
    *,
    name: str,
    title: str,
    reading: str,
    note: str = "",
    wide: tuple[float, float] = (7.6, 3.5),
    narrow: tuple[float, float] = (3.7, 3.4),
) -> Plot:
    """Draw once for the page and once for a phone.

    Args:
        draw: called with an empty figure and whether it is the narrow one.
        data: the numbers that `draw` draws.
        name: see `Plot`.
        title: see `Plot`.
        reading: see `Plot`.
        note: see `Plot`.
        wide: width and height in inches.
        narrow: width and height in inches.
    """
    figures: list[Figure] = []
    for size, is_narrow in ((wide, False), (narrow, True)):
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure, is_narrow)
            _settle(figure)
            figures.append(figure)
    return Plot(figures[0], data.reset_index(drop=True), name, title, reading, figures[1], note)


def _settle(figure: Figure) -> None:
    """Lay the figure out once and for all: a second layout differs in its last bits, and so would the file's bytes."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
