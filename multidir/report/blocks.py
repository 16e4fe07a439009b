"""What a section of the page can hold: figures, tables, text, facts, code, trace excerpts, things to unfold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import pandas as pd
from markupsafe import Markup

from multidir.errors import AlignmentError
from multidir.records.text import Sentence, Trace
from multidir.report.plot import Plot
from multidir.report.tables import Interval, html_table

LABEL_CLASSES: dict[str, str] = {
    "initializing": "label-a",
    "deduction": "label-b",
    "adding-knowledge": "label-c",
    "example-testing": "label-d",
    "uncertainty-estimation": "label-e",
    "backtracking": "label-backtracking",
}
"""Style class per label of the taxonomy; another label is shown with the class `label-other`."""


@dataclass(frozen=True)
class FigureBlock:
    """A figure with title, reading, and its numbers to unfold and to download."""

    kind: ClassVar[str] = "figure"
    plot: Plot
    as_png: bool = False
    """Embed pixels instead of the drawing, for figures with very many marks."""


@dataclass(frozen=True)
class TableBlock:
    """A table made by `tables.html_table`."""

    kind: ClassVar[str] = "table"
    html: Markup

    @classmethod
    def of(
        cls, frame: pd.DataFrame, caption: str, intervals: Mapping[str, Interval] | None = None, **how: object
    ) -> TableBlock:
        """Shortcut for `TableBlock(html_table(...))`."""
        return cls(html_table(frame, caption, intervals=intervals, **how))  # type: ignore[arg-type]


@dataclass(frozen=True)
class TextBlock:
    """Paragraphs of plain text, separated by empty lines."""

    kind: ClassVar[str] = "text"
    text: str
    tone: Literal["plain", "note", "warning"] = "plain"
    """`note` and `warning` are set apart and start with that word."""

    @property
    def paragraphs(self) -> list[str]:
        """The paragraphs."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


@dataclass(frozen=True)
class FactsBlock:
    """Short facts, each a name and a value."""

    kind: ClassVar[str] = "facts"
    facts: Mapping[str, object]


@dataclass(frozen=True)
class CodeBlock:
    """A command or a snippet, shown as it is."""

    kind: ClassVar[str] = "code"
    code: str
    caption: str = ""


@dataclass(frozen=True)
class DetailsBlock:
    """Blocks behind a line that unfolds them."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: tuple[Block, ...]

    @property
    def only_tables(self) -> bool:
        """Whether it holds nothing but tables, which a page on paper leaves to the CSV files."""
        return all(isinstance(block, TableBlock) for block in self.blocks)


class Piece(NamedTuple):
    """A stretch of trace text with its label; the label None means not labelled."""

    text: str
    label: str | None

    @property
    def css(self) -> str:
        """Style class."""
        return "label-none" if self.label is None else LABEL_CLASSES.get(self.label, "label-other")


@dataclass(frozen=True)
class TraceBlock:
    """A trace as a model wrote it, its sentences coloured by label. The text is data: escaped, never markup."""

    kind: ClassVar[str] = "trace"
    title: str
    pieces: tuple[Piece, ...]
    prompt: str = ""

    @classmethod
    def of(cls, trace: Trace, sentences: Iterable[Sentence], title: str = "", prompt: str = "") -> TraceBlock:
        """The text of a trace cut at its sentences; what lies between them is unlabelled.

        Raises:
            AlignmentError: a sentence belongs to another trace, overlaps its neighbour or ends behind the text.
        """
        pieces: list[Piece] = []
        done = 0
        for sentence in sorted(sentences, key=lambda s: s.char_start):
            start, end = sentence.char_start, sentence.char_end
            if sentence.trace_id != trace.id or start < done or end > len(trace.text):
                raise AlignmentError(
                    f"trace {trace.id}: sentence {sentence.index} of trace {sentence.trace_id} spans characters "
                    f"{start}:{end}, which must follow {done} and end by {len(trace.text)}; label the trace again"
                )
            pieces += [Piece(trace.text[done:start], None), Piece(trace.text[start:end], sentence.label)]
            done = end
        pieces.append(Piece(trace.text[done:], None))
        return cls(title or f"Trace {trace.id}", tuple(p for p in pieces if p.text), prompt)

    @property
    def shown(self) -> tuple[Piece, ...]:
        """The pieces without the empty lines around the text, control characters made visible."""
        texts = [visible(piece.text) for piece in self.pieces]
        if texts:
            texts[0], texts[-1] = texts[0].lstrip("\n"), texts[-1].rstrip("\n")
        return tuple(Piece(text, piece.label) for text, piece in zip(texts, self.pieces, strict=True) if text)

    @property
    def legend(self) -> list[Piece]:
        """One piece per label in use, in the order of the taxonomy."""
        used = {p.label for p in self.pieces if p.text.strip()}
        order = [*LABEL_CLASSES, *sorted(label for label in used if label and label not in LABEL_CLASSES)]
        pieces = [Piece(label, label) for label in order if label in used]
        return [*pieces, Piece("not labelled", None)] if None in used else pieces


class Shade(NamedTuple):
    """A stretch of text whose tokens share a level of shading and a place."""

    text: str
    level: int
    """-4..4: how far the number lies from its mean, in half standard deviations, 4 standing for two and more."""
    place: Literal["", "before", "labelled"] = ""
    """Whether it lies in the window before a sentence with the label, or in one."""

    @property
    def css(self) -> str:
        """Style classes."""
        shade = f"shade-{'up' if self.level > 0 else 'down'}-{abs(self.level)}" if self.level else ""
        return " ".join(part for part in (shade, f"place-{self.place}" if self.place else "") if part)


@dataclass(frozen=True)
class ShadedBlock:
    """A trace with every token shaded by a number. The text is data: escaped, never markup."""

    kind: ClassVar[str] = "shaded"
    title: str
    shades: tuple[Shade, ...]

    @classmethod
    def of(cls, tokens: pd.DataFrame, title: str) -> ShadedBlock:
        """Neighbouring tokens of one level and place as one stretch.

        Args:
            tokens: in order, with columns text, z (standard deviations, nan is not shaded), labelled and before (bool).
            title: above the text.
        """
        shades: list[Shade] = []
        columns = (tokens[name] for name in ("text", "z", "labelled", "before"))
        for text, z, labelled, before in zip(*columns, strict=True):
            level = 0 if pd.isna(z) else max(-4, min(4, int(2 * z)))
            found = Shade(visible(str(text)), level, "labelled" if labelled else "before" if before else "")
            if shades and shades[-1][1:] == found[1:]:
                found = found._replace(text=shades.pop().text + found.text)
            shades.append(found)
        return cls(title, tuple(shades))


@dataclass(frozen=True)
class ViewerBlock:
    """The trace viewer (see `view.viewer_html`); one per page, and not inside something to unfold."""

    kind: ClassVar[str] = "viewer"
    html: Markup


Block = (
    FigureBlock
    | TableBlock
    | TextBlock
    | FactsBlock
    | CodeBlock
    | DetailsBlock
    | TraceBlock
    | ShadedBlock
    | ViewerBlock
)


_HIDDEN = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"},  # a browser would drop them
    **dict.fromkeys([*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0x2426),  # or turn text round
}


def visible(text: str) -> str:
    """Control characters and marks that turn the direction of text as signs of their own; newline and tab stay."""
    return text.translate(_HIDDEN)
