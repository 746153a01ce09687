"""TOML -> Space. Every mistake becomes one line: file: key: what is wrong and what to change. No store is touched."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from sweeps.config import LEAST_HOLDOUT_IMAGES, OWN, Config, Count, DataConfig, Frozen, ModelConfig, is_own
from sweeps.errors import SpaceError, did_you_mean, one_line, unknown_key, validation_reason
from sweeps.objective import OBJECTIVES, Direction, ObjectiveName
from sweeps.space import file_parameters, samplers
from sweeps.space.file_parameters import INNER
from sweeps.space.parameters import Parameter
from sweeps.space.space import Budget, FullSize, Space, ValidationProblem
from sweeps.verdict.rules import Rules


class StudyTable(Frozen):
    """[study]: its name in the store, the question it answers, what is best, and whose candidates it confirms.

    Attributes:
        name: in the store.
        question: what it is to answer, for people.
        priority: workers without a study of their own serve the highest first.
        confirms: the study whose candidates it runs again; `sweeps confirm` writes it.
        objective: what is compared: on the hold-out images, at the end of a trial.
        direction: follows from the objective.
    """

    name: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
    question: str = ""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    confirms: str = ""
    objective: ObjectiveName = "top1"
    direction: Direction | None = None

    @model_validator(mode="after")
    def _direction_fits(self) -> "StudyTable":
        expected = OBJECTIVES[self.objective].direction
        if self.direction not in (None, expected):
            raise ValueError(f"objective {self.objective!r} is to {expected}; drop direction = {self.direction!r}")
        return self


class BudgetTable(Frozen):
    """[budget]: see `sweeps.space.space.Budget`; either steps and report_interval, or epochs and epoch_images.

    Attributes:
        recalibrate_batch_normalization: true for a net of the user's own, false for ours, unless given. Keras's usual
            momentum of .99 leaves the moving averages behind for the first 300 steps; that of our nets, .9, does not.
    """

    trials: Count = 50
    steps: Count = 200
    report_interval: Count = 10
    epochs: Count | None = None
    epoch_images: Count | None = None
    holdout_images: Annotated[int, Field(ge=LEAST_HOLDOUT_IMAGES)] = 1024
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    channel_vitals: bool = False
    recalibrate_batch_normalization: bool | None = None

    @model_validator(mode="after")
    def _readings_fit(self) -> "BudgetTable":
        if self.epochs is not None and {"steps", "report_interval"} & self.model_fields_set:
            raise ValueError("epochs takes the place of steps and report_interval; drop those, or drop epochs")
        if self.epochs is None and self.epoch_images is not None:
            raise ValueError("epoch_images says how long an epoch is; set epochs too")
        if self.report_interval > self.steps:
            raise ValueError(
                f"report_interval = {self.report_interval} leaves no reading within steps = {self.steps}; lower it"
            )
        return self


USUAL = Rules()


class VerdictTable(Frozen):
    """[verdict]: how patient the judge is; see `sweeps.verdict.Rules`."""

    alpha: Annotated[float, Field(gt=0, le=0.5)] = USUAL.alpha
    control: Annotated[float, Field(ge=0, le=1)] = USUAL.control
    economy: bool = USUAL.economy
    rejections: Annotated[int, Field(ge=0)] = USUAL.rejections


# What [full] may say of the budget; how many trials there are has nothing to do with size.
SIZES = ("steps", "report_interval", "epochs", "epoch_images", "holdout_images")
TABLES: dict[str, type[BaseModel]] = {
    "study": StudyTable,
    "budget": BudgetTable,
    "verdict": VerdictTable,
    "data": DataConfig,
    "model": ModelConfig,
}


def read_space(path: Path, overrides: Sequence[str] = ()) -> tuple[Space, str]:
    """Return the space of a file, and the file's text.

    Args:
        path: a TOML file.
        overrides: `table.key=value`, applied before validation.

    Raises:
        SpaceError: the file cannot be read, is not TOML, or does not describe a space.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise SpaceError(str(path), [("", f"byte {exc.start} is not UTF-8; save the file as UTF-8 text")]) from exc
    except FileNotFoundError as exc:
        raise SpaceError(str(path), [("", "no such file; see search_spaces/ for examples")]) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise SpaceError(str(path), [("", f"cannot be read ({reason}); give a TOML file")]) from exc
    return parse_space(text, overrides, str(path)), text


def parse_space(text: str, overrides: Sequence[str] = (), source: str = "", *, stored: bool = False) -> Space:
    """Return the space that a TOML text describes.

    Args:
        stored: the text is that of a study, which an earlier version may have taken with choices that are equal.

    Raises:
        SpaceError: it is not TOML or does not describe a space; one problem per mistake.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as exc:
        raise SpaceError(source, [("", f"not TOML: {one_line(exc)}")]) from exc
    for override in overrides:
        _apply_override(tables, override)
    problems: list[tuple[str, str]] = []
    known = list(TABLES) + ["full", "sampler", "pruner", "space"]
    problems += [(key, unknown_key(key, known)) for key in tables if key not in known]
    for key in ("study", "space"):
        if key not in tables:
            problems.append((key, f"this table is missing; add [{key}]"))
    parts: dict[str, Any] = {
        key: _validate_table(key, tables.get(key, {}), problems) for key in TABLES if key in tables or key != "study"
    }
    _check_samplers(tables, problems)
    parameters = file_parameters.read_parameters(tables.get("space", {}), problems, may_be_equal=stored)
    if not problems:
        parts["model"] = _with_drawn_function(parts["model"], parameters)
        problems += _objective_fits(parts) + _own_values_fit(parts["model"], parameters)
    full = None
    if not problems and "full" in tables:
        full = _read_full_size(tables, parameters, problems)
    if problems:
        raise SpaceError(source, problems)
    space = _make_space(parts, tables, parameters, full)
    if problems := samplers.check_space(space):
        raise SpaceError(source, problems)
    try:
        for config in space.rehearsals():
            _fits_at_full_size(space, config)
    except (ValidationProblem, ValidationError) as exc:
        raise SpaceError(source, [("space", one_line(exc))]) from exc
    return space


def _make_space(
    parts: Mapping[str, Any], tables: dict[str, Any], parameters: tuple[Parameter, ...], full: FullSize | None
) -> Space:
    study: StudyTable = parts["study"]
    return Space(
        name=study.name,
        question=study.question,
        priority=study.priority,
        objective=study.objective,
        budget=_make_budget(parts["budget"], parts["data"], parts["model"]),
        data=parts["data"],
        model=parts["model"],
        sampler={"name": samplers.DEFAULT_SAMPLER} | tables.get("sampler", {}),
        pruner={"name": samplers.DEFAULT_PRUNER} | tables.get("pruner", {}),
        verdict=Rules(**parts["verdict"].model_dump()),
        parameters=parameters,
        tables=tables | {"budget": tables.get("budget", {})},
        confirms=study.confirms,
        full=full,
    )


def _read_full_size(
    tables: Mapping[str, Any], parameters: tuple[Parameter, ...], problems: list[tuple[str, str]]
) -> FullSize | None:
    """Read the [full] table: its data, model and budget replace those of the truncation."""
    raw = tables["full"]
    parts: dict[str, Any] = {}
    if not isinstance(raw, dict):
        problems.append(("full", f"must be a table, not {raw!r}; write [full] and model.width = ..."))
        return None
    known = ("data", "model", "my", "budget")
    problems += [(f"full.{key}", unknown_key(key, known)) for key in raw if key not in known]
    for key in ("data", "model", "budget"):
        given = raw.get(key, {})
        if not isinstance(given, dict):
            problems.append((f"full.{key}", f"must be a table, not {given!r}; write {key}.NAME = ..."))
        elif key == "budget" and (others := [name for name in given if name not in SIZES]):
            problems.append((f"full.budget.{others[0]}", unknown_key(others[0], SIZES)))
        else:
            parts[key] = _validate_table(key, put_over(tables.get(key, {}), given), problems, "full.")
    if problems:
        return None
    sampled = {parameter.name for parameter in parameters}
    for name in raw.get("model", {}):
        if f"model.{name}" in sampled:
            problems.append((f"full.model.{name}", f"space.model.{name} decides it; drop one of the two"))
    own = raw.get("my", {})
    problems += _own_sizes_fit(own, parameters)
    if problems:
        return None
    budget = _make_budget(parts["budget"], parts["data"], parts["model"])
    return FullSize(budget, parts["data"], raw.get("model", {}), own)


def _own_sizes_fit(own: Any, parameters: tuple[Parameter, ...]) -> list[tuple[str, str]]:
    """Return what is wrong with the user's own hyperparameters at full size: each takes the place of the one value
    that [space] has.
    """
    if not isinstance(own, dict):
        return [("full.my", f"must be a table, not {own!r}; write my.NAME = ...")]
    problems = []
    by_name = {parameter.name: parameter for parameter in parameters}
    names = [name.removeprefix(OWN) for name in by_name if is_own(name)]
    for name, value in own.items():
        parameter = by_name.get(f"{OWN}{name}")
        if parameter is None:
            problems.append((f"full.my.{name}", unknown_key(name, names)))
        elif not parameter.is_fixed:
            problems.append((f"full.my.{name}", f"space.my.{name} decides it; drop one of the two"))
        else:
            try:
                file_parameters.OWN_ADAPTER.validate_python(value)
            except ValidationError as exc:
                problems.append((f"full.my.{name}", validation_reason(exc.errors()[0])))
    return problems


def _with_drawn_function(model: ModelConfig, parameters: tuple[Parameter, ...]) -> ModelConfig:
    """Return the model's table; where [space] has choices of the function that builds it, with the first of them."""
    drawn = next((parameter for parameter in parameters if parameter.name == "model.build"), None)
    if drawn is None or model.build:
        return model
    return ModelConfig(build=str(drawn.cases[0].domain.ends()[0]))


def _own_values_fit(model: ModelConfig, parameters: tuple[Parameter, ...]) -> list[tuple[str, str]]:
    """Return what is wrong where there are hyperparameters of the user's own and no function that reads them."""
    if model.architecture == "custom":
        return []
    problem = 'only a function of yours reads it; set model.build = "package.module:function", or drop it'
    return [(f"space.{parameter.name}", problem) for parameter in parameters if is_own(parameter.name)]


def put_over(truncated: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with other values put over its own; steps take the place of epochs, and epochs of steps."""
    replaced: set[str] = set()
    if "epochs" in full:
        replaced = {"steps", "report_interval"}
    elif "steps" in full:
        replaced = {"epochs", "epoch_images"}
    table = {key: value for key, value in truncated.items() if key not in replaced}
    return table | dict(full)


def _fits_at_full_size(space: Space, config: Config) -> None:
    try:
        space.at_full_size(config)
    except ValidationError as exc:
        raise ValidationProblem("the values of [full]", exc) from exc


def _objective_fits(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    objective = parts["study"].objective
    task = parts["data"].task
    if task not in OBJECTIVES[objective].tasks:
        other = "top1"
        if task == "regression":
            other = "r2"
        return [("study.objective", f'{objective} is of no meaning in {task}; take "{other}" or "loss"')]
    return []


def _make_budget(table: BudgetTable, data: DataConfig, model: ModelConfig) -> Budget:
    values = table.model_dump()
    if table.recalibrate_batch_normalization is None:
        values["recalibrate_batch_normalization"] = model.architecture == "custom"
    if table.epochs is None:
        values |= {"epochs": 0, "epoch_images": 0}
    else:
        values |= {"steps": 0, "report_interval": 0, "epoch_images": table.epoch_images or data.images}
    return Budget(**values)


def value_of(text: str) -> Any:
    """Return what is written behind a key: a TOML value; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text.strip()


def _apply_override(tables: dict[str, Any], override: str) -> None:
    """Set one value of the file's tables, or drop its key where nothing stands behind the equals sign.

    The value is TOML, or a bare word taken as a string.
    """
    source = f"--set {override}"
    key, equals, value = override.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or len(path) < 2 or not all(path):
        raise SpaceError(source, [("", "write it as table.key=value, e.g. budget.trials=6")])
    if path[0] == "space" and path[1] in INNER and len(path) > 2 and not _is_nested(tables, path[1], path[2]):
        path = ["space", f"{path[1]}.{path[2]}"] + path[3:]
    table: Any = tables
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SpaceError(source, [("", f"{part!r} is a value, not a table; set it whole")])
    if value.strip():
        table[path[-1]] = value_of(value)
    elif path[-1] in table:
        del table[path[-1]]
    else:
        raise SpaceError(source, [("", f"there is no {key.strip()} to drop{did_you_mean(path[-1], table)}")])


def _is_nested(tables: Mapping[str, Any], inner: str, key: str) -> bool:
    """Return whether a file has `model.width = ...` in [space], which TOML reads as a table within a table."""
    space = tables.get("space")
    return isinstance(space, dict) and isinstance(space.get(inner), dict) and key in space[inner]


def _validate_table(key: str, raw: Any, problems: list[tuple[str, str]], within: str = "") -> BaseModel | None:
    if not isinstance(raw, dict):
        problems.append((key, f"must be a table, not {raw!r}; write [{key}]"))
        return None
    place = f"{within}{key}"
    try:
        return TABLES[key].model_validate(raw)
    except ValidationError as exc:
        known = list(TABLES[key].model_fields)
        for error in exc.errors():
            name = ""
            where = place
            if error["loc"]:
                name = str(error["loc"][0])
                where = f"{place}.{name}"
            text = validation_reason(error)
            if error["type"] == "extra_forbidden":
                text = unknown_key(name, known)
            problems.append((where, text))
        return None


def _check_samplers(tables: Mapping[str, Any], problems: list[tuple[str, str]]) -> None:
    for key, check in (("sampler", samplers.check_sampler), ("pruner", samplers.check_pruner)):
        raw = tables.get(key, {})
        if not isinstance(raw, dict):
            problems.append((key, f'must be a table, not {raw!r}; write [{key}] and name = "..."'))
            continue
        problems += [(f"{key}.{name}".rstrip("."), text) for name, text in check(raw)]
