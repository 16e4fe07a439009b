"""The page: valid, self-contained, accessible, and safe against whatever a model wrote."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multidir.errors import AlignmentError, ConfigError, FormatError
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Status
from multidir.report import blocks, study_page
from multidir.report.inline import inline_svg
from multidir.report.page import STATUS_MARKS, Page, Section, render_page, unbroken, write_page
from multidir.report.style import TONES
from tests.report import demo
from tests.report.browser import dom_of, needs_browser
from tests.report.conftest import drawn

VOID = {"meta", "link", "img", "br", "hr", "input"}


class _Outline(HTMLParser):
    """Checks nesting while reading, and keeps ids, links and headings."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def outline(page_html: str) -> _Outline:
    return _Outline(page_html)


def _page(*inner: blocks.Block, **more: object) -> Page:
    return Page("t", "Why?", ("Because.",), (Section("One", "", inner),), **more)  # type: ignore[arg-type]


def _trace(text: str) -> Trace:
    return Trace("t1", "p", "c", (1,), 0, text)


# --- form ----------------------------------------------------------------------------------------


def test_tags_are_balanced_and_ids_unique(outline: _Outline) -> None:
    assert outline.wrong == []
    assert outline.open == []
    assert [name for name, count in Counter(outline.ids).items() if count > 1] == []


def test_every_reference_inside_the_page_has_a_target(outline: _Outline, page_html: str) -> None:
    ids = set(outline.ids)
    links = {value[1:] for _, name, value in outline.attributes if name in ("href", "xlink:href") and value[0] == "#"}
    labels = {word for _, name, value in outline.attributes if name == "aria-labelledby" for word in value.split()}
    clips = set(re.findall(r"url\(#([^)]+)\)", page_html))
    assert len(links) > 10
    assert len(clips) > 5
    assert links | labels | clips <= ids


def test_nothing_is_loaded_from_outside(outline: _Outline, page_html: str) -> None:
    addresses = [
        value for _, name, value in outline.attributes if name in ("href", "src", "xlink:href", "srcset", "data")
    ]
    assert addresses
    assert all(value.startswith(("#", "data:")) for value in addresses)
    assert "@import" not in page_html
    assert "url(http" not in page_html
    assert outline.tags["script"] == outline.tags["iframe"] == 0
    policy = [value for _, name, value in outline.attributes if name == "content" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_question_answer_verdicts_contents_and_provenance_stand_in_the_page(outline: _Outline) -> None:
    page = demo.demo_page()
    text = outline.text.replace("\u00a0", " ")
    verdicts = [*page.verdicts, *page.more_verdicts]
    for expected in (page.question, *page.answer_sentences, *(verdict.claim for verdict in verdicts)):
        assert expected in text
    for verdict in verdicts:
        assert f"{STATUS_MARKS[verdict.status]} {verdict.status.value}" in text
        assert verdict.rule in text
    assert outline.tags["main"] == outline.tags["h1"] == 1
    assert "Skip to the findings" in text
    assert page.provenance is not None
    assert page.provenance.commands[0] in text
    assert "9f" * 32 in text
    anchors = [value for tag, name, value in outline.attributes if (tag, name) == ("a", "href")]
    assert {"#prompts-and-traces", "#directions", "#steering", "#controls", "#provenance", "#main"} <= set(anchors)


def test_every_status_has_a_sign() -> None:
    assert set(STATUS_MARKS) == set(Status)
    assert len(set(STATUS_MARKS.values())) == len(Status)


def test_every_figure_has_name_description_reading_and_numbers(outline: _Outline, page_html: str) -> None:
    plots = demo.all_plots()
    assert outline.tags["svg"] == 2 * len(plots)  # wide and narrow
    drawings = [value for tag, name, value in outline.attributes if (tag, name) == ("svg", "role")]
    assert drawings == ["img"] * len(drawings)
    for plot in plots:
        assert f'id="fig-{plot.name}"' in page_html
        assert f'download="{plot.name}.csv"' in page_html
        assert plot.reading in outline.text.replace("\u00a0", " ")


def test_figures_follow_the_colours_of_the_page(page_html: str) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", page_html, flags=re.DOTALL))
    assert "var(--plot-base)" in drawings
    assert "var(--plot-ink)" in drawings
    assert [tone.light for tone in TONES if tone.light in drawings] == []
    assert all(f"{tone.variable}:{tone.dark};" in page_html for tone in TONES)


def test_the_same_page_gives_the_same_bytes(page_html: str, tmp_path: Path) -> None:
    path = write_page(demo.demo_page(demo.HOSTILE), tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == page_html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_figure_as_pixels_has_an_alternative_text() -> None:
    plot = drawn("rates_by_cause")
    html = render_page(_page(blocks.FigureBlock(plot, as_png=True)))
    assert f'alt="{plot.title}. {plot.reading}"' in html
    assert 'src="data:image/png;base64,' in html


def test_one_plot_twice_keeps_ids_unique() -> None:
    plot = drawn("rates_by_cause")
    outline = _Outline(
        render_page(_page(blocks.FigureBlock(plot), blocks.DetailsBlock("d", (blocks.FigureBlock(plot),))))
    )
    assert len(outline.ids) == len(set(outline.ids))
    assert "fig-rates_by_cause-2" in outline.ids


def test_one_block_twice_is_refused() -> None:
    block = blocks.FigureBlock(drawn("rates_by_cause"))
    with pytest.raises(ConfigError, match="figure rates_by_cause stands twice"):
        render_page(_page(block, block))


def test_paper_leaves_long_tables_to_the_files_and_keeps_figures() -> None:
    table = blocks.TableBlock.of(pd.DataFrame({"a": [1]}), "t")
    html = render_page(
        _page(blocks.DetailsBlock("only", (table,)), blocks.DetailsBlock("both", (table, blocks.TextBlock("x"))))
    )
    assert '<details class="tables"><summary>only' in html
    assert "<details><summary>both" in html


def test_sections_are_told_apart() -> None:
    two = (Section("A b", ""), Section("A-b", ""), Section("Main", ""))
    ids = _Outline(render_page(Page("t", "q", ("a",), two))).ids
    assert {"a-b", "a-b-2", "main", "main-2"} <= set(ids)
    with pytest.raises(ConfigError, match="section titles repeat: A"):
        Page("t", "q", ("a",), (Section("A", ""), Section("A", "")))


def test_a_page_without_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a question and at least one sentence"):
        Page("t", "q", (), ())


def test_a_drawing_without_size_is_refused() -> None:
    with pytest.raises(FormatError, match="has no viewBox"):
        inline_svg("<svg></svg>", "a", "t", "d")


def test_estimates_are_not_broken_over_lines() -> None:
    assert unbroken("rises to 36% [31, 41] here") == "rises to 36%\u00a0[31,\u00a041] here"
    assert unbroken("no estimate (a, b)") == "no estimate (a, b)"


# --- text that a model wrote ---------------------------------------------------------------------


def test_hostile_text_is_shown_and_not_run(outline: _Outline, page_html: str) -> None:
    assert outline.text.count(demo.HOSTILE) == 2  # in the trace and in the code block
    assert "<script" not in page_html
    assert "<img src=x" not in page_html


@needs_browser
def test_hostile_text_does_not_run_in_a_browser(tmp_path: Path) -> None:
    path = write_page(_page(demo.trace_block(demo.HOSTILE), blocks.TextBlock(demo.HOSTILE)), tmp_path / "page.html")
    dom = dom_of(path, tmp_path / "profile")
    assert "<title>t</title>" in dom
    assert "&lt;script&gt;document.title" in dom
    assert "<script" not in dom
    assert "onerror=alert" in dom
    assert "<img src" not in dom


def test_all_places_of_model_text_are_escaped() -> None:
    bad = demo.HOSTILE
    inner = (
        blocks.FactsBlock({bad: bad}),
        blocks.CodeBlock(bad, bad),
        blocks.DetailsBlock(bad, (blocks.TextBlock(bad, "warning"),)),
        blocks.TraceBlock(bad, (blocks.Piece(bad, bad), blocks.Piece(bad, None)), prompt=bad),
    )
    html = render_page(Page(bad, bad, (bad,), (Section(bad, bad, inner),), footer=bad))
    parsed = _Outline(html)
    assert parsed.tags["script"] == parsed.tags["img"] == 0
    assert parsed.wrong == []
    assert parsed.open == []


@given(st.text(max_size=60))
def test_any_trace_text_leaves_the_page_whole(text: str) -> None:
    html = render_page(_page(blocks.TraceBlock("t", (blocks.Piece(text, "backtracking"),))))
    parsed = _Outline(html.encode("utf-8", errors="replace").decode())
    assert parsed.wrong == []
    assert parsed.open == []
    assert parsed.tags["article"] == 1


def test_control_characters_and_lone_surrogates_do_not_lose_the_page(tmp_path: Path) -> None:
    block = blocks.TraceBlock.of(_trace("a\x00b\x1b[31m\tc\n\ud800d"), ())
    html = write_page(_page(block), tmp_path / "p.html").read_text(encoding="utf-8")
    assert "a\u2400b\u241b[31m\tc\n?d" in html


def test_marks_that_turn_text_round_are_shown_in_their_place() -> None:
    text = "a\u202eb\u2066c\x9bd\u05d0"  # Hebrew letters are text
    assert blocks.visible(text) == "a\u2426b\u2426c\u2426d\u05d0"
    assert len(blocks.visible(text)) == len(text)  # sentences keep their places


def test_trace_text_is_cut_at_its_sentences_and_nothing_is_lost() -> None:
    trace = _trace("One. Wait, two. Three")
    sentences = [
        Sentence("t1", 1, 5, 15, 1, 2, "backtracking", "x/1"),
        Sentence("t1", 0, 0, 4, 0, 1, "deduction", "x/1"),
    ]
    block = blocks.TraceBlock.of(trace, sentences)
    assert [(p.text, p.label) for p in block.pieces] == [
        *(("One.", "deduction"), (" ", None)),
        *(("Wait, two.", "backtracking"), (" Three", None)),
    ]
    assert "".join(p.text for p in block.pieces) == trace.text
    assert [p.text for p in block.legend] == ["deduction", "backtracking", "not labelled"]


def test_empty_lines_around_a_trace_are_not_shown() -> None:
    block = blocks.TraceBlock("t", (blocks.Piece("\n\n", None), blocks.Piece("\na\n", "deduction")))
    assert [piece.text for piece in block.shown] == ["\na"]
    assert "".join(piece.text for piece in block.pieces) == "\n\n\na\n"


def test_a_label_outside_the_taxonomy_is_shown_too() -> None:
    block = blocks.TraceBlock("t", (blocks.Piece("x", "substitution"),))
    assert block.legend == [blocks.Piece("substitution", "substitution")]
    assert block.legend[0].css == "label-other"


@pytest.mark.parametrize(
    ("trace_id", "start", "end"),
    [("t2", 5, 8), ("t1", 2, 8), ("t1", 5, 99)],
    ids=["other trace", "overlap", "too long"],
)
def test_sentences_that_do_not_fit_the_text_are_refused(trace_id: str, start: int, end: int) -> None:
    first = Sentence("t1", 0, 0, 4, 0, 1, None, "x/1")
    with pytest.raises(AlignmentError, match=f"sentence 1 of trace {trace_id} spans characters {start}:{end}"):
        blocks.TraceBlock.of(_trace("One. Two."), [first, Sentence(trace_id, 1, start, end, 1, 2, None, "x/1")])


def test_shaded_tokens_join_where_they_look_alike_and_nothing_is_lost() -> None:
    tokens = pd.DataFrame(
        {
            "text": ["So", " it", " is", " <b>", " Wait", ","],
            "z": [0.1, -0.2, 1.1, 1.4, -5.0, -5.0],
            "labelled": [False, False, False, False, True, True],
            "before": [False, False, True, True, True, False],
        }
    )
    block = blocks.ShadedBlock.of(tokens, "t")
    assert [tuple(shade) for shade in block.shades] == [
        ("So it", 0, ""),
        (" is <b>", 2, "before"),
        (" Wait,", -4, "labelled"),
    ]
    assert [shade.css for shade in block.shades] == ["", "shade-up-2 place-before", "shade-down-4 place-labelled"]
    html = render_page(_page(block))
    assert " is &lt;b&gt;" in html
    assert "<b>" not in html


def test_tokens_without_a_projection_are_not_shaded(tmp_path: Path) -> None:
    tokens = pd.DataFrame(
        {"role": "base", "trace": "t1", "text": ["So", " NA", " on"], "z": [1.1, np.nan, 1.1]}
        | {"labelled": False, "before": False}
    )
    tokens.to_csv(tmp_path / "shaded.csv", index=False)
    (block,) = study_page._shaded_traces(tmp_path)
    assert isinstance(block, blocks.ShadedBlock)
    assert [tuple(shade) for shade in block.shades] == [("So", 2, ""), (" NA", 0, ""), (" on", 2, "")]
