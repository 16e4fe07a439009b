from __future__ import annotations

import json
from pathlib import Path

import pytest

from multidir.annotate.human import HumanAnnotator, text_hash
from multidir.errors import FormatError

TEXT = "It is six. No, five."
GOOD = {
    "format": "multidir-labels",
    "version": 1,
    "name": "ada",
    "taxonomy": "six/1",
    "labels": [{"text": text_hash(TEXT), "start": 11, "end": 20, "label": "backtracking"}],
}


def test_what_the_person_said_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(GOOD))
    annotator = HumanAnnotator(tmp_path / "a.json")
    assert [span.label for span in annotator.label(TEXT)] == [None, "backtracking"]
    assert [span.label for span in annotator.label(TEXT + " More.")] == [None, None, None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "of this version"),
        ({"version": 2}, "of this version"),
        ({"name": "../x y"}, "of this version"),
        ({"taxonomy": None}, "of this version"),
        ({"labels": [{"start": 1}]}, "holds no exported labels"),
        ({"labels": None}, "holds no exported labels"),
        ({"labels": GOOD["labels"] * 2}, "labelled twice"),
        ({"labels": [{**GOOD["labels"][0], "label": "doubt"}]}, "label 1: 'doubt' is not in the taxonomy six/1"),
    ],
)
def test_files_that_are_something_else_are_refused(change: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(FormatError, match=message):
        HumanAnnotator(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("not json")
    with pytest.raises(FormatError, match="holds no exported labels"):
        HumanAnnotator(tmp_path / "b.json")
