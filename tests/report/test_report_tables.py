"""Tables of trials, looks and layers, read back by pyarrow and Python's csv, and held against the store."""

import csv
import json
import math
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fakes
import pytest
from optuna.trial import FrozenTrial
from servers import absent
from studies import config_of, material, mixed, space, trial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.errors import InputError
from sweeps.readings import Reading
from sweeps.report import material as gathering
from sweeps.report import tables
from sweeps.report.material import Material
from sweeps.space import file as space_file

OVERRIDES = ["budget.trials=6", "space.momentum={choices=[0.5, 0.9], when={activation='selu'}}"]
ODD = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Material, list[FrozenTrial], dict[int, list[Reading]]]:
    """A study that a worker made, as a report gathers it, and as Optuna and the store have it."""
    storage = store.connect(f"sqlite:///{tmp_path_factory.mktemp('stored')}/sweeps.db", create=True)
    study = store.create_study(storage, space_file.parse_space(fakes.TINY, OVERRIDES), fakes.TINY, OVERRIDES)
    fakes.work(storage, study, fakes.learning)
    trials = study.get_trials(deepcopy=False)
    study_id = store.id_of(storage, study)
    return (
        gathering.read_material(storage, study),
        trials,
        {each.number: store.readings(storage.engine, study_id, each.number) for each in trials},
    )


def parquet(path: Path) -> tuple[Mapping[str, str], list[dict[str, Any]]]:
    """The kinds of columns, and the rows."""
    try:
        from pyarrow import parquet as reader
    except ImportError as error:
        absent(error)
    found = reader.read_table(path)
    return {field.name: str(field.type) for field in found.schema}, found.to_pylist()


def texts(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def leaves(table: Mapping[str, Any], prefix: str = "config.") -> dict[str, Any]:
    """The values of a recipe by their dotted names."""
    return {
        name: value
        for key, inner in table.items()
        for name, value in (
            leaves(inner, f"{prefix}{key}.") if isinstance(inner, dict) else {f"{prefix}{key}": inner}
        ).items()
    }


def test_parquet_has_a_row_per_trial_that_is_what_the_store_holds(stored: Any, tmp_path: Path) -> None:
    made_of, trials, _ = stored
    tables.write_trials(made_of, tmp_path / "trials.parquet", "--trials")
    kinds, rows = parquet(tmp_path / "trials.parquet")
    assert [row["trial"] for row in rows] == list(range(6))
    for row, each in zip(rows, trials, strict=True):
        assert (row["study"], row["state"], row["value"]) == ("tiny", each.state.name.lower(), each.value)
        for name, value in leaves(config_of(each)).items():
            assert row[name] == value, name
        for name in ("fate", "reason", "steps", "top1", "loss", "gain", "seconds", "host", "learner", "data_digest"):
            assert row[name] == each.user_attrs.get(name), name
        assert json.loads(row["versions"]) == each.user_attrs["versions"]
        assert each.datetime_start is not None
        assert row["started"] == each.datetime_start.astimezone(UTC)
    assert {name: kinds[name] for name in ("trial", "steps", "config.seed", "config.model.width")} == dict.fromkeys(
        ("trial", "steps", "config.seed", "config.model.width"), "int64"
    )
    assert {kinds[name] for name in ("value", "loss", "config.learning_rate", "seconds")} == {"double"}
    assert {kinds[name] for name in ("fate", "config.activation", "versions")} == {"string"}
    assert (kinds["learner"], kinds["started"]) == ("bool", "timestamp[us, tz=UTC]")


def test_csv_has_the_same_with_what_is_absent_empty(stored: Any, tmp_path: Path) -> None:
    made_of, trials, _ = stored
    tables.write_trials(made_of, tmp_path / "trials.csv", "--trials")
    rows = texts(tmp_path / "trials.csv")
    for row, each in zip(rows, trials, strict=True):
        assert int(row["trial"]) == each.number
        assert float(row["config.learning_rate"]) == config_of(each)["learning_rate"]
        assert row["learner"] == {True: "true", False: "false", None: ""}[each.user_attrs.get("learner")]
        assert datetime.fromisoformat(row["ended"]).tzinfo is not None
        assert row["traceback" if "traceback" in row else "reason"] != "None"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_readings_and_layers_are_those_of_the_store(stored: Any, ending: str, tmp_path: Path) -> None:
    made_of, trials, readings = stored
    readings_path = tmp_path / f"readings.{ending}"
    layers_path = tmp_path / f"layers.{ending}"
    progress: list[int] = []
    both_tables = [
        (tables.READING_TABLE, readings_path, "--readings"),
        (tables.LAYER_TABLE, layers_path, "--layers"),
    ]
    tables.write_readings(made_of, both_tables, progress.append)
    assert progress == [1, 2, 3, 4, 5, 6]
    read = (lambda path: parquet(path)[1]) if ending == "parquet" else texts
    expected = [(number, reading) for number in sorted(readings) for reading in readings[number]]
    chance = autopsies.chance_of(trials[0], trials)
    rows = read(readings_path)
    assert len(rows) == len(expected) == 6 * 4
    for row, (number, reading) in zip(rows, expected, strict=True):
        assert (int(row["trial"]), int(row["step"]), int(row["hits1"])) == (number, reading.step, reading.hits1)
        assert float(row["loss"]) == reading.loss
        assert float(row["top1"]) == reading.top1
        assert float(row["gain"]) == pytest.approx(chance.skill_score(reading.loss))
        assert str(row["finite"]).lower() == "true"
        assert row["f1"] in (None, ""), "it is not a number in these"
    whole = [(number, reading, layer) for number, reading in expected for layer in reading.layers]
    for row, (number, reading, layer) in zip(read(layers_path), whole, strict=True):
        assert (int(row["trial"]), int(row["step"]), row["layer"]) == (number, reading.step, layer.name)
        assert float(row["signal"]) == layer.signal
        assert row["saturated"] in (None, ""), "it is not a number in these"


def test_kinds_of_looks_do_not_depend_on_what_is_in_them(tmp_path: Path) -> None:
    tables.write_readings(material(space(), []), [(tables.READING_TABLE, tmp_path / "none.parquet", "--readings")])
    kinds, rows = parquet(tmp_path / "none.parquet")
    assert rows == []
    assert (kinds["step"], kinds["loss"], kinds["finite"], kinds["study"]) == ("int64", "double", "bool", "string")


def test_a_text_that_a_spreadsheet_would_run_does_not_begin_as_one_and_numbers_stay(tmp_path: Path) -> None:
    of = space()
    made_of = material(
        of, [trial("learned", of, reason=reason, gain=-0.5) for reason in (ODD, "+1", "-1", "@x", "\tx", "a=b")]
    )
    tables.write_trials(made_of, tmp_path / "trials.csv", "--trials")
    rows = texts(tmp_path / "trials.csv")
    assert [row["reason"] for row in rows] == [f"'{ODD}", "'+1", "'-1", "'@x", "'\tx", "a=b"]
    assert {row["gain"] for row in rows} == {"-0.5"}
    tables.write_trials(made_of, tmp_path / "trials.parquet", "--trials")
    assert parquet(tmp_path / "trials.parquet")[1][0]["reason"] == ODD, "nobody runs what is in Parquet"


def test_odd_texts_come_back(tmp_path: Path) -> None:
    of = space()
    reasons = ['"quoted", with; comma', "two\nlines\r\nof it", "汉字 😀 \u202e", "", "half \ud800"]
    made_of = material(of, [trial("learned", of, reason=reason) for reason in reasons])
    for ending in ("csv", "parquet"):
        tables.write_trials(made_of, tmp_path / f"trials.{ending}", "--trials")
    expected = [*reasons[:-1], "half \\ud800"]
    assert [row["reason"] for row in texts(tmp_path / "trials.csv")] == expected
    assert [row["reason"] for row in parquet(tmp_path / "trials.parquet")[1]] == expected


def test_columns_take_the_kind_that_holds_all_their_values(tmp_path: Path) -> None:
    of = space()
    noted: list[dict[str, Any]] = [
        {"a": 1, "b": 1, "c": 2**70, "d": True, "trial": 7},
        {"a": 2.5, "b": None, "c": 1, "d": "yes", "e": math.inf},
    ]
    tables.write_trials(
        material(of, [trial("learned", of, **each) for each in noted]), tmp_path / "t.parquet", "--trials"
    )
    kinds, rows = parquet(tmp_path / "t.parquet")
    assert {name: kinds[name] for name in "abcde"} == {
        "a": "double",
        "b": "int64",
        "c": "string",
        "d": "string",
        "e": "double",
    }
    assert [row["trial"] for row in rows] == [0, 1], "what was noted does not hide our own columns"
    assert rows[0]["attribute.trial"] == 7
    assert rows[0]["c"] == str(2**70)
    assert rows[1]["e"] == math.inf
    assert rows[1]["b"] is None


def test_a_study_of_every_fate_has_a_row_for_each_trial(tmp_path: Path) -> None:
    of = space()
    tables.write_trials(material(of, mixed(of)), tmp_path / "trials.parquet", "--trials")
    rows = parquet(tmp_path / "trials.parquet")[1]
    assert [row["fate"] for row in rows] == [each.user_attrs["fate"] for each in mixed(of)]
    assert rows[-2]["traceback"] == "Traceback: <no memory>"


@pytest.mark.parametrize("name", ["trials.txt", "trials", "trials.csv.gz"])
def test_an_ending_that_is_none_is_one_line(name: str) -> None:
    with pytest.raises(
        InputError, match=r"--trials \S+: the ending decides the format; name a \.csv or a \.parquet file"
    ):
        tables.require_known(Path(name), "--trials")


def test_without_pyarrow_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        InputError, match=r"needs pyarrow; install it with pip install 'optuna-sweeps\[parquet\]', or name"
    ):
        tables.require_known(Path("x.parquet"), "--trials")
    tables.require_known(Path("x.csv"), "--trials")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_that_fails_half_way_leaves_the_old_one_and_nothing_else(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text("old")

    class Power(Exception):
        pass

    def cut_off() -> None:
        with tables.open_table(path, tables.TRIAL_COLUMNS, "--trials") as write:
            write([{"study": "s", "trial": 1}])
            raise Power

    with pytest.raises(Power):
        cut_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
