"""The page for labelling by hand: blind, without network, driven in a real browser, and read back as an annotator."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from multidir.annotate.human import HumanAnnotator, text_hash
from multidir.annotate.segment import split_sentences
from multidir.annotate.taxonomy import load_taxonomy
from multidir.cli import main
from multidir.errors import ConfigError
from multidir.records.text import Sentence
from multidir.report import labelling
from multidir.report.labelling import draw_sentences, labelling_page
from multidir.store.rows import read_rows
from tests.experiments.labelled import TEXTS, traces_run
from tests.report.browser import dom_of, ending, needs_browser, sent_home
from tests.report.demo import HOSTILE

SIX = load_taxonomy()


def data(page: str) -> dict:
    """What the page's script is given."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_sentences_are_drawn_once_each_and_stand_where_they_stand() -> None:
    items, total = draw_sentences([*TEXTS, TEXTS[0]], 6, before=1, after=2, seed=3)
    assert (len(items), total) == (6, 11)
    assert len({(item.text, item.start) for item in items}) == 6
    by_hash = {text_hash(text): text for text in TEXTS}
    for item in items:
        text = by_hash[item.text]
        spans = split_sentences(text)
        place = spans.index((item.start, item.end))
        assert item.sentence == text[item.start : item.end]
        assert item.before == tuple(text[a:b] for a, b in spans[max(0, place - 1) : place])
        assert item.after == tuple(text[a:b] for a, b in spans[place + 1 : place + 3])
    assert items == draw_sentences(TEXTS, 6, 1, 2, seed=3)[0]
    assert items != draw_sentences(TEXTS, 6, 1, 2, seed=4)[0]
    everything = draw_sentences(TEXTS, 100, 0, 0, seed=3)[0]
    assert [(i.text, i.start) for i in everything[:6]] == [(i.text, i.start) for i in items]


def test_the_page_needs_nothing_and_tells_nothing() -> None:
    page = labelling_page(draw_sentences(TEXTS, 5, 8, 3, 0)[0], SIX)
    assert not re.search(r"(?:src|href|action)=|url\(|@import|fetch\(|XMLHttp|sendBeacon|WebSocket", page)
    assert "default-src 'none'" in page
    content = data(page)
    assert set(content["items"][0]) == {"text", "start", "end", "before", "sentence", "after"}  # no labels of others
    for label in SIX:
        assert html.escape(label.definition) in page


def test_model_text_is_data_never_markup() -> None:
    page = labelling_page(
        draw_sentences([HOSTILE + " </script><b>Bold</b>", "A lone \udc80 surrogate."], 9, 8, 3, 0)[0], SIX
    )
    assert page.count("<script") == page.count("</script>") == 2
    assert "<b>" not in page
    assert "onerror" in json.dumps(data(page))
    page.encode()


def test_a_page_has_sentences_and_as_many_labels_as_keys() -> None:
    with pytest.raises(ConfigError, match="needs sentences"):
        labelling_page([], SIX)


def drive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, page_name: str = "page.html") -> dict:
    """Open the page in a browser, run a script after its own, and give back what that put into `result`."""
    real = labelling._file
    more = ending(script)
    monkeypatch.setattr(labelling, "_file", lambda name: real(name) + (more if name.endswith(".js") else ""))
    file = tmp_path / page_name
    file.write_text(labelling_page(draw_sentences([*TEXTS, HOSTILE], 5, 8, 3, 1)[0], SIX), encoding="utf-8")
    return sent_home(dom_of(file, tmp_path / "profile"))


PRESS = "const press = (key) => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));"


@needs_browser
def test_keys_label_and_the_export_is_read_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = (
        PRESS
        + """
      result.first = $("sentence").textContent;
      press("6"); press("2"); press("0"); press("ArrowLeft"); press("ArrowLeft"); press("5"); press("x");
      result.where = $("where").textContent;
      $("name").value = "ada"; $("name").dispatchEvent(new Event("input"));
      result.exported = exported();
      result.kept = Object.values(localStorage);
      press("ArrowRight"); press("1"); press("1"); press("1");
      result.finished = !$("finished").hidden;
    """
    )
    result = drive(monkeypatch, tmp_path, script)
    items = draw_sentences([*TEXTS, HOSTILE], 5, 8, 3, 1)[0]
    assert result["first"] == items[0].sentence
    assert result["where"] == "Sentence 3 of 5, 3 labelled"
    assert json.loads(result["kept"][0])["labels"] == {"0": "backtracking", "1": "uncertainty-estimation", "2": None}
    assert result["finished"]
    file = tmp_path / "labels-ada.json"
    file.write_text(json.dumps(result["exported"]))
    annotator = HumanAnnotator(file)
    assert annotator.name == "human/ada"
    given = [{(s.start, s.end): s.label for s in annotator.label(text)} for text in [*TEXTS, HOSTILE]]
    by_hash = {text_hash(text): labels for text, labels in zip([*TEXTS, HOSTILE], given, strict=True)}
    said = [by_hash[item.text][item.start, item.end] for item in items]
    assert said == ["backtracking", "uncertainty-estimation", None, None, None]
    assert sum(label is not None for labels in given for label in labels.values()) == 2


@needs_browser
def test_the_browser_keeps_the_labels_until_the_next_visit(tmp_path: Path) -> None:
    """Three times at most: a browser that ends at once does not always save its storage before."""
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as monkeypatch:
            first = drive(monkeypatch, folder, PRESS + "result.before = $('where').textContent; press('3');")
        assert first["before"] == "Sentence 1 of 5, 0 labelled"
        with pytest.MonkeyPatch.context() as monkeypatch:
            second = drive(
                monkeypatch, folder, "result.after = $('where').textContent; result.injected = document.images.length;"
            )
        if second["after"] != first["before"]:
            break
    assert second == {"after": "Sentence 2 of 5, 1 labelled", "injected": 0}


def test_the_recipe_and_the_way_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    traces = traces_run(tmp_path)
    assert (
        main(["run", "data/label-by-hand", "--traces", str(traces), "--sentences", "4", "--runs", str(tmp_path)]) == 0
    )
    page = (Path(capsys.readouterr().out.strip()) / "labelling.html").read_text(encoding="utf-8")
    content = data(page)
    labels = [{**{k: i[k] for k in ("text", "start", "end")}, "label": "deduction"} for i in content["items"]]
    labels[0]["label"] = None
    keys = ("format", "version", "taxonomy")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**{key: content[key] for key in keys}, "name": "ada", "labels": labels}))
    command = ["run", "data/annotate", "--annotator", "human", "--traces", str(traces), "--runs", str(tmp_path)]
    assert main(command) == 1
    assert "needs --hand-labels" in capsys.readouterr().err
    assert main([*command, "--hand-labels", str(file)]) == 0
    sentences = read_rows(Path(capsys.readouterr().out.strip()) / "sentences.jsonl", Sentence)
    assert [s.label for s in sentences].count("deduction") == 3
    assert [s.label for s in sentences].count(None) == len(sentences) - 3
    assert {s.annotator for s in sentences} == {"human/ada"}


def test_labels_of_other_traces_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    traces, file = traces_run(tmp_path), tmp_path / "mine.json"
    label = {"text": text_hash("Another text."), "start": 0, "end": 13, "label": "deduction"}
    content = {"format": "multidir-labels", "version": 1, "name": "ada", "taxonomy": "six/1", "labels": [label]}
    file.write_text(json.dumps(content))
    command = ["run", "data/annotate", "--annotator", "human", "--traces", str(traces), "--runs", str(tmp_path)]
    assert main([*command, "--hand-labels", str(file)]) == 1
    assert "none of the labels of human/ada belongs to these traces" in capsys.readouterr().err
