"""Reader for published annotated traces: JSON lines with `["label"] text ["end-section"]` sections.

One object per line with id, category, problem, reasoning and annotated. The annotated text repeats the
reasoning with section marks; white space may differ, and a judge model sometimes edits a few words. Each
section is found again in the reasoning by a cursor that only moves forward, so that its span is exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidir.annotate.base import LabelledSpan
from multidir.errors import AlignmentError, FormatError

KEYS = ("id", "category", "problem", "reasoning", "annotated")
_MARK = re.compile(r'\["([^"\]\n]{1,40})"\]')
_END = "end-section"


@dataclass(frozen=True)
class PublishedSection:
    """One labelled section; `start` and `end` are None when the judge changed its words."""

    label: str
    """As written in the file, also when it is none of the taxonomy's."""
    text: str
    """As written in the file, without surrounding space."""
    start: int | None
    """Characters into `reasoning`."""
    end: int | None
    closed: bool = True
    """False when the next section or the end of the text came before its end mark."""


@dataclass(frozen=True)
class PublishedTrace:
    """One trace with its problem and its labelled sections in order."""

    id: str
    category: str
    problem: str
    reasoning: str
    sections: tuple[PublishedSection, ...]

    @property
    def unaligned(self) -> tuple[int, ...]:
        """Indices of sections whose text is not in `reasoning`."""
        return tuple(i for i, section in enumerate(self.sections) if section.start is None)

    def spans(self, labels: Iterable[str] | None = None) -> list[LabelledSpan]:
        """Aligned sections in order; a label outside `labels` becomes None (not labelled)."""
        known = None if labels is None else frozenset(labels)
        return [
            LabelledSpan(s.start, s.end, s.label if known is None or s.label in known else None)
            for s in self.sections
            if s.start is not None and s.end is not None
        ]


def read_published(path: Path | str, max_unaligned: float = 0.1) -> list[PublishedTrace]:
    """Read a file of annotated traces.

    Args:
        path: JSON lines file.
        max_unaligned: Largest share of a trace's sections that may be missing from its reasoning. A few edits
            by the judge are usual; more means that labels and text belong to different traces.
    Returns:
        Traces in file order.
    Raises:
        FormatError: no such file, a line that is not such an object, a repeated id, or no line at all.
        AlignmentError: a trace has more unaligned sections than allowed.
    """
    source = Path(path)
    traces: list[PublishedTrace] = []
    seen: set[str] = set()
    for number, row in _rows(source):
        trace = _trace(row)
        if trace.id in seen:
            raise FormatError(f"{source}:{number}: id {trace.id!r} was used before; ids must be unique")
        _check_alignment(trace, max_unaligned, f"{source}:{number}")
        seen.add(trace.id)
        traces.append(trace)
    if not traces:
        raise FormatError(f"{source}: no trace in it; expected one JSON object per line with {', '.join(KEYS)}")
    return traces


def parse_sections(annotated: str, reasoning: str) -> list[PublishedSection]:
    """Sections of an annotated text with their spans in the plain text.

    A label without an end mark before the next label ends there: some judges close only the last section of
    a paragraph. Text outside all sections is left out.

    Args:
        annotated: `["label"] text ["end-section"] ...`.
        reasoning: The plain text that was annotated.
    """
    marks = list(_MARK.finditer(annotated))
    sections: list[PublishedSection] = []
    cursor = 0
    for i, mark in enumerate(marks):
        after = marks[i + 1] if i + 1 < len(marks) else None
        text = annotated[mark.end() : after.start() if after else len(annotated)].strip()
        if mark[1] == _END or not text:
            continue
        found = _find(text, reasoning, cursor)
        start, end = found or (None, None)
        cursor = cursor if end is None else end
        sections.append(PublishedSection(mark[1], text, start, end, after is not None and after[1] == _END))
    return sections


def _find(text: str, reasoning: str, cursor: int) -> tuple[int, int] | None:
    """The first span of the text at or after the cursor, any white space matching any other."""
    loose = re.compile(r"\s+".join(re.escape(word) for word in text.split())).search(reasoning, cursor)
    return None if loose is None else loose.span()


def _rows(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank, checked."""
    try:
        lines = source.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{source}: cannot be read as UTF-8 text ({error})") from error
    needed = ", ".join(KEYS)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise FormatError(f"{source}:{number}: not valid JSON ({error}); repair or remove the line") from error
        if not isinstance(row, dict):
            raise FormatError(f"{source}:{number}: expected an object with {needed}, got {type(row).__name__}")
        wrong = [key for key in KEYS if not isinstance(row.get(key), str)]
        if wrong:
            raise FormatError(f"{source}:{number}: {', '.join(wrong)} missing or not text; a trace needs {needed}")
        yield number, row


def _trace(row: dict[str, Any]) -> PublishedTrace:
    """A checked row as a trace."""
    sections = tuple(parse_sections(row["annotated"], row["reasoning"]))
    return PublishedTrace(row["id"], row["category"], row["problem"], row["reasoning"], sections)


def _check_alignment(trace: PublishedTrace, allowed: float, where: str) -> None:
    """Refuse a trace whose labels belong to another text."""
    lost = trace.unaligned
    if lost and len(lost) > allowed * len(trace.sections):
        raise AlignmentError(
            f"{where}: trace {trace.id}: {len(lost)} of {len(trace.sections)} sections are not in the reasoning, first "
            f"section {lost[0]} ({trace.sections[lost[0]].text[:60]!r}); check that labels and text belong together"
        )
