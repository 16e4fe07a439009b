"""`multidir show` on an activation store: what it is, what its activations look like, and whether it is whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multidir.cli import main
from multidir.errors import DesignError
from multidir.records.site import Site
from multidir.report import figures
from multidir.report.figures.store import channel_table, norm_table
from multidir.report.show import show
from multidir.report.show_store import sparkline
from multidir.store.activations import ActivationStore
from multidir.store.survey import Survey, survey
from tests.report import demo
from tests.store.stores import ANNOTATOR, LENGTHS, SITES, make_sentences, make_traces, spec, values_of, write

SOURCE = {"traces": 8, "prompt_set": "ab" * 32, "skipped": {"t99": "token 9 has no counterpart"}}


@pytest.fixture
def store(tmp_path: Path, rng: np.random.Generator) -> ActivationStore:
    traces = make_traces(LENGTHS)
    made = write(tmp_path / "store", traces)
    made.put_labels(ANNOTATOR, make_sentences(traces, rng), window=(-2, 1))
    ActivationStore.create(made.path, spec(), [], SOURCE).close()
    return ActivationStore.open(made.path)


def test_a_survey_of_everything_is_exact(store: ActivationStore) -> None:
    key = ("base", SITES[0])
    values = np.concatenate([values_of(trace, key)[1:] for trace in make_traces(LENGTHS)]).astype(np.float64)
    first = np.concatenate([values_of(trace, key)[:1] for trace in make_traces(LENGTHS)]).astype(np.float64)
    found = survey(store, *key)
    np.testing.assert_allclose(found.norms, np.linalg.norm(values, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.first_norms, np.linalg.norm(first, axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.mean, values.mean(axis=0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.rms, np.sqrt((values**2).mean(axis=0)), rtol=1e-10)
    assert np.median(found.loudness()) == pytest.approx(1)


def test_a_survey_of_a_large_store_reads_a_part_of_it(tmp_path: Path) -> None:
    traces = make_traces([500] * 8)
    large = write(tmp_path / "s", traces, spec(models={"base": {}}, sites=SITES[:1], shard_rows=1000))
    found = survey(large, "base", SITES[0], rows=640)
    assert 500 < len(found.norms) <= 640
    everything = survey(large, "base", SITES[0])
    assert len(everything.norms) == 8 * 499
    assert np.median(found.norms) == pytest.approx(np.median(everything.norms), rel=0.1)


def test_nothing_to_survey_is_said(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match="holds no token after the first one"):
        survey(write(tmp_path / "s", make_traces([1, 1])), "base", SITES[0])
    assert show(tmp_path / "s").startswith("activation store: 2 tokens of 2 traces, width 6, bfloat16\n")


def test_show_says_what_is_in_it(store: ActivationStore) -> None:
    text = show(store.path)
    for part in (
        "activation store: 167 tokens of 8 traces, width 6, bfloat16\n",
        "5 shards",
        store.content_hash,
        "base: b, weights 0",
        "L2.resid_post = hidden_states[3], L3.resid_pre = hidden_states[3]",
        "8 to the prompts abababababab; 1 left out",
        "without t99: token 9 has no counterpart",
        "not labelled; sums over tokens -2..1",
        "reasoning L3.resid_pre",
        "against the median channel",
        "first tokens",
    ):
        assert part in text


def test_show_says_when_a_store_is_unfinished(tmp_path: Path) -> None:
    traces = make_traces([40, 3])
    with pytest.raises(KeyError), ActivationStore.create(tmp_path / "s", spec(), traces) as writer:  # noqa: PT012
        writer.append("t0", {key: values_of(traces[0], key) for key in spec().keys})
        raise KeyError
    assert "40 tokens of 1 traces, width 6, bfloat16, unfinished: start its capture again" in show(tmp_path / "s")


def test_show_verifies_and_draws_on_request(
    store: ActivationStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["show", str(store.path), "--verify", "--figures", str(tmp_path / "figures")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "every file is as it was written" in out
    files = {f"{name}.{kind}" for name in ("token_norms", "channel_sizes") for kind in ("svg", "png", "csv")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == files
    assert all(str(tmp_path / "figures" / name) in out for name in files)
    shard = store.path / "shard-00002.h5"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert main(command[:3]) == 1
    assert "shard-00002.h5 was changed: its sha256 differs from the manifest" in capsys.readouterr().out


def test_norms_fall_into_their_bins() -> None:
    surveys = demo.store_surveys()
    table = norm_table(surveys)
    for found in surveys:
        bins = table[table["role"] == found.role]
        assert bins["share"].sum() == pytest.approx(1)
        one = bins[(bins["norm_lo"] <= 12) & (bins["norm_hi"] > 12)].iloc[0]
        inside = (found.norms >= one["norm_lo"]) & (found.norms < one["norm_hi"])
        assert one["share"] == pytest.approx(inside.mean())


def test_loud_channels_are_named() -> None:
    surveys = demo.store_surveys()
    table = channel_table(surveys)
    top = table[table["role"] == "base"].iloc[0]
    assert top["channel"] == 40
    assert top["rms"] == pytest.approx(60.0 / np.median(surveys[0].rms))
    np.testing.assert_allclose(table["mean"] ** 2 + table["deviation"] ** 2, table["rms"] ** 2, rtol=1e-10)
    plot = figures.channel_sizes(table)
    assert "are 40 (" in plot.reading
    assert {text.get_text() for text in plot.figure.axes[0].texts} >= {"40", "7"}


def test_equal_norms_are_drawn_and_zeros_are_not() -> None:
    same = Survey("base", Site(1), np.full(5, 3.0), np.full(2, 3.0), np.zeros(4), np.full(4, 1.5))
    table = norm_table([same])
    assert table["share"].sum() == pytest.approx(1)
    assert figures.token_norms(table).svg()
    assert figures.channel_sizes(channel_table([same])).svg()
    with pytest.raises(DesignError, match="every activation is zero"):
        norm_table([replace(same, norms=np.zeros(5))])


def test_a_sparkline_is_a_histogram() -> None:
    assert sparkline(np.array([2.0, 2.0])) == "█"
    assert sparkline(np.zeros(3)) == "█"
    line = sparkline(np.concatenate([np.full(8, 1.0), [10.0], np.full(4, 100.0)]))
    assert (len(line), line[0], line[12], line[-1], line[5]) == (24, "█", "▁", "▄", " ")
