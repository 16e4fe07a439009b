"""What a recipe leaves in its run folder: tables, verdicts, a choice, and the sentence that says what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from multidir.errors import FormatError
from multidir.experiments.choose import Choice
from multidir.records.verdict import Verdict
from multidir.store.atomic import write_json_atomic
from multidir.store.plain import build
from multidir.store.runs import Run


@dataclass(frozen=True)
class Results:
    """Estimates, what they decide, and the sentence that says it."""

    tables: Mapping[str, pd.DataFrame]
    """By file stem: `cells`, `rates`, ..."""
    headline: str
    verdicts: Sequence[Verdict] = ()
    choice: Choice | None = None
    remarks: Sequence[str] = ()
    """What a reader must know beside the verdicts: what was left out, what was not run."""


def save_results(run: Run, results: Results) -> None:
    """Write tables, verdicts and choice, and note the headline."""
    for name, table in results.tables.items():
        table.to_csv(run.file(f"{name}.csv"), index=False)
    if results.verdicts:
        write_json_atomic(run.file("verdicts.json"), list(results.verdicts))
    if results.choice is not None:
        write_json_atomic(run.file("choice.json"), results.choice)
    run.note(headline=results.headline, **({"remarks": list(results.remarks)} if results.remarks else {}))


def read_choice(run: Path) -> Choice:
    """The site, window and dose that analysis/offsets settled on.

    Raises:
        FormatError: the run has no choice.
    """
    file = run / "choice.json"
    if not file.is_file():
        raise FormatError(f"{run} holds no choice.json; give a run folder of analysis/offsets")
    return build(Choice, json.loads(file.read_text(encoding="utf-8")))


def read_verdicts(run: Path) -> list[Verdict]:
    """The verdicts of a run; none when it decides nothing."""
    file = run / "verdicts.json"
    if not file.is_file():
        return []
    return [build(Verdict, item) for item in json.loads(file.read_text(encoding="utf-8"))]
