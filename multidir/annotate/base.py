"""What every annotator gives back, and how the labels of two of them are laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class LabelledSpan(NamedTuple):
    """`text[start:end]` and its label; None means *could not be labelled*, not *none of the labels*."""

    start: int
    end: int
    label: str | None


class Annotator(Protocol):
    """Anything that labels the sentences of a text."""

    @property
    def name(self) -> str:
        """Name and version, such as `lexical/1`; stored with every label."""
        ...

    def label(self, text: str) -> list[LabelledSpan]:
        """Spans in order, without overlap, each with its label."""
        ...


def transfer_labels(labelled: Sequence[LabelledSpan], onto: Sequence[tuple[int, int]]) -> list[str | None]:
    """The label that each span gets from another segmentation of the same text.

    A span takes the label that covers most of its characters; of two that cover equally many it takes the
    earlier one. A span that nothing covers gets None.

    Args:
        labelled: Spans in order, without overlap.
        onto: (start, end) character spans in order.
    Returns:
        One label per span of `onto`.
    """
    labels: list[str | None] = []
    first = 0
    for start, end in onto:
        while first < len(labelled) and labelled[first].end <= start:
            first += 1
        covered: dict[str | None, int] = {}
        for span in labelled[first:]:
            if span.start >= end:
                break
            shared = min(span.end, end) - max(span.start, start)
            covered[span.label] = covered.get(span.label, 0) + shared
        labels.append(max(covered, key=lambda label: covered[label]) if covered else None)
    return labels
