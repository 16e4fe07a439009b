"""The page on which a person labels sentences: one file, no network, and nothing on it that says what others think."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from multidir.annotate.human import FORMAT, VERSION, text_hash
from multidir.annotate.segment import split_sentences
from multidir.errors import ConfigError
from multidir.records.taxonomy import Taxonomy
from multidir.report.inline import script_data, script_hash

MOST_LABELS = 9
"""As many as there are digits to press."""


@dataclass(frozen=True)
class Shown:
    """One sentence to label, with what stands around it."""

    text: str
    """Hash of the text it is from (see `annotate.human.text_hash`)."""
    start: int
    end: int
    before: tuple[str, ...]
    sentence: str
    after: tuple[str, ...]


def draw_sentences(texts: Sequence[str], n: int, before: int, after: int, seed: int) -> tuple[list[Shown], int]:
    """Sentences of some texts in random order, every one as likely as any other; of equal texts, one.

    Args:
        texts: reasoning traces.
        n: how many to draw; all when there are fewer.
        before: sentences shown before each.
        after: sentences shown after each.
        seed: of the draw and the order.
    Returns:
        The sentences, and how many there were to choose from.
    """
    texts = list(dict.fromkeys(texts))  # a text that was written twice is labelled once
    spans = [split_sentences(text) for text in texts]
    all_places = [(t, i) for t, found in enumerate(spans) for i in range(len(found))]
    order = np.random.default_rng(seed).permutation(len(all_places))[:n]
    return [_shown(texts[t], spans[t], i, before, after) for t, i in (all_places[k] for k in order)], len(all_places)


def _shown(text: str, spans: Sequence[tuple[int, int]], index: int, before: int, after: int) -> Shown:
    cut = [text[start:end] for start, end in spans]
    start, end = spans[index]
    around = tuple(cut[max(0, index - before) : index]), tuple(cut[index + 1 : index + 1 + after])
    return Shown(text_hash(text), start, end, around[0], cut[index], around[1])


def labelling_page(items: Sequence[Shown], taxonomy: Taxonomy) -> str:
    """The page as one HTML document; model text is data in it, never markup.

    Args:
        items: sentences in the order in which they are shown.
        taxonomy: the labels that can be given.
    Raises:
        ConfigError: no sentence, or more labels than keys.
    """
    if not items or len(taxonomy.names) > MOST_LABELS:
        raise ConfigError(
            f"a page needs sentences and at most {MOST_LABELS} labels; got {len(items)} and {len(taxonomy.names)}"
        )
    content = {
        "format": FORMAT,
        "version": VERSION,
        "taxonomy": str(taxonomy),
        "items": [asdict(item) for item in items],
    }
    digest = hashlib.sha256(json.dumps([content, taxonomy.content_hash]).encode()).hexdigest()
    script = _file("labelling.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_file("labelling.html.j2")).render(
        taxonomy=taxonomy,
        data=script_data({**content, "hash": digest}),
        script=Markup(script),
        script_hash=script_hash(script),
    )


@cache
def _file(name: str) -> str:
    return resources.files("multidir.report").joinpath(name).read_text(encoding="utf-8")
