"""What would a person say? A page on which sentences of these traces can be labelled blindly.

Draws sentences at random from all traces alike and writes one HTML file that needs no network: it shows each sentence
where it stands in its trace, in random order, without the labels of anybody else. Keys 1 to 6 label; the browser keeps
the labels until they are saved as a file, which data/annotate reads back with `--annotator human --hand-labels FILE`.

    multidir run data/label-by-hand --traces runs/data/traces/... --sentences 200

Writes labelling.html. Seconds; a person labels about ten sentences a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.records.text import Trace
from multidir.store.atomic import write_bytes_atomic
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Science:
    """What changes the page."""

    taxonomy: str = "six"
    """Table of data/taxonomy.toml."""
    sentences: int = 200
    """Sentences to label; all of them when there are fewer."""
    before: int = 8
    """Sentences shown before the one to label."""
    after: int = 3
    """Sentences shown after it."""
    seed: int = 0
    """Which sentences, and in which order."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    traces: Path
    """Run folder of data/traces or data/import-traces."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Write the page and return the run folder."""
    run = open_stage(cfg, "data/label-by-hand")
    if run.complete:
        return run.path
    from multidir.annotate.taxonomy import load_taxonomy
    from multidir.experiments.corpus.labels import reasoning_texts
    from multidir.models.load import load_tokenizer
    from multidir.report.labelling import draw_sentences, labelling_page

    with run:
        s = cfg.science
        tokenizer = load_tokenizer(cfg.pair.source(cfg.pair.roles[-1]))
        texts = reasoning_texts(read_rows(cfg.traces / "traces.jsonl", Trace), tokenizer)
        items, total = draw_sentences(texts, s.sentences, s.before, s.after, s.seed)
        page = run.file("labelling.html")
        write_bytes_atomic(page, labelling_page(items, load_taxonomy(s.taxonomy)).encode())
        run.note(headline=f"{len(items)} of {total} sentences to label: open {page} in a browser")
    return run.path
