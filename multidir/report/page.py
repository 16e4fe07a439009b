"""The report page: one HTML file with everything in it, readable on paper and phone, in light and in dark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from multidir.errors import ConfigError
from multidir.records.verdict import Status, Verdict
from multidir.report.blocks import Block, DetailsBlock, FigureBlock, ViewerBlock
from multidir.report.inline import FigureView, script_hash, view
from multidir.report.style import FONT_STACK, TONES
from multidir.report.tables import html_table
from multidir.report.view import viewer_script
from multidir.store.atomic import write_bytes_atomic

STATUS_MARKS: dict[Status, str] = {
    Status.SUPPORTED: "✓",
    Status.REFUTED: "✗",
    Status.UNDETERMINED: "?",
    Status.INVALID: "!",
}
"""A sign beside the word, so that colour is never the only carrier."""


@dataclass(frozen=True)
class Section:
    """A part of the page with its own entry in the table of contents."""

    title: str
    lead: str
    """One or two sentences that say what the section shows; may be empty."""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to make the page again."""

    commands: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    """File or artifact -> content hash."""


@dataclass(frozen=True)
class Page:
    """Everything the report says, top to bottom."""

    title: str
    question: str
    answer_sentences: tuple[str, ...]
    """The answer in two sentences."""
    sections: tuple[Section, ...]
    verdicts: tuple[Verdict, ...] = ()
    """Those that answer the question, shown whole."""
    more_verdicts: tuple[Verdict, ...] = ()
    """Those of other claims, a line each that unfolds."""
    provenance: Provenance | None = None
    footer: str = ""

    def __post_init__(self) -> None:
        """Refuse a page without an answer and sections that cannot be told apart."""
        if not self.question.strip() or not self.answer_sentences:
            raise ConfigError(f"page {self.title!r} needs a question and at least one sentence of answer")
        titles = [section.title for section in self.sections]
        repeated = sorted({title for title in titles if titles.count(title) > 1})
        if repeated:
            raise ConfigError(f"page {self.title!r}: section titles repeat: {', '.join(repeated)}")


@dataclass(frozen=True)
class _Marked:
    """A verdict with the sign of its status."""

    verdict: Verdict
    mark: str


def render_page(page: Page) -> str:
    """The page as one HTML document without any reference to the outside."""
    anchors = _section_anchors(page.sections)
    views = _figure_views(page.sections)
    viewer = _has_viewer(page.sections)
    return _template().render(
        page=page,
        sections=list(zip(anchors, page.sections, strict=True)),
        verdicts=_marked(page.verdicts),
        more_verdicts=_marked(page.more_verdicts),
        figure_of=lambda block: views[id(block)],
        numbers_table=_numbers_table,
        css=Markup(stylesheet(viewer)),
        script=Markup(viewer_script()) if viewer else "",
        script_policy=Markup(f"; script-src '{script_hash(viewer_script())}'" if viewer else ""),
    )


def _marked(verdicts: tuple[Verdict, ...]) -> list[_Marked]:
    return [_Marked(verdict, STATUS_MARKS[verdict.status]) for verdict in verdicts]


def unbroken(text: str) -> str:
    """The text with no-break spaces inside `0.31 [0.22, 0.40]`, so that a line never splits an estimate."""
    return re.sub(r"\S+ \[[^\]]{1,40}\]", lambda found: found[0].replace(" ", "\u00a0"), text)


def write_page(page: Page, path: Path) -> Path:
    """Write the page to `path`, whole or not at all, and return the path.

    Raises:
        ConfigError: the folder cannot be written.
    """
    # a lone surrogate, which a broken decoder can produce, has no UTF-8 form and must not cost the whole page
    write_bytes_atomic(path, render_page(page).encode("utf-8", errors="replace"))
    return path


def _figure_views(sections: tuple[Section, ...]) -> dict[int, FigureView]:
    """A view per figure block, by the identity of the block; a figure shown twice gets two anchors."""
    views: dict[int, FigureView] = {}
    taken: set[str] = set()
    for block in _figure_blocks([block for section in sections for block in section.blocks]):
        if id(block) in views:
            raise ConfigError(f"figure {block.plot.name} stands twice as the same block; make a second FigureBlock")
        anchor = _unique(f"fig-{block.plot.name}", taken)
        views[id(block)] = view(block.plot, anchor, block.as_png)
    return views


def _has_viewer(sections: tuple[Section, ...]) -> bool:
    found = sum(isinstance(block, ViewerBlock) for section in sections for block in section.blocks)
    if found > 1:
        raise ConfigError(f"a page holds one trace viewer, and there are {found}")
    return bool(found)


def _figure_blocks(blocks: list[Block]) -> list[FigureBlock]:
    found: list[FigureBlock] = []
    for block in blocks:
        if isinstance(block, FigureBlock):
            found.append(block)
        elif isinstance(block, DetailsBlock):
            found += _figure_blocks(list(block.blocks))
    return found


def _section_anchors(sections: tuple[Section, ...]) -> list[str]:
    taken = {"top", "main", "contents", "provenance", "answer"}
    return [_unique(re.sub(r"[^a-z0-9]+", "-", s.title.lower()).strip("-") or "section", taken) for s in sections]


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    taken.add(candidate)
    return candidate


def _numbers_table(data: pd.DataFrame, caption: str) -> Markup:
    digits = {str(column): _digits(data[column]) for column in data.select_dtypes("float")}
    return html_table(data, caption, decimals=digits, most_rows=80)


def _digits(column: pd.Series) -> int:
    """Digits after the point that show a column exactly, four at most; the CSV holds the rest."""
    known = column.dropna()
    return next((digits for digits in range(4) if (known.round(digits) == known).all()), 4)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = unbroken
    text = resources.files("multidir.report").joinpath("template.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


@cache
def stylesheet(viewer: bool = False) -> str:
    """The style sheet, with the colours of the figures as variables, and with that of the trace viewer."""
    light = "".join(f"{tone.variable}:{tone.light};" for tone in TONES)
    dark = "".join(f"{tone.variable}:{tone.dark};" for tone in TONES)
    files = ("page.css", "view.css")[: 1 + viewer]
    sheets = [resources.files("multidir.report").joinpath(name).read_text(encoding="utf-8") for name in files]
    return (
        f":root{{{light}--plot-font:{FONT_STACK}}}\n"
        f"@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n{''.join(sheets)}"
    )
