"""The notebooks run, and show what is stored in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebooks.execute import NOTEBOOKS, alone, arithmetic, executed, kinds, read, texts


@pytest.fixture(scope="module", autouse=True)
def one_folder() -> Iterator[None]:
    """What a notebook has made, the next one takes over: most of them begin alike."""
    with alone():
        yield


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_shows_what_it_shows_today(file: Path) -> None:
    stored = read(file)
    today = executed(stored)
    assert kinds(today) == kinds(stored), "run `python -m tests.notebooks.execute`"
    if (
        stored["metadata"]["multidir"]["numbers"] == arithmetic()
    ):  # elsewhere last bits differ, and sampled texts with them
        assert texts(today) == texts(stored), "run `python -m tests.notebooks.execute`"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_nothing_in_it_tells_where_or_when_it_was_run(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"/(?:home|root|tmp|work|Users|var)/|\d{4}-\d\d-\d\d", text)
    for cell in json.loads(text)["cells"]:
        assert set(cell["metadata"]) == set()
        assert len(cell["source"]) <= 12
