"""A study as tables: a row per trial, per reading, or per layer and reading.

The ending of the file's name decides between CSV and Parquet.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.errors import InputError
from sweeps.outputs import replace_file
from sweeps.readings import Reading
from sweeps.report.material import Material
from sweeps.space.space import LABELS
from sweeps.surfaces import escape_formula
from sweeps.verdict import Chance

HEAD = 4096  # bytes of a file in which the names of its first columns are looked for
Value = str | int | float | bool | datetime | None
Row = Mapping[str, Value]
Columns = Mapping[str, type]  # name -> str, int, float, bool or datetime
Write = Callable[[Sequence[Row]], None]

ENDINGS = (".csv", ".parquet")
ROWS_OF_A_GROUP = 20_000  # of Parquet, held in memory while they are written; readers can skip whole groups
LARGEST = 2**63  # integers below it fit into a column of Parquet
OWN_COLUMNS = (store.FATE, store.REASON, store.CONFIG)  # attributes that are columns already
TRIAL_COLUMNS: Columns = {
    "study": str,
    "trial": int,
    "state": str,
    "fate": str,
    "reason": str,
    "value": float,
    "started": datetime,
    "ended": datetime,
}
FIRST = ["study", "trial"]  # columns at the start of every table, by which it is recognised
MEASURES = ("seconds", "train_loss", "loss", "loss_std", "f1", "gradient_norm", "update_ratio")
CLASSIFICATION_COLUMNS: Columns = {"top1": float, "top5": float, "hits1": int, "hits5": int}
READING_COLUMNS: Columns = {
    "study": str,
    "trial": int,
    "step": int,
    **dict.fromkeys(MEASURES, float),
    "gain": float,
    "signal": float,
    **CLASSIFICATION_COLUMNS,
    "count": int,
    "finite": bool,
}
VITALS = ("mean", "std", "signal", "dead", "gradient_norm", "update_ratio", "saturated")
WEIGHTS = ("omega_mean", "omega_std", "tau_mean", "tau_std", "in_domain")
LAYER_COLUMNS: Columns = {
    "study": str,
    "trial": int,
    "step": int,
    "index": int,
    "layer": str,
    **dict.fromkeys(VITALS + WEIGHTS, float),
}


@dataclass(frozen=True, slots=True)
class ReadingTable:
    """A kind of table made from readings: its columns, and a function that makes the rows of one reading."""

    columns: Columns
    rows: Callable[[str, int, Reading, Chance], Iterable[Row]]


def require_known(path: Path, option: str) -> None:
    """Check that a table can be written in the format that a file's name asks for.

    Raises:
        InputError: it cannot.
    """
    if path.suffix not in ENDINGS:
        raise InputError(f"{option} {path}: the ending decides the format; name a .csv or a .parquet file")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401, PLC0415  an optional dependency
        except ImportError as exc:
            advice = "install it with pip install 'optuna-sweeps[parquet]', or name a .csv file"
            raise InputError(f"{option} {path}: Parquet needs pyarrow; {advice}") from exc


def require_ours(path: Path, option: str) -> None:
    """Check that the file to be replaced, if there is one, is a table of sweeps report.

    Raises:
        InputError: it is another file.
    """
    if path.exists() and path.stat().st_size and _read_first_columns(path) != FIRST:
        raise InputError(f"{option} {path}: is there and no table of sweeps report; name another file, or remove it")


def _read_first_columns(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        try:
            names: list[str] = parquet.read_schema(path).names
        except (pyarrow.ArrowException, OSError):
            return []
        return names[: len(FIRST)]
    with path.open("rb") as file:
        return file.readline(HEAD).decode(errors="replace").strip().split(",")[: len(FIRST)]


def write_trials(made_of: Material, path: Path, option: str) -> None:
    """Write a row per trial: its state and result, its recipe (`config.learning_rate`), and its other attributes.

    Raises:
        InputError: the file cannot be written.
    """
    rows = [_make_trial_row(made_of.space.name, trial) for trial in made_of.trials]
    with open_table(path, {**TRIAL_COLUMNS, **_find_column_types(rows)}, option) as write:
        write(rows)


def write_readings(
    made_of: Material,
    tables: Sequence[tuple[ReadingTable, Path, str]],
    report_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write tables of readings in one pass over the trials; the readings of one trial are in memory at a time.

    Args:
        tables: each with its file and the option that named the file.
        report_progress: called with the number of trials that have been written.

    Raises:
        InputError: a file cannot be written.
    """
    trials = made_of.trials
    name = made_of.space.name
    if trials:
        chance = autopsies.chance_of(trials[0], trials)
    else:
        chance = Chance.balanced(2)
    numbers = [trial.number for trial in trials]
    with _open_writers([open_table(path, table.columns, option) for table, path, option in tables]) as writers:
        for done, (number, readings) in enumerate(made_of.readings(numbers), 1):
            for (table, _, _), write in zip(tables, writers, strict=True):
                write([row for reading in readings for row in table.rows(name, number, reading, chance)])
            report_progress(done)


@contextmanager
def open_table(path: Path, columns: Columns, option: str) -> Iterator[Write]:
    """Yield a function that writes rows to a new file; at the end the file replaces an older one.

    A value that is absent, None or NaN is an empty cell in CSV and null in Parquet.

    Raises:
        InputError: the file cannot be written.
    """
    if path.suffix == ".parquet":
        open_file = _open_parquet
    else:
        open_file = _open_csv
    with replace_file(path, option) as partial, open_file(partial, columns) as write:
        yield write


@contextmanager
def _open_csv(path: Path, columns: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(escape_formula, columns))
        yield lambda rows: writer.writerows(
            [_format_cell(row.get(name), columns[name]) for name in columns] for row in rows
        )


def _format_cell(value: Value, kind: type) -> str:
    """Return a cell of CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    converted = _convert_value(value, kind)
    if converted is None:
        return ""
    if isinstance(converted, bool):
        if converted:
            return "true"
        return "false"
    if isinstance(converted, datetime):
        return converted.isoformat()
    if isinstance(converted, str):
        return escape_formula(converted)
    return str(converted)


@contextmanager
def _open_parquet(path: Path, columns: Columns) -> Iterator[Write]:
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
        datetime: pyarrow.timestamp("us", tz="UTC"),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    pending: list[dict[str, Value]] = []

    def write_group() -> None:
        writer.write_table(pyarrow.Table.from_pylist(pending, schema=schema))
        pending.clear()

    def write_rows(rows: Sequence[Row]) -> None:
        pending.extend({name: _convert_value(row.get(name), kind) for name, kind in columns.items()} for row in rows)
        if len(pending) >= ROWS_OF_A_GROUP:
            write_group()

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write_rows
        write_group()


def _convert_value(value: Value, kind: type) -> Value:
    """Return a value in the type of its column; None for None and for NaN."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if kind is datetime:
        return value
    if kind is str:
        return str(value).encode("utf-8", "backslashreplace").decode()
    converted: Value = kind(value)
    return converted


@contextmanager
def _open_writers(openers: Sequence[AbstractContextManager[Write]]) -> Iterator[list[Write]]:
    """Yield the writers of several files, and close them all at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(opener) for opener in openers]


def _make_trial_row(study: str, trial: FrozenTrial) -> dict[str, Value]:
    row: dict[str, Value] = {
        "study": study,
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "fate": trial.user_attrs.get(store.FATE),
        "reason": trial.user_attrs.get(store.REASON),
        "value": None,
        "started": _convert_to_utc(trial.datetime_start),
        "ended": _convert_to_utc(trial.datetime_complete),
    }
    if trial.values is not None and trial.state.is_finished():
        row["value"] = trial.value
    for name in LABELS:
        if name in trial.params:
            row[name] = trial.params[name]
    config = store.read_config(trial.user_attrs)
    if config:
        row |= _flatten_table(config.model_dump(mode="json"), "config.")
    for name, value in trial.user_attrs.items():
        if name in OWN_COLUMNS:
            continue
        if name in TRIAL_COLUMNS:
            row[f"attribute.{name}"] = _convert_to_plain(value)
        else:
            row[name] = _convert_to_plain(value)
    return row


def _convert_to_utc(local: datetime | None) -> datetime | None:
    """Return a time in UTC; Optuna's times are local and do not say so."""
    return local and local.astimezone(UTC)


def _flatten_table(table: Mapping[str, Any], prefix: str) -> dict[str, Value]:
    cells: dict[str, Value] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            cells |= _flatten_table(value, f"{prefix}{name}.")
        else:
            cells[f"{prefix}{name}"] = _convert_to_plain(value)
    return cells


def _convert_to_plain(value: Any) -> Value:
    if isinstance(value, str | int | float | None):
        return value
    return json.dumps(value, sort_keys=True)


def _find_column_types(rows: Sequence[Row]) -> dict[str, type]:
    """Return the types of the columns that are not in every table of trials, from the values in them."""
    value_types: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = value_types.setdefault(name, set())
            if type(value) is int and abs(value) >= LARGEST:
                kinds.add(str)
            elif value is not None:
                kinds.add(type(value))
    return {name: _merge_types(kinds) for name, kinds in value_types.items() if name not in TRIAL_COLUMNS}


def _merge_types(kinds: set[type]) -> type:
    """Return the type of a column: float for integers and floats, str for other mixtures."""
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {int, float}:
        return float
    return str


def _make_reading_row(study: str, number: int, reading: Reading, chance: Chance) -> Iterator[Row]:
    row: dict[str, Value] = {
        "study": study,
        "trial": number,
        "step": reading.step,
        "gain": _convert_number(chance.skill_score(reading.loss)),
        "signal": reading.signal,
        "count": reading.count,
        "finite": reading.finite,
    }
    row |= {name: getattr(reading, name) for name in MEASURES}
    if chance.classes:
        row |= {name: getattr(reading, name) for name in CLASSIFICATION_COLUMNS}
    yield row


def _convert_number(value: float) -> float | None:
    if isfinite(value):
        return value
    return None


def _make_layer_rows(study: str, number: int, reading: Reading, _: Chance) -> Iterator[Row]:
    for index, layer in enumerate(reading.layers):
        row: dict[str, Value] = {
            "study": study,
            "trial": number,
            "step": reading.step,
            "index": index,
            "layer": layer.name,
        }
        row |= {name: getattr(layer, name) for name in VITALS}
        if layer.weights:
            row |= {name: getattr(layer.weights, name) for name in WEIGHTS}
        yield row


READING_TABLE = ReadingTable(READING_COLUMNS, _make_reading_row)
LAYER_TABLE = ReadingTable(LAYER_COLUMNS, _make_layer_rows)
