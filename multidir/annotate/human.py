"""A person as annotator: labels that were given on the page of data/label-by-hand and exported from it.

    {"format": "multidir-labels", "version": 1, "name": "ada", "taxonomy": "six/1",
     "labels": [{"text": <sha256 of the trace's text>, "start": 0, "end": 52, "label": "deduction"}, ...]}

A label that is null means that the person could not tell.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from multidir.annotate.base import LabelledSpan
from multidir.annotate.segment import split_sentences
from multidir.annotate.taxonomy import load_taxonomy
from multidir.errors import FormatError
from multidir.store.atomic import sha256_bytes

FORMAT, VERSION = "multidir-labels", 1
_NAME = re.compile(r"[\w.-]{1,40}")


def text_hash(text: str) -> str:
    """By which an exported label names the text it belongs to."""
    return sha256_bytes(text.encode("utf-8", errors="surrogatepass"))


class HumanAnnotator:
    """Gives back what a person said; every other sentence is not labelled."""

    def __init__(self, file: Path) -> None:
        """Read an exported file.

        Raises:
            FormatError: not such a file, of another version, or with labels that its taxonomy lacks.
        """
        content = _content(file)
        self.name = f"human/{content['name']}"
        self.taxonomy = str(content["taxonomy"])
        self._labels: dict[tuple[str, int, int], str | None] = {}
        known = load_taxonomy(self.taxonomy.rpartition("/")[0])
        for number, item in enumerate(content["labels"], 1):
            label = item["label"]
            if label is not None and label not in known:
                raise FormatError(f"{file}, label {number}: {label!r} is not in the taxonomy {self.taxonomy}")
            self._labels[item["text"], item["start"], item["end"]] = label

    def label(self, text: str) -> list[LabelledSpan]:
        """Every sentence, with its label where the person gave one."""
        name = text_hash(text)
        return [LabelledSpan(a, b, self._labels.get((name, a, b))) for a, b in split_sentences(text)]


def _content(file: Path) -> dict[str, Any]:
    """The checked content of an exported file."""
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        good = (content["format"], content["version"]) == (FORMAT, VERSION) and _NAME.fullmatch(content["name"])
        spans = [(item["text"], int(item["start"]), int(item["end"]), item["label"]) for item in content["labels"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{file} holds no exported labels ({type(error).__name__}: {error})") from error
    if not good or not isinstance(content.get("taxonomy"), str):
        raise FormatError(
            f"{file} holds no exported labels of this version: expected format {FORMAT!r}, version {VERSION}, a name "
            "of letters, digits, dots, dashes and underscores, and a taxonomy such as six/1"
        )
    if len({span[:3] for span in spans}) < len(spans):
        raise FormatError(f"{file}: a sentence is labelled twice; export the labels again")
    return content
