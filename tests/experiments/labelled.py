"""A run folder of traces, written by hand on the tokens of the tiny pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multidir.models.align import decode_text
from multidir.models.load import load_tokenizer
from multidir.models.prompting import encode, render_prompt
from multidir.records.pair import TINY
from multidir.records.text import Trace
from multidir.store.rows import write_rows
from multidir.store.runs import open_run

TEXTS = (
    "Add two and three. That is six. No, it is five! So the answer is five.",
    "Take the lamp. It is on. No more to do.",
    "We begin at four. No, at three. Then it is five. Done.",
)


def traces_run(root: Path, texts: Sequence[str] = TEXTS) -> Path:
    """A complete run of data/traces with these texts as reasoning."""
    tokenizer = load_tokenizer(TINY.source("reasoning"))
    traces = []
    for number, text in enumerate(texts):
        prompt, body = render_prompt(tokenizer, "A problem."), encode(tokenizer, text)
        written = decode_text(tokenizer, body)
        assert written == text
        traces.append(Trace(f"p{number}.0", f"p{number}", "math_logic", prompt + body, len(prompt), written))
    with open_run(root, "data/traces", {"texts": list(texts)}) as run:
        write_rows(run.file("traces.jsonl"), traces)
    return run.path
