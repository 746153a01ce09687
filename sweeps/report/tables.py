"""A study as tables: a row per trial, per look or per layer of a look; as CSV or Parquet, by the ending of the name."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.errors import InputError
from sweeps.readings import Reading
from sweeps.report.files import HEAD, replace_file
from sweeps.report.material import Material
from sweeps.space.space import LABELS
from sweeps.verdict import Chance

Value = str | int | float | bool | datetime | None
Row = Mapping[str, Value]
Columns = Mapping[str, type]  # name -> str, int, float, bool or datetime
Write = Callable[[Sequence[Row]], None]

ENDINGS = (".csv", ".parquet")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet takes a text for a formula
ROWS_OF_A_GROUP = 20_000  # of Parquet, that are held in memory; readers skip whole groups
LARGEST = 2**63  # integers below it fit into Parquet's
OWN_COLUMNS = (store.FATE, store.REASON, store.CONFIG)  # attributes that are columns already
TRIAL_COLUMNS: Columns = {
    "study": str,
    "trial": int,
    **dict.fromkeys(("state", "fate", "reason"), str),
    "value": float,
    **dict.fromkeys(("started", "ended"), datetime),
}
FIRST = ["study", "trial"]  # columns of every table, by which it is known
MEASURES = ("seconds", "train_loss", "loss", "loss_std", "f1", "gradient_norm", "update_ratio")
CLASSIFICATION_COLUMNS: Columns = {"top1": float, "top5": float, "hits1": int, "hits5": int}
READING_COLUMNS: Columns = {
    "study": str,
    **dict.fromkeys(("trial", "step"), int),
    **dict.fromkeys((*MEASURES, "gain", "signal"), float),
    **CLASSIFICATION_COLUMNS,
    "count": int,
    "finite": bool,
}
VITALS = ("mean", "std", "signal", "dead", "gradient_norm", "update_ratio", "saturated")
WEIGHTS = ("omega_mean", "omega_std", "tau_mean", "tau_std", "in_domain")
LAYER_COLUMNS: Columns = {
    "study": str,
    **dict.fromkeys(("trial", "step", "index"), int),
    "layer": str,
    **dict.fromkeys((*VITALS, *WEIGHTS), float),
}


@dataclass(frozen=True, slots=True)
class ReadingTable:
    """A table of looks: its columns, and its rows of one look."""

    columns: Columns
    rows: Callable[[str, int, Reading, Chance], Iterable[Row]]


def require_known(path: Path, option: str) -> None:
    """Make sure that a table can be written in the format that a file's name asks for.

    Raises:
        InputError: it cannot.
    """
    if path.suffix not in ENDINGS:
        raise InputError(f"{option} {path}: the ending decides the format; name a .csv or a .parquet file")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401, PLC0415  not everybody has it
        except ImportError as exc:
            mend = "install it with pip install 'optuna-sweeps[parquet]', or name a .csv file"
            raise InputError(f"{option} {path}: Parquet needs pyarrow; {mend}") from exc


def require_ours(path: Path, option: str) -> None:
    """Make sure that no other file than such a table is replaced by one.

    Raises:
        InputError: another file is there.
    """
    if path.exists() and path.stat().st_size and _first_columns(path) != FIRST:
        raise InputError(f"{option} {path}: is there and no table of sweeps report; name another file, or remove it")


def _first_columns(path: Path) -> list[str]:
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
    """Write a row per trial: what it was, all values of its recipe (`config.learning_rate`), and all that was noted of
    it.

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
    """Write tables of readings in one pass over the trials; one trial is held at a time.

    Args:
        tables: each with its file and the option that named that.
        said: told of how many trials have been written.

    Raises:
        InputError: a file cannot be written.
    """
    trials = made_of.trials
    name = made_of.space.name
    if trials:
        chance = autopsies.chance_of(trials[0], trials)
    else:
        chance = Chance.balanced(2)
    with _open_writers([open_table(path, table.columns, option) for table, path, option in tables]) as writes:
        for done, (number, readings) in enumerate(made_of.readings([trial.number for trial in trials]), 1):
            for (table, _, _), write in zip(tables, writes, strict=True):
                write([row for reading in readings for row in table.rows(name, number, reading, chance)])
            report_progress(done)


@contextmanager
def open_table(path: Path, columns: Columns, option: str) -> Iterator[Write]:
    """Write rows to a new file, which takes the place of an old one in the end.

    What is absent, None or not a number is an empty cell of CSV, and null in Parquet.

    Raises:
        InputError: the file cannot be written.
    """
    with (
        replace_file(path, option) as partial,
        (_open_parquet if path.suffix == ".parquet" else _open_csv)(partial, columns) as write,
    ):
        yield write


@contextmanager
def _open_csv(path: Path, columns: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        yield lambda rows: writer.writerows(
            [_format_cell(row.get(name), columns[name]) for name in columns] for row in rows
        )


def _format_cell(value: Value, kind: type) -> str:
    """Return a text that a spreadsheet would run as a formula begins with an apostrophe, which keeps it from that."""
    known = _convert_value(value, kind)
    if known is None:
        return ""
    if isinstance(known, bool):
        if known:
            return "true"
        return "false"
    if isinstance(known, datetime):
        return known.isoformat()
    if isinstance(known, str) and known.startswith(FORMULA):
        return f"'{known}"
    return str(known)


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
    gathered: list[dict[str, Value]] = []

    def flush() -> None:
        writer.write_table(pyarrow.Table.from_pylist(gathered, schema=schema))
        gathered.clear()

    def write(rows: Sequence[Row]) -> None:
        gathered.extend({name: _convert_value(row.get(name), kind) for name, kind in columns.items()} for row in rows)
        if len(gathered) >= ROWS_OF_A_GROUP:
            flush()

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write
        flush()


def _convert_value(value: Value, kind: type) -> Value:
    """Return a value as a column of this kind holds it; None for what is not there and for NaN."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if kind is datetime:
        return value
    if kind is str:
        return str(value).encode("utf-8", "backslashreplace").decode()
    found: Value = kind(value)
    return found


@contextmanager
def _open_writers(each: Sequence[AbstractContextManager[Write]]) -> Iterator[list[Write]]:
    """Open several writers, one inside the other."""
    if not each:
        yield []
        return
    with each[0] as first, _open_writers(each[1:]) as others:
        yield [first, *others]


def _make_trial_row(study: str, trial: FrozenTrial) -> dict[str, Value]:
    config = store.read_config(trial.user_attrs)
    recipe = config.model_dump(mode="json") if config else {}
    noted = {name: value for name, value in trial.user_attrs.items() if name not in OWN_COLUMNS}
    return {
        "study": study,
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "fate": trial.user_attrs.get(store.FATE),
        "reason": trial.user_attrs.get(store.REASON),
        "value": trial.value if trial.values is not None and trial.state.is_finished() else None,
        "started": _convert_to_utc(trial.datetime_start),
        "ended": _convert_to_utc(trial.datetime_complete),
        **{name: trial.params[name] for name in LABELS if name in trial.params},
        **_flatten_table(recipe, "config."),
        **{
            f"attribute.{name}" if name in TRIAL_COLUMNS else name: _convert_to_plain(value)
            for name, value in noted.items()
        },
    }


def _convert_to_utc(local: datetime | None) -> datetime | None:
    """Return a time in UTC; Optuna's times are local and do not say so."""
    return local and local.astimezone(UTC)


def _flatten_table(table: Mapping[str, Any], prefix: str) -> dict[str, Value]:
    cells: dict[str, Value] = {}
    for name, value in table.items():
        cells |= (
            _flatten_table(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{name}": _convert_to_plain(value)}
        )
    return cells


def _convert_to_plain(value: Any) -> Value:
    if isinstance(value, str | int | float | None):
        return value
    return json.dumps(value, sort_keys=True)


def _find_column_types(rows: Sequence[Row]) -> dict[str, type]:
    """Return the kinds of columns that trials fill as they come: of integers and floats floats, of anything else
    texts.
    """
    values: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds = values.setdefault(name, set())
            if value is not None:
                kinds.add(str if type(value) is int and abs(value) >= LARGEST else type(value))
    return {name: _merge_types(kinds) for name, kinds in values.items() if name not in TRIAL_COLUMNS}


def _merge_types(kinds: set[type]) -> type:
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds == {int, float}:
        return float
    return str


def _make_reading_row(study: str, number: int, reading: Reading, chance: Chance) -> Iterator[Row]:
    names = (*MEASURES, "step", "count", "finite", *(CLASSIFICATION_COLUMNS if chance.classes else ()))
    known = {name: getattr(reading, name) for name in names}
    yield {
        "study": study,
        "trial": number,
        "gain": _convert_number(chance.skill_score(reading.loss)),
        "signal": reading.signal,
        **known,
    }


def _convert_number(value: float) -> float | None:
    if isfinite(value):
        return value
    return None


def _make_layer_rows(study: str, number: int, reading: Reading, _: Chance) -> Iterator[Row]:
    for index, layer in enumerate(reading.layers):
        known = {name: getattr(layer, name) for name in VITALS}
        weights = {name: getattr(layer.weights, name) for name in WEIGHTS} if layer.weights else {}
        where: Row = {"study": study, "trial": number, "step": reading.step, "index": index, "layer": layer.name}
        yield {**where, **known, **weights}


READING_TABLE = ReadingTable(READING_COLUMNS, _make_reading_row)
LAYER_TABLE = ReadingTable(LAYER_COLUMNS, _make_layer_rows)
