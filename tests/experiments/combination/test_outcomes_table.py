from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from multidir.errors import DesignError, FormatError
from multidir.experiments.combination.counting import count
from multidir.experiments.combination.outcomes_table import check_outcomes, direction_names, read_outcomes


def rows(**columns: object) -> pd.DataFrame:
    """Two prompts in the four cells of a square, two rollouts each."""
    index = [(p, r, a, b) for p in ("x", "y") for r in (0, 1) for a in (0.0, 1.0) for b in (0.0, 2.0)]
    frame = pd.DataFrame(index, columns=["prompt", "rollout", "dose_a", "dose_b"])
    return frame.assign(sentences=30, backtracks=3).assign(**columns)


def with_value(column: str, value: object, row: int = 3) -> pd.DataFrame:
    frame = rows(**({} if column in rows() else {column: ""})).astype({column: object} if column in rows() else {})
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (rows().drop(columns=["sentences", "backtracks"]), "missing columns sentences, backtracks"),
        (rows().drop(columns="dose_b"), "two columns dose_NAME or more, got dose_a"),
        (rows(backtrack=1), r"unknown column 'backtrack' \(did you mean 'backtracks'\?\)"),
        (rows().iloc[:0], "it has no rows"),
        (
            with_value("backtracks", 2.5),
            r"counts that are not whole numbers from 0 on in 1 of 16 rows \(the first is prompt x, rollout 0\)",
        ),
        (with_value("backtracks", -1), "not whole numbers from 0 on"),
        (with_value("sentences", "many"), "not whole numbers from 0 on"),
        (with_value("backtracks", 31), "more backtracks than sentences in 1 of 16"),
        (with_value("backtracks", None), "one of sentences and backtracks without the other"),
        (with_value("dose_a", None), "a dose that is no finite number"),
        (with_value("dose_a", "high"), "a dose that is no finite number"),
        (with_value("prompt", None), "no prompt or no rollout"),
        (rows(loop=2), "loop neither 0 nor 1 in 16 of 16"),
        (pd.concat([rows(), rows().iloc[:3]]), "the same prompt, rollout, doses and control again in 3 of 19 rows"),
        (with_value("split", "confirm"), "1 prompt is in more than one split: x"),
        (with_value("category", "logic"), "1 prompt is in more than one category: x"),
        (pd.concat([rows(), rows()[["dose_a"]]], axis=1), "more than one column dose_a"),
        (with_value("control", "radnom:1"), "unknown control 'radnom:1'; write random:N"),
        (with_value("control", "random"), "unknown control 'random'"),
        (with_value("control", "beside:c"), "control 'beside:c' names no direction; there are a, b"),
        (with_value("control", "plant:or"), "unknown control 'plant:or'"),
    ],
)
def test_a_table_in_a_sentence_out(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        check_outcomes(frame)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the outcomes table cannot be used: ")


def test_everything_wrong_is_said_at_once() -> None:
    frame = with_value("backtracks", 31).astype({"sentences": object})
    frame.loc[5, "sentences"] = 2.5
    with pytest.raises(FormatError, match=r"not whole numbers.*more backtracks than sentences"):
        check_outcomes(frame)


def test_a_good_table_passes_and_missing_optional_columns_are_unknown() -> None:
    table = check_outcomes(rows())
    assert len(table) == 16
    assert table["loop"].isna().all()
    assert direction_names(table) == ["a", "b"]
    assert direction_names(check_outcomes(rows(dose_c=0.0))) == ["a", "b", "c"], "known answers push two of three"


def test_only_the_wanted_split_is_read() -> None:
    frame = rows()
    frame["split"] = np.where(frame["prompt"] == "x", "confirm", "search")
    assert set(check_outcomes(frame)["prompt"]) == {"x"}
    with pytest.raises(FormatError, match="no row of split 'derive'; there are confirm, search"):
        check_outcomes(frame, "derive")


def test_csv_and_parquet_are_read_alike(tmp_path) -> None:
    frame = rows(category="logic", control="")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    one, two = (check_outcomes(read_outcomes(tmp_path / name)) for name in ("t.csv", "t.parquet"))
    pd.testing.assert_frame_equal(one, two)
    rows(dose_c=0).to_csv(tmp_path / "unused.csv", index=False)
    with pytest.raises(FormatError, match=r"unused\.csv: dose_c is 0 in every row; leave the column"):
        read_outcomes(tmp_path / "unused.csv")
    text = (tmp_path / "t.csv").read_text().replace("dose_b", "dose_a")
    (tmp_path / "twice.csv").write_text(text)
    with pytest.raises(FormatError, match="more than one column dose_a"):
        check_outcomes(read_outcomes(tmp_path / "twice.csv"))
    with pytest.raises(FormatError, match=r"ends in \.parquet or \.csv"):
        read_outcomes(tmp_path / "t.xlsx")
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(FormatError, match="cannot be read as parquet"):
        read_outcomes(tmp_path / "bad.parquet")


def test_counts_by_prompt_and_cell() -> None:
    frame = rows()
    frame.loc[(frame["prompt"] == "y") & (frame["dose_a"] == 1), "backtracks"] = 5
    tally = count(check_outcomes(frame)).tallies[""]
    assert tally.prompts == ("x", "y")
    assert tally.directions == ("a", "b")
    assert tally.y.sum(axis=1).tolist() == [24, 32]
    assert (tally.n == 60).all()
    assert (tally.half_n == 30).all()
    assert [tally.name(i) for i in range(4)] == ["unsteered", "b 2", "a 1", "a 1 + b 2"]


def test_unscored_rollouts_are_counted_and_left_out() -> None:
    frame = rows()
    frame["sentences"], frame["backtracks"] = frame["sentences"].astype(float), frame["backtracks"].astype(float)
    frame.loc[[0, 1], ["sentences", "backtracks"]] = np.nan
    found = count(check_outcomes(frame))
    assert found.tallies[""].rollouts.sum() == 14
    assert found.notes == ("2 of 16 rollouts were not scored or have no sentence; they are left out.",)
    with pytest.raises(DesignError, match="none of 16 rollouts was scored"):
        count(check_outcomes(rows(sentences=np.nan, backtracks=np.nan)))


def test_a_loop_keeps_its_sentences_loses_its_backtracks_and_weighs_no_more_than_a_usual_rollout() -> None:
    frame = rows(loop=0)
    frame.loc[0, ["sentences", "backtracks", "loop"]] = [4000, 3900, 1]
    found = count(check_outcomes(frame))
    tally = found.tallies[""]
    assert (tally.y[0, 0], tally.n[0, 0]) == (3, 60)
    assert tally.loops is not None
    assert tally.loops.sum() == 1
    assert tally.incoherent is None
    assert "1 of 16 rollouts loop or are not coherent" in found.notes[0]


def test_models_are_apart_over_the_same_prompts() -> None:
    both = pd.concat([rows(model="reasoning"), rows(model="base", backtracks=0)])
    found = count(check_outcomes(both))
    assert found.target == "reasoning"
    assert found.tallies["base"].prompts == found.tallies["reasoning"].prompts
    assert found.tallies["base"].y.sum() == 0
    other = count(check_outcomes(pd.concat([rows(model="m1"), rows(model="m2")])))
    with pytest.raises(DesignError, match="models m1, m2; call the one"):
        _ = other.target


def test_numbers_and_truth_values_of_any_kind_are_read() -> None:
    frame = rows(loop=False, coherent=True, category=np.nan)
    frame["prompt"] = frame["prompt"].map({"x": 1, "y": 2})
    frame["loop"] = frame["loop"].astype(object)
    frame.loc[2, "loop"] = None
    found = count(check_outcomes(frame))
    assert found.tallies[""].prompts == ("1", "2")
    assert found.tallies[""].rollouts.sum() == 15  # whether it loops is not known: left out, not taken for no
    assert found.tallies[""].categories is None
