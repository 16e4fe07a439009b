"""The library from Python: recipes as functions, what they made as objects, names that cost nothing to import."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import multidir as md
from multidir.errors import ConfigError
from multidir.notebook import Finished, _nested
from multidir.recipes.configure import from_values
from multidir.recipes.find import load_recipe


def test_recipes_chain_and_are_not_run_twice(tmp_path: Path) -> None:
    prompts = md.run("data/prompts", derive=1, search=1, confirm=1, runs=tmp_path)
    assert isinstance(prompts, Finished)
    assert "run of data/prompts, complete" in repr(prompts)
    assert len(prompts.table("derive")) == 10
    assert prompts.tables == ("confirm", "derive", "search")
    assert "10 problems to derive" in prompts.headline
    assert prompts.verdicts == []
    traces = md.run("traces", prompts=prompts, max_new_tokens=4, runs=str(tmp_path))
    assert set(traces.table("traces")["prompt_id"]) == set(prompts.table("derive")["id"])
    before = (traces.path / "manifest.json").stat().st_mtime_ns
    assert md.run("traces", prompts=prompts, max_new_tokens=4, runs=tmp_path).path == traces.path
    assert (traces.path / "manifest.json").stat().st_mtime_ns == before
    assert md.open(traces) == traces


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    prompts = md.run("data/prompts", derive=1, search=1, confirm=1, runs=tmp_path)
    with pytest.raises(ConfigError, match="has no table 'cells'; there are confirm, derive, search"):
        prompts.table("cells")
    with pytest.raises(ConfigError, match="draws no figure"):
        prompts.plot()
    with pytest.raises(ConfigError, match="no setting 'derives' \\(did you mean"):
        md.run("data/prompts", derives=1)
    with pytest.raises(ConfigError, match="no setting 'annotated'; there are reference, other"):
        md.run("analysis/agreement", annotated=1)
    with pytest.raises(ConfigError, match="not given: reference, other"):
        md.run("analysis/agreement")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        md.nothing  # noqa: B018


def test_a_table_becomes_a_plot(tmp_path: Path) -> None:
    from multidir.store.runs import open_run
    from tests.report.demo import cause_table

    with open_run(tmp_path, "analysis/causes", {}) as run:
        cause_table().to_csv(run.file("rates.csv"), index=False)
    finished = md.open(run.path)
    assert isinstance(finished, Finished)
    plot = finished.plot()
    assert plot.name == "rates_by_cause"
    assert finished.plot("rates_by_cause").data.equals(plot.data)
    assert "<svg" in plot._repr_svg_()


def test_settings_find_their_group_and_leave_its_others_alone() -> None:
    config = load_recipe("analysis/steering").config
    nested = _nested(
        config, {"directions": "d", "prompts": "p", "offsets": "o", "annotator": "grammar", "doses": [0.5], "runs": "r"}
    )
    assert set(nested) == {"directions", "prompts", "offsets", "science", "compute"}
    made = from_values(config, nested, "test")
    default = config(Path("p"), Path("d"), Path("o"))
    assert made.science.scoring.annotator == "grammar"
    assert made.science.scoring.keywords == default.science.scoring.keywords
    assert made.science.doses == (0.5,)
    assert made.compute.runs == Path("r")


def test_every_public_name_is_there_and_none_is_imported_before_it_is_used() -> None:
    for name in md.__all__:
        assert find_spec(f"multidir.{name}") is None, "a package of this name would take its place once it is imported"
        assert getattr(md, name) is not None
        assert name in dir(md)
    code = "import sys, multidir; print([m for m in sys.modules if m.startswith('multidir.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
