"""The trace viewer: right numbers on right tokens, safe against whatever a model wrote, driven in a real browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multidir.annotate.lexical import LexicalAnnotator
from multidir.errors import ConfigError
from multidir.experiments.choose import Choice
from multidir.models.load import load_tokenizer
from multidir.records.direction import Direction
from multidir.records.outcome import Condition, Outcome
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.report import view
from multidir.report.blocks import ViewerBlock
from multidir.report.page import Page, Section, render_page, stylesheet
from multidir.report.view_data import by_trace, labels_in_use, reading_items, some, steered_items, trace_items
from multidir.report.view_readings import chosen, direction_readings
from multidir.store.activations import ActivationStore
from tests.experiments.tiny_store import capture_tiny, save_pair
from tests.report.browser import dom_of, ending, needs_browser, sent_home
from tests.report.demo import HOSTILE


def outcome(
    direction: str, dose: float, text: str, backtracks: int = 0, prompt: str = "p0", rollout: int = 0
) -> Outcome:
    condition = Condition("reasoning", direction, dose)
    return Outcome(
        condition, prompt, rollout, 1, text, 9, True, 5, 0, 2, backtracks, 1, None, None, True, 0 if dose == 0 else 9
    )


STEERED = [
    outcome("base/backtracking", 0.5, "So it is four. Wait, that is not right. It is five.", 1),
    outcome("none", 0.0, "So it is four. Done."),
    outcome("base/backtracking", 0.2, "So it is four. And so on."),
    outcome("base/backtracking", 0.2, "Alone.", prompt="p9"),  # nothing to compare it with
]


def trace_item(name: str, tokens: list[str], sentences: list[tuple[int, int, str | None]]) -> dict[str, Any]:
    return {"id": name, "category": "c", "prompt": "Why?", "first": 3, "tokens": tokens, "sentences": sentences}


def packed(*z: float) -> str:
    return base64.b64encode(np.array(z, "<f2").tobytes()).decode()


def content(*extra: dict[str, Any]) -> dict[str, Any]:
    """Two traces and the steered texts, by hand: what is expected of the page can be counted off."""
    traces = [
        trace_item("t0", ["So", " it", "."], [(0, 3, "deduction")]),
        trace_item("t1", ["So", " four", ".", " Wait", ",", " no", "."], [(0, 3, None), (3, 7, "backtracking")]),
        *extra,
    ]
    reading = {"what": "projection", "where": "base L2.resid_post", "about": "", "own": False, "mean": 10.0, "sd": 2.0}
    readings = [{"name": "a", "window": (-2, -1), **reading}, {"name": "b", "window": None, **reading}]
    zs = [[0.0] * len(item["tokens"]) for item in traces]
    zs[1] = [0.25, 1.5, -2.75, 0.0, float("nan"), 0.0, 0.0]
    values = [[packed(*z) for z in zs], [packed(*(-2 * v for v in z)) for z in zs]]
    steered = steered_items(STEERED, 5, LexicalAnnotator())
    labels = labels_in_use(traces, steered)
    facts = {"of": 9, "readings": readings, "values": values, "steered": steered, "labels": labels}
    return {"traces": traces, **facts}


# --- the numbers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> tuple[ActivationStore, list[Trace]]:
    folder = tmp_path_factory.mktemp("view")
    pair = save_pair(folder)
    tokenizer = load_tokenizer(pair.source("reasoning"))
    traces = []
    for number, length in enumerate((9, 6)):
        ids = tuple(range(5, 5 + length))
        traces.append(Trace(f"t{number}", f"p{number}", "c", ids, 2, str(tokenizer.decode(list(ids[2:])))))
    return capture_tiny(folder / "store", pair, traces), traces


def test_every_token_has_the_projection_of_its_own_row(captured: tuple[ActivationStore, list[Trace]]) -> None:
    store, traces = captured
    unit = np.eye(store.d)[3]
    there = Direction(
        "a", unit, 1.0, Site(0), source={"role": "base", "offsets": [-3, -1], "store": store.content_hash}
    )
    elsewhere = Direction("b", unit, 1.0, Site(7))
    found = direction_readings(store, [there, elsewhere])
    assert [(r.name, r.key, r.window, r.own) for r in found] == [("a", ("base", Site(0)), (-3, -1), True)]
    items, values = reading_items(found, store, traces[::-1])
    z = np.concatenate([np.frombuffer(base64.b64decode(text), "<f2") for text in values[0]]).astype(float)
    raw = np.concatenate([store.rows("base", Site(0), store.trace_rows(t.id))[2:, 3] for t in traces[::-1]])
    assert len(z) == 4 + 7
    np.testing.assert_allclose(items[0]["mean"] + items[0]["sd"] * z, raw, atol=2e-3 * items[0]["sd"])
    assert z.mean() == pytest.approx(0, abs=1e-3)


def test_tokens_spell_the_text_and_sentences_keep_their_tokens(captured: tuple[ActivationStore, list[Trace]]) -> None:
    store, traces = captured
    sentences = [Sentence("t0", 0, 0, 2, 1, 4, "deduction", "x/1"), Sentence("t0", 1, 2, 4, 4, 6, None, "x/1")]
    tokenizer = load_tokenizer(store.path.parent / "reasoning")
    item = next(trace_items(traces, by_trace(sentences), tokenizer))
    assert "".join(item["tokens"]) == traces[0].text
    assert item["first"] == 2
    assert item["sentences"] == [(0, 2, "deduction"), (2, 4, None)]


def test_traces_with_the_behaviour_come_first_and_stay_in_order() -> None:
    traces = [Trace(f"t{i}", "p", "c", (1,), 0, "x") for i in range(5)]
    labelled = by_trace([Sentence("t3", 0, 0, 1, 0, 1, "backtracking", "x/1")])
    assert [t.id for t in some(traces, labelled, "backtracking", 2)] == ["t0", "t3"]
    assert len(some(traces, labelled, "backtracking", 99)) == 5


def test_directions_are_chosen_by_name_or_by_the_behaviour() -> None:
    made = [
        Direction(name, np.eye(4)[0], 1.0, Site(1), source=source)
        for name, source in (("a", {"label": "deduction"}), ("b", {"label": "backtracking"}), ("c", {}))
    ]
    assert [d.name for d in chosen(made, (), "backtracking", 9)] == ["b", "c"]
    assert [d.name for d in chosen(made, (), "backtracking", 1)] == ["b"]
    assert [d.name for d in chosen(made, ("c", "a"), "backtracking", 1)] == ["c", "a"]
    with pytest.raises(ConfigError, match="no direction 'd'; there are a, b, c"):
        chosen(made, ("d",), "backtracking", 9)


def test_directions_from_the_place_that_is_steered_come_first() -> None:
    made = [
        Direction(f"{lo}", np.eye(4)[0], 1.0, Site(1), source={"label": "backtracking", "offsets": [lo, lo + 2]})
        for lo in (-13, -7, -3)
    ]
    place = Choice("L1.resid_post", -3, -1, 0.6)
    assert [d.name for d in chosen(made, (), "backtracking", 2, place)] == ["-3", "-13"]
    assert [d.name for d in chosen(made, (), "backtracking", 2, Choice("L2.resid_post", -3, -1, 0.6))] == ["-13", "-7"]


def test_steered_texts_stand_beside_the_unsteered_one_of_the_same_problem() -> None:
    (item,) = steered_items(STEERED, 5, LexicalAnnotator())
    assert [text["cell"] for text in item["texts"]] == [
        "unsteered",
        "base/backtracking, 0.5x",
        "base/backtracking, 0.2x",
    ]
    labels = [label for *_, label in item["texts"][1]["sentences"]]
    assert "backtracking" in labels
    assert item["texts"][0]["facts"]["mean log-probability"] is None  # unknown, not zero
    assert steered_items(STEERED, 5, None)[0]["texts"][1]["sentences"] == []


# --- the page --------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_outside() -> None:
    page = view.viewer_page(content(), "t", "l", stylesheet(viewer=True))
    assert not re.search(r"(?:src|action)=|url\((?!#)|@import|fetch\(|XMLHttp|sendBeacon|WebSocket|innerHTML", page)
    assert "default-src 'none'" in page
    assert page.count("<script") == page.count("</script>") == 2


def test_a_report_runs_the_viewers_script_and_no_other() -> None:
    block = ViewerBlock(view.viewer_html(content()))
    page = render_page(Page("t", "q", ("a",), (Section("One", "", (block,)),)))
    assert re.search(r"script-src 'sha256-[\w+/=]+'\"", page)
    assert page.count("<script") == 2
    with pytest.raises(ConfigError, match="one trace viewer, and there are 2"):
        render_page(Page("t", "q", ("a",), (Section("One", "", (block, block)),)))


def drive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, **changed: Any) -> dict[str, Any]:
    """Open the viewer in a browser, run a script after its own, and give back what that put into `result`."""
    whole = view.viewer_script() + ending(PRESS + script)
    monkeypatch.setattr(view, "viewer_script", lambda: whole)
    file = tmp_path / "view.html"
    page = view.viewer_page({**content(), **changed}, "t", "l", stylesheet(viewer=True))
    file.write_text(page, encoding="utf-8", errors="replace")
    return sent_home(dom_of(file, tmp_path / "profile"))


PRESS = """
const down = (key) => viewer.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const press = (...keys) => keys.forEach(down);
const tokens = () => [...document.querySelectorAll("#v-panel [data-token]")];
const look = () => ({
  title: $("panel").querySelector("h3").textContent,
  text: tokens().map((t) => t.textContent).join(""),
  css: tokens().map((t) => t.className.replace("token", "").trim()),
  offsets: tokens().map((t) => t.dataset.offset ?? ""),
  said: $("readout").querySelector("p")?.textContent,
  numbers: [...$("readout").querySelectorAll("dd")].map((d) => d.textContent),
});
"""


@needs_browser
def test_keys_walk_through_traces_tokens_and_readings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """
      result.opened = look();
      press("b"); result.start = look();
      press("ArrowLeft"); result.before = look();
      press("d"); result.other = look();
      press("ArrowDown"); result.below = look();
      press("ArrowDown", "ArrowDown", "ArrowUp"); result.above = look();
      const spans = [...document.querySelectorAll("#v-panel .sentence")];
      result.sentences = spans.map((s) => [s.dataset.label, s.textContent]);
    """
    found = drive(monkeypatch, tmp_path, script)
    opened = found["opened"]
    assert opened["title"] == "t1, c"  # most backtracking first
    assert opened["text"] == "So four. Wait, no."
    assert opened["css"] == ["", "shade-up-3 place-before", "shade-down-4 place-before", "", "", "", ""]
    assert opened["offsets"] == ["", "\u22122", "", "0", "", "", ""]
    assert found["start"]["said"] == '" Wait" · position 6 · backtracking · first token of backtracking'
    assert found["before"]["said"] == '"." · position 5 · not labelled · 1 before backtracking'
    assert found["before"]["numbers"] == ["4.500, z \u22122.75", "21.000, z 5.50"]
    assert found["other"]["css"] == [
        "shade-down-1 place-before",
        "shade-down-4 place-before",
        "shade-up-4 place-before here",
        *[""] * 4,
    ]
    assert found["other"]["offsets"][3] == "0"
    assert found["below"]["title"] == "t0, c"
    assert found["above"]["title"] == "t1, c"
    assert found["sentences"] == [["not labelled", "So four."], ["backtracking", " Wait, no."]]


@needs_browser
def test_an_unknown_number_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = drive(monkeypatch, tmp_path, 'press("b", "ArrowRight"); result.at = look();')
    assert found["at"]["numbers"][0] == "not known, z not known"
    assert found["at"]["css"][4] == "here"


@needs_browser
def test_steered_and_unsteered_texts_stand_side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """
      press("s");
      const read = () => [...document.querySelectorAll(".v-pair article")].map((a) => ({
        cell: a.querySelector("h3").textContent, text: a.querySelector(".written").textContent,
        same: [...a.querySelectorAll(".same")].map((s) => s.textContent).join(""),
      }));
      result.first = read(); press("d"); result.second = read();
      $("find").value = "not right"; $("find").dispatchEvent(new Event("input")); result.found = $("count").textContent;
      $("find").value = "zebra"; $("find").dispatchEvent(new Event("input")); result.none = $("count").textContent;
    """
    found = drive(monkeypatch, tmp_path, script)
    plain, strong = found["first"]
    assert (plain["cell"], strong["cell"]) == ("unsteered", "base/backtracking, 0.5x")  # the one that backtracks
    assert strong["text"] == STEERED[0].text
    assert plain["same"] == strong["same"] == "So it is four. "
    assert found["second"][1]["cell"] == "base/backtracking, 0.2x"
    assert found["found"] == "1 of 1"
    assert found["none"] == "0 of 1: nothing found"


@needs_browser
def test_hostile_text_is_shown_and_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = HOSTILE + " </script><b>\ud800"
    traces = [trace_item(bad, [bad, "x"], [(0, 2, bad)])]
    steered = steered_items([outcome("none", 0.0, bad), outcome(bad, 0.5, bad)], 5, None)
    script = """
      press("ArrowRight"); result.text = look().text; result.title = document.title;
      press("s"); result.pair = document.querySelector(".v-pair .written").textContent;
      result.made = document.querySelectorAll("#v-panel img, #v-panel b, #v-panel script, #v-list b").length;
      result.images = document.images.length;
    """
    changed = {"traces": traces, "steered": steered, "values": [[packed(0, 0)], [packed(0, 0)]]}
    found = drive(monkeypatch, tmp_path, script, **changed, labels=labels_in_use(traces, steered))
    assert found["text"].startswith(HOSTILE)
    assert found["pair"].startswith(HOSTILE)
    assert (found["title"], found["made"], found["images"]) == ("t", 0, 0)


@needs_browser
def test_thousands_of_traces_are_listed_where_they_can_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every text keeps its own numbers and its place, though the document holds a few lines of the list only."""
    n = 3000
    traces = [trace_item(f"t{i}", ["a", " b"], []) for i in range(n)]
    values = [[packed(0, (i * 7 % n) / n) for i in range(n)]] * 2
    script = """
      const list = $("list"), lines = () => [...list.children].map((li) => li.textContent);
      const chosen = () => list.querySelector("[aria-current]")?.textContent;
      result.lines = lines();
      result.high = list.scrollHeight / list.firstChild.getBoundingClientRect().height;
      press(...Array(100).fill("ArrowDown")); result.walked = [look().title, chosen(), lines().length];
      list.scrollTop = list.scrollHeight; rows(); result.end = lines();
      list.lastChild.firstChild.click(); result.clicked = [look().title, chosen(), document.activeElement.id];
      list.scrollTop = 0; rows(); result.away = [look().title, chosen() ?? ""];
      $("order").value = "peak"; $("order").dispatchEvent(new Event("change"));
      result.first = [look().title, lines()[0]];
      $("find").value = "t2999"; $("find").dispatchEvent(new Event("input")); result.found = lines();
      $("find").value = "zebra"; $("find").dispatchEvent(new Event("input")); result.none = lines();
    """
    found = drive(monkeypatch, tmp_path, script, traces=traces, values=values)
    assert found["lines"] == [f"t{i}" for i in range(len(found["lines"]))]
    assert len(found["lines"]) < 100
    assert found["high"] == pytest.approx(n, rel=0.01)
    assert found["walked"][:2] == ["t100, c", "t100"]
    assert found["walked"][2] < 100
    assert found["end"] == [f"t{i}" for i in range(n - len(found["end"]), n)]
    assert found["clicked"] == [f"t{n - 1}, c", f"t{n - 1}", "viewer"]
    assert found["away"] == [f"t{n - 1}, c", ""]
    highest = max(range(n), key=lambda i: np.float16((i * 7 % n) / n).item())
    assert found["first"] == [f"t{highest}, c", f"t{highest}"]
    assert found["found"] == ["t2999"]
    assert found["none"] == []


def test_a_run_without_texts_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multidir.cli import main

    assert main(["run", "data/prompts", "--derive", "1", "--runs", str(tmp_path)]) == 0
    run = capsys.readouterr().out.strip()
    assert main(["view", run, "--out", str(tmp_path / "x.html")]) == 1
    assert "leads to no traces and to no steered texts" in capsys.readouterr().err
    assert json.loads((Path(run) / "manifest.json").read_text())["status"] == "complete"
    assert not (tmp_path / "x.html").exists()
