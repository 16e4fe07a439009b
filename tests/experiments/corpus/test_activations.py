"""A capture of two models into one store: aligned, resumable, extended and relabelled without a second capture."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from multidir.errors import ConfigError, DesignError, FormatError
from multidir.experiments.corpus import activations
from multidir.experiments.corpus.activations import left_out, put_sentences
from multidir.models.load import load_model
from multidir.records.pair import Pair
from multidir.store import writer
from multidir.store.activations import ActivationStore
from multidir.store.link import continue_store
from tests.experiments.tiny_store import SITES, capture_tiny, renamed, save_pair
from tests.models.tiny import tiny_tokenizer
from tests.store.stores import ANNOTATOR, LENGTHS, folder_bytes, make_sentences, make_traces

TRACES = make_traces(LENGTHS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    torch.set_num_threads(1)
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("role", ["base", "reasoning"])
def test_both_models_at_every_site_equal_transformers(pair: Pair, tmp_path: Path, role: str) -> None:
    store = capture_tiny(tmp_path / "s", pair, TRACES, dtype="float32")
    assert (store.roles, store.sites) == (("base", "reasoning"), SITES)
    model = load_model(pair.source(role), role, "cpu").model
    for trace in TRACES:
        states = model(torch.tensor([trace.token_ids]), output_hidden_states=True).hidden_states
        for site in SITES:
            expected = states[site.hidden_states_index][0]
            found = torch.from_numpy(store.rows(role, site, store.trace_rows(trace.id)))
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_of_the_model_is_stored_bit_for_bit(pair: Pair, tmp_path: Path) -> None:
    exact = capture_tiny(tmp_path / "a", pair, TRACES, dtype="float32")
    stored = capture_tiny(tmp_path / "b", pair, TRACES)
    for key in exact.spec.keys:
        rounded = torch.from_numpy(exact.rows(*key, slice(None))).bfloat16().view(torch.uint16).numpy()
        np.testing.assert_array_equal(stored.raw_rows(*key, slice(None)), rounded)


class Stop(Exception):
    """Interrupts a capture."""


@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_an_interrupted_capture_goes_on_to_the_same_bytes(
    pair: Pair, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    sentences = make_sentences(TRACES, rng)
    capture_tiny(tmp_path / "whole", pair, TRACES, sentences)
    real, appended = activations.capture, []

    def stopping(*arguments: object) -> object:
        for found in real(*arguments):
            appended.append(found[0])
            if len(appended) > 2 * after:
                raise Stop
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(activations, "capture", stopping)
        with pytest.raises(Stop):
            capture_tiny(tmp_path / "s", pair, TRACES)
    assert not ActivationStore.open(tmp_path / "s", verify=True).manifest.complete
    capture_tiny(tmp_path / "s", pair, TRACES, sentences)
    assert folder_bytes(tmp_path / "s") == folder_bytes(tmp_path / "whole")


def test_the_model_computes_while_a_shard_is_written(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    further, real_capture, real_write, waited = threading.Event(), activations.capture, writer.write_shard, []

    def watched(*arguments: object) -> object:
        for found in real_capture(*arguments):
            if found[0] > 1:  # the first shard holds traces 0 and 1
                further.set()
            yield found

    def slow(*arguments: object) -> object:
        waited.append(further.wait(timeout=60))
        return real_write(*arguments)

    monkeypatch.setattr(activations, "capture", watched)
    monkeypatch.setattr(writer, "write_shard", slow)
    capture_tiny(tmp_path / "s", pair, TRACES)
    assert waited[0]


def test_the_manifest_says_what_made_it_and_not_where(pair: Pair, tmp_path: Path) -> None:
    store = capture_tiny(tmp_path / "s", pair, TRACES)
    facts = store.spec.models["reasoning"]
    assert {"source", "revision", "fingerprint", "tokenizer", "chat_template", "dtype", "attention"} <= facts.keys()
    assert (facts["source"], facts["dtype"], len(facts["chat_template"])) == ("reasoning", "float32", 64)
    assert store.spec.models["base"]["chat_template"] is None
    (source,) = store.manifest.sources
    assert (source["traces"], source["written_by"], source["sampling"], source["skipped"]) == (8, ["m"], [{}], {})
    assert len(source["prompt_set"]) == 64
    moved = Path(shutil.copytree(Path(pair.base).parent, tmp_path / "elsewhere"))
    again = capture_tiny(tmp_path / "t", Pair(str(moved / "base"), str(moved / "reasoning")), TRACES)
    assert folder_bytes(tmp_path / "t") == folder_bytes(tmp_path / "s")
    assert again.content_hash == store.content_hash


def test_special_tokens_are_mapped_and_what_cannot_be_is_left_out(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "map.json"
    table.write_text(json.dumps({"60": 7, "20": None}))
    mapped = replace(pair, special_map=str(table))
    far = replace(TRACES[0], id="far", token_ids=(5, 9999), n_prompt=1)
    long = replace(TRACES[0], id="long", token_ids=(5,) * 257, n_prompt=1)
    store = capture_tiny(tmp_path / "s", mapped, [*TRACES, far, long])
    skipped = store.manifest.sources[0]["skipped"]
    assert "token 20 at position 19 has no counterpart in the special map" in skipped["t1"]
    assert skipped["far"] == "token 9999 at position 1 is outside the vocabulary of 416"
    assert "257 tokens are more than the 256 positions of the base model" in skipped["long"]
    kept = [trace.id for trace in TRACES if 20 not in trace.token_ids]
    assert [info.id for info in store.traces] == kept
    assert left_out(store) == f"; {len(skipped)} left out, see the store's manifest"
    assert sum("is left out" in record.message for record in caplog.records) == len(skipped)
    assert store.spec.provenance == {"special_map": {"20": None, "60": 7}}
    with pytest.raises(DesignError, match=r"none of 1 traces can be read by every model; the first reason: token 9999"):
        capture_tiny(tmp_path / "t", mapped, [far])


def test_a_token_that_means_something_else_to_the_base_model_has_to_be_mapped(tmp_path: Path) -> None:
    changed = save_pair(tmp_path)
    tokenizer = tiny_tokenizer(chat=False)
    text = tokenizer.backend_tokenizer.to_str().replace('"<think>"', '"<|reserved_7|>"')
    other = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text), bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    other.save_pretrained(tmp_path / "base")
    think = tokenizer.convert_tokens_to_ids("<think>")
    thinking = replace(TRACES[0], id="thinking", token_ids=(5, think, 6), n_prompt=1)
    skipped = capture_tiny(tmp_path / "s", changed, [*TRACES, thinking]).manifest.sources[0]["skipped"]
    assert skipped["thinking"] == (
        f"token {think} is '<think>' to the reasoning model and '<|reserved_7|>' to the base model: the special "
        "map has to say what the base model reads"
    )
    (tmp_path / "map.json").write_text(json.dumps({str(think): think}))
    mapped = capture_tiny(tmp_path / "t", replace(changed, special_map=str(tmp_path / "map.json")), [thinking])
    assert mapped.n_traces == 1


def test_one_model_alone(pair: Pair, tmp_path: Path) -> None:
    assert capture_tiny(tmp_path / "s", Pair(pair.base), TRACES).roles == ("base",)


def test_a_store_is_continued_without_touching_the_first(pair: Pair, tmp_path: Path, rng: np.random.Generator) -> None:
    more = renamed(make_traces([6, 9, 50]), "n")
    sentences, later = make_sentences(TRACES, rng), make_sentences(more, rng)
    first = capture_tiny(tmp_path / "a", pair, TRACES, sentences)
    before = folder_bytes(first.path)
    continue_store(tmp_path / "a", tmp_path / "b")
    assert (first.path / "shard-00000.h5").samefile(tmp_path / "b" / "shard-00000.h5")
    second = capture_tiny(tmp_path / "b", pair, more, later)
    assert folder_bytes(first.path) == before
    assert second.verify() == []
    assert [info.id for info in second.traces] == [trace.id for trace in (*TRACES, *more)]
    assert second.labels(ANNOTATOR) == [*sentences, *later]
    assert [source["traces"] for source in second.manifest.sources] == [8, 3]
    key = second.spec.keys[0]
    np.testing.assert_array_equal(second.rows(*key, slice(0, first.n_rows)), first.rows(*key, slice(None)))
    alone = capture_tiny(tmp_path / "c", pair, more)
    np.testing.assert_array_equal(second.raw_rows(*key, slice(first.n_rows, None)), alone.raw_rows(*key, slice(None)))


def test_a_continued_store_must_fit(pair: Pair, tmp_path: Path) -> None:
    capture_tiny(tmp_path / "a", pair, TRACES)
    with pytest.raises(ConfigError, match=r"another spec: .*; models\.base\.fingerprint was '.*; dtype was 'bfloat16'"):
        capture_tiny(tmp_path / "a", Pair(pair.source("reasoning"), pair.base), TRACES, dtype="float32")
    shard = tmp_path / "a" / "shard-00001.h5"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(FormatError, match=r"shard-00001.h5 was changed: its sha256 differs"):
        continue_store(tmp_path / "a", tmp_path / "b")


def test_files_are_copied_where_they_cannot_be_shared(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture_tiny(tmp_path / "a", pair, TRACES)

    def other_disk(*_: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", other_disk)
    continue_store(tmp_path / "a", tmp_path / "b")
    assert folder_bytes(tmp_path / "b") == folder_bytes(tmp_path / "a")


def test_labels_of_several_judges_and_of_some_traces_only(pair: Pair, tmp_path: Path, rng: np.random.Generator) -> None:
    sentences = make_sentences(TRACES, rng)
    store = capture_tiny(tmp_path / "s", pair, TRACES, sentences)
    other = [replace(s, annotator="judge/2", label="z") for s in sentences]
    stranger = replace(other[0], trace_id="nobody")
    corrected = [replace(s, label="c") for s in sentences if s.trace_id == "t3"]
    assert put_sentences(store, [*other, stranger, *corrected], None) == {
        ANNOTATOR: len(corrected),
        "judge/2": len(other),
    }
    assert store.labels("judge/2") == other
    assert store.labels(ANNOTATOR) == [s for s in sentences if s.trace_id < "t3"] + corrected + [
        s for s in sentences if s.trace_id > "t3"
    ]
