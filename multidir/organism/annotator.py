"""The tiny pair's exact annotator: its grammar read back, as an annotator like any other."""

from __future__ import annotations

from multidir.annotate.base import LabelledSpan
from multidir.organism.grammar import parse


class GrammarAnnotator:
    """Labels text of the tiny pair's language exactly; a sentence outside the language gets None."""

    @property
    def name(self) -> str:
        """Stored with every label."""
        return "grammar/1"

    def label(self, text: str) -> list[LabelledSpan]:
        """Every sentence with its label."""
        return [LabelledSpan(found.start, found.end, found.label) for found in parse(text)]
