"""The trace viewer: one self-contained page, and the same viewer as a part of a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from multidir.annotate.base import Annotator
from multidir.errors import ConfigError
from multidir.exchange.read import read_directions
from multidir.experiments.corpus.labels import ANNOTATORS, annotator_by_name
from multidir.experiments.results import read_choice
from multidir.experiments.score import BACKTRACKING
from multidir.models.load import load_tokenizer
from multidir.records.outcome import Outcome
from multidir.records.text import Sentence, Trace
from multidir.report.inline import script_data, script_hash
from multidir.report.view_data import by_trace, labels_in_use, reading_items, some, steered_items, trace_items
from multidir.report.view_readings import Reading, chosen, direction_readings, latent_readings
from multidir.report.view_sources import Sources, find_sources
from multidir.store.activations import ActivationStore
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class View:
    """What is shown, and how much of it."""

    directions: tuple[str, ...] = ()
    """Names of directions; without any, the first ones of the behaviour."""
    source: Path | None = None
    """Where directions are read from: a run folder or any file of directions; none: the runs behind what is shown."""
    latents: tuple[int, ...] = ()
    """Latents of `dictionary`."""
    dictionary: Path | None = None
    """Folder of a sparse autoencoder."""
    tokenizer: str = ""
    """Model whose tokenizer reads the traces; without one, the model that the run wrote down."""
    label: str = BACKTRACKING
    """The behaviour before which tokens are numbered."""
    traces: int = 1000
    """Traces at most, those with the behaviour first."""
    readings: int = 8
    """Directions at most where none is named."""
    pairs: int = 200
    """Problems whose steered texts are shown, at most."""


def view_content(path: Path, view: View) -> dict[str, Any]:
    """Everything the viewer shows of a run and of the runs behind it.

    Raises:
        ConfigError: nothing to show, a name that is not there, or nobody knows the tokenizer.
        AlignmentError: the tokenizer does not spell the traces.
        FormatError: not a run or store.
    """
    sources = find_sources(path)
    steered = _steered(sources, view)
    traces, of, readings, values = _traces(sources, view)
    if not traces and not steered:
        raise ConfigError(f"{path} leads to no traces and to no steered texts, so there is nothing to view")
    return {
        "traces": traces,
        "of": of,
        "readings": readings,
        "values": values,
        "steered": steered,
        "labels": labels_in_use(traces, steered),
    }


def _traces(sources: Sources, view: View) -> tuple[list[Any], int, list[Any], list[list[str]]]:
    store = ActivationStore.open(sources.activations) if sources.activations is not None else None
    if store is None and sources.traces is None:
        return [], 0, [], []
    everything = _read_traces(sources, store)
    sentences = by_trace(_sentences(sources, store))
    traces = some(everything, sentences, view.label, view.traces)
    model = view.tokenizer or sources.model
    if not model:
        raise ConfigError("no run says which model wrote the traces; name one: --tokenizer FOLDER, or shipped:NAME")
    items = list(trace_items(traces, sentences, load_tokenizer(model)))
    readings = [] if store is None else _readings(sources, store, view)
    described, values = ([], []) if store is None else reading_items(readings, store, traces)
    return items, len(everything), described, values


def _read_traces(sources: Sources, store: ActivationStore | None) -> list[Trace]:
    if store is not None:
        return list(store.iterate_traces())
    assert sources.traces is not None
    return read_rows(sources.traces / "traces.jsonl", Trace)


def _sentences(sources: Sources, store: ActivationStore | None) -> list[Sentence]:
    if sources.labels is not None:
        return read_rows(sources.labels / "sentences.jsonl", Sentence)
    return store.labels(store.annotators[0]) if store is not None and store.annotators else []


def _readings(sources: Sources, store: ActivationStore, view: View) -> list[Reading]:
    folders = sources.directions if view.source is None else (view.source,)
    by_name = {item.name: item for folder in folders for item in read_directions(folder)}
    place = None if sources.choice is None else read_choice(sources.choice)
    wanted = chosen(list(by_name.values()), view.directions, view.label, view.readings, place)
    found = direction_readings(store, wanted)
    if view.dictionary is not None:
        found += latent_readings(store, view.dictionary, view.latents)
    return found


def _steered(sources: Sources, view: View) -> list[dict[str, Any]]:
    if sources.outcomes is None:
        return []
    outcomes = read_rows(sources.outcomes / "outcomes.jsonl", Outcome)
    return steered_items(outcomes, view.pairs, _annotator(sources.outcomes))


def _annotator(run: Path) -> Annotator | None:
    """Who scored the texts of a steering run, if that needs no calls."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    name = config.get("science", {}).get("scoring", {}).get("annotator", "")
    return annotator_by_name(name) if name in ANNOTATORS else None


def viewer_html(content: dict[str, Any], label: str = BACKTRACKING) -> Markup:
    """The viewer as a part of a page; model text is data in it, never markup. Its script stands once per page."""
    return _render("view.html.j2", data=script_data(content), positive=label)


def viewer_page(content: dict[str, Any], title: str, lead: str, css: str, label: str = BACKTRACKING) -> str:
    """The viewer as a page of its own, without any reference to the outside.

    Args:
        content: from `view_content`.
        title: of the page.
        lead: a sentence below it.
        css: the style sheet (`page.stylesheet`).
        label: the behaviour.
    """
    script = viewer_script()
    parts = {"css": Markup(css), "viewer": viewer_html(content, label), "script": Markup(script)}
    return str(_render("view_page.html.j2", title=title, lead=lead, script_hash=script_hash(script), **parts))


def lead_of(content: dict[str, Any]) -> str:
    """What can be seen, in a sentence or two."""
    parts = []
    if content["traces"]:
        parts.append(f"{len(content['traces'])} of {content['of']} traces, {len(content['readings'])} readings")
    if content["steered"]:
        parts.append(f"{len(content['steered'])} problems with steered texts beside unsteered ones")
    own = any(reading["own"] for reading in content["readings"])
    warning = " Directions found in these texts separate them too well; what they are worth is measured elsewhere."
    return "; ".join(parts) + "." + warning * own


@cache
def viewer_script() -> str:
    """What makes the viewer work."""
    return _file("view.js")


def _render(name: str, **values: Any) -> Markup:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return Markup(environment.from_string(_file(name)).render(**values))


def _file(name: str) -> str:
    return resources.files("multidir.report").joinpath(name).read_text(encoding="utf-8")
