from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from multidir.annotate.taxonomy import load_taxonomy
from multidir.errors import ConfigError, FormatError
from multidir.records.taxonomy import Label, Taxonomy

COLD = Label("cold", "Below zero.", "It is minus two.", "It is two.")
WARM = Label("warm", "Above zero.", "It is two.", "It is minus two.")


def test_the_shipped_taxonomies() -> None:
    six, binary = load_taxonomy(), load_taxonomy("binary")
    assert six.names == (
        "initializing",
        "deduction",
        "adding-knowledge",
        "example-testing",
        "uncertainty-estimation",
        "backtracking",
    )
    assert binary.names == ("backtracking", "other")
    assert "backtracking" in six
    assert str(six) == "six/1"
    assert six["backtracking"].definition == binary["backtracking"].definition
    assert len({label.positive for label in six} | {label.negative for label in six}) == 12


def test_the_hash_is_of_everything() -> None:
    one = Taxonomy("t", "1", "about", (COLD, WARM))
    assert one.content_hash == Taxonomy("t", "1", "about", (COLD, WARM)).content_hash
    others = [
        replace(one, version="2"),
        replace(one, labels=(WARM, COLD)),
        replace(one, labels=(COLD, replace(WARM, negative="It is not."))),
    ]
    assert len({one.content_hash, *(other.content_hash for other in others)}) == 4


def test_contradictions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"has no definition, negative"):
        Label("cold", " ", "It is.", "")
    with pytest.raises(ConfigError, match="at least two labels with different names"):
        Taxonomy("t", "1", "", (COLD,))
    with pytest.raises(ConfigError, match="at least two labels with different names"):
        Taxonomy("t", "1", "", (COLD, COLD))
    with pytest.raises(ConfigError, match="worked example has labels it lacks: mild"):
        Taxonomy("t", "1", "", (COLD, WARM), (("It is five.", "mild"),))
    with pytest.raises(ConfigError, match="no label 'mild'; there are cold, warm"):
        Taxonomy("t", "1", "", (COLD, WARM))["mild"]
    with pytest.raises(ConfigError, match="no taxonomy 'ten'; there are six, binary"):
        load_taxonomy("ten")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format = 2", "format 2, this multidir reads format 1"),
        ("format = ", "cannot be read as a taxonomy"),
        ('format = 1\n[six]\nversion = "1"', "incomplete"),
        ('format = 1\n[six]\nversion = "1"\nabout = ""\nlabels = [{name = "a"}]', "incomplete"),
        ('format = 1\n[six]\nversion = "1"\nabout = ""\nlabels = [{name = 1}]', "incomplete"),
        ('format = 1\n[six]\nversion = "1"\nabout = ""\nlabels = []\nlike = "ten"', "incomplete"),
        ('format = 1\n[six]\nversion = "1"\nabout = ""\nlabels = []\nlike = "six"', "incomplete"),
        (
            'format = 1\nworked = ["a"]\n[six]\nversion = "1"\nabout = ""\nlabels = []\nworked = ["x", "y"]',
            "incomplete",
        ),
    ],
)
def test_broken_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        load_taxonomy("six", tmp_path / "t.toml")
