"""TOML -> Space. Every mistake becomes one line: file: key: what is wrong and the mend. No store is touched."""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from sweeps import samplers
from sweeps.config import Config, Count, DataConfig, Frozen, ModelConfig
from sweeps.errors import SpaceError
from sweeps.space import Budget, Case, Choices, Objective, Parameter, Range, Scalar, Space, ValidationProblem

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "top1": "maximize",
    "top5": "maximize",
    "gain": "maximize",
    "loss": "minimize",
}
# What a study decides for all its trials; everything else in Config is a hyperparameter that [space] may name.
NOT_IN_SPACE = {"version", "data", "model", "seed", "steps", "report_interval", "holdout_images"}
MOST_CHOICES = 1000  # a rehearsal tries each


class StudyTable(Frozen):
    """[study]: its name in the store, the question it answers, and what is best."""

    name: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
    question: str = ""
    objective: Objective = "top1"
    direction: Literal["maximize", "minimize"] | None = None

    @model_validator(mode="after")
    def _direction_fits(self) -> "StudyTable":
        if self.direction not in (None, DIRECTIONS[self.objective]):
            raise ValueError(
                f"objective {self.objective!r} is to {DIRECTIONS[self.objective]}; drop direction = {self.direction!r}"
            )
        return self


class BudgetTable(Frozen):
    """[budget]: finished trials; per trial the optimiser steps, the steps between looks, a look's hold-out images."""

    trials: Count = 50
    steps: Count = 200
    report_interval: Count = 10
    holdout_images: Annotated[int, Field(ge=64)] = 1024
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _looks_fit(self) -> "BudgetTable":
        if self.report_interval > self.steps:
            raise ValueError(
                f"report_interval = {self.report_interval} leaves no look within steps = {self.steps}; lower it"
            )
        return self


TABLES: dict[str, type[BaseModel]] = {
    "study": StudyTable,
    "budget": BudgetTable,
    "data": DataConfig,
    "model": ModelConfig,
}


def hyperparameters() -> dict[str, TypeAdapter[Any]]:
    """What [space] may name, and the validator of one value of it."""
    fields = {name: field for name, field in Config.model_fields.items() if name not in NOT_IN_SPACE}
    fields |= {f"model.{name}": field for name, field in ModelConfig.model_fields.items()}
    return {
        name: TypeAdapter(Annotated[field.annotation, *field.metadata, Field()])  # type: ignore[arg-type]
        for name, field in fields.items()
    }


def read(path: Path, overrides: Sequence[str] = ()) -> tuple[Space, str]:
    """The space of a file, and the file's text.

    Args:
        path: a TOML file.
        overrides: `table.key=value`, applied before validation.

    Raises:
        SpaceError: the file cannot be read, is not TOML, or does not describe a space.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as exc:
        raise SpaceError(str(path), [("", f"byte {exc.start} is not UTF-8; save the file as UTF-8 text")]) from exc
    except FileNotFoundError as exc:
        raise SpaceError(str(path), [("", "no such file; see search_spaces/ for examples")]) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise SpaceError(str(path), [("", f"cannot be read ({reason}); give a TOML file")]) from exc
    return parse(text, overrides, str(path)), text


def parse(text: str, overrides: Sequence[str] = (), source: str = "") -> Space:
    """The space that a TOML text describes.

    Raises:
        SpaceError: it is not TOML or does not describe a space; one problem per mistake.
    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as exc:
        raise SpaceError(source, [("", f"not TOML: {_one_line(exc)}")]) from exc
    for override in overrides:
        _override(tables, override)
    problems: list[tuple[str, str]] = []
    known = [*TABLES, "sampler", "pruner", "space"]
    problems += [(key, _unknown(key, known)) for key in tables if key not in known]
    for key in ("study", "space"):
        if key not in tables:
            problems.append((key, f"this table is missing; add [{key}]"))
    parts = {key: _table(key, tables.get(key, {}), problems) for key in TABLES if key in tables or key != "study"}
    _engines(tables, problems)
    parameters = _parameters(tables.get("space", {}), problems)
    if problems:
        raise SpaceError(source, problems)
    space = _space(parts, tables, parameters)
    if problems := samplers.check_space(space):
        raise SpaceError(source, problems)
    try:
        list(space.rehearsals())
    except (ValidationProblem, ValidationError) as exc:
        raise SpaceError(source, [("space", _one_line(exc))]) from exc
    return space


def _space(parts: Mapping[str, Any], tables: dict[str, Any], parameters: tuple[Parameter, ...]) -> Space:
    study: StudyTable = parts["study"]
    return Space(
        name=study.name,
        question=study.question,
        objective=study.objective,
        direction=DIRECTIONS[study.objective],
        budget=Budget(**parts["budget"].model_dump()),
        data=parts["data"],
        model=parts["model"],
        sampler={"name": samplers.DEFAULT_SAMPLER, **tables.get("sampler", {})},
        pruner={"name": samplers.DEFAULT_PRUNER, **tables.get("pruner", {})},
        parameters=parameters,
        tables={**tables, "budget": tables.get("budget", {})},
    )


def _override(tables: dict[str, Any], override: str) -> None:
    """Set one value of the file's tables; the value is TOML, or a bare word taken as a string."""
    source = f"--set {override}"
    key, equals, value = override.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or len(path) < 2 or not all(path):
        raise SpaceError(source, [("", "write it as table.key=value, e.g. budget.trials=6")])
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        parsed = value.strip()
    if path[0] == "space" and path[1:2] == ["model"]:
        path = ["space", f"model.{path[2]}", *path[3:]] if len(path) > 2 else path
    table: Any = tables
    for part in path[:-1]:
        table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if isinstance(table, (str, int, float, bool)) or table is None or isinstance(table, list):
            raise SpaceError(source, [("", f"{part!r} is a value, not a table; set it whole")])
    table[path[-1]] = parsed


def _table(key: str, raw: Any, problems: list[tuple[str, str]]) -> BaseModel | None:
    if not isinstance(raw, dict):
        problems.append((key, f"must be a table, not {raw!r}; write [{key}]"))
        return None
    try:
        return TABLES[key].model_validate(raw)
    except ValidationError as exc:
        known = list(TABLES[key].model_fields)
        for error in exc.errors():
            name = str(error["loc"][0]) if error["loc"] else ""
            text = _unknown(name, known) if error["type"] == "extra_forbidden" else _reason(error)
            problems.append((f"{key}.{name}" if name else key, text))
        return None


def _engines(tables: Mapping[str, Any], problems: list[tuple[str, str]]) -> None:
    for key, check in (("sampler", samplers.check_sampler), ("pruner", samplers.check_pruner)):
        raw = tables.get(key, {})
        if not isinstance(raw, dict):
            problems.append((key, f'must be a table, not {raw!r}; write [{key}] and name = "..."'))
            continue
        problems += [(f"{key}.{name}" if name else key, text) for name, text in check(raw)]


def _parameters(raw: Any, problems: list[tuple[str, str]]) -> tuple[Parameter, ...]:
    if not isinstance(raw, dict):
        problems.append(("space", f"must be a table, not {raw!r}; write [space]"))
        return ()
    adapters = hyperparameters()
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        if key == "model" and isinstance(value, dict):
            flat |= {f"model.{inner}": spec for inner, spec in value.items()}
        else:
            flat[key] = value
    found: dict[str, Parameter] = {}
    for name, spec in flat.items():
        if name not in adapters:
            problems.append((f"space.{name}", _unknown(name, list(adapters))))
            continue
        specs = spec if isinstance(spec, list) and any(isinstance(item, dict) for item in spec) else [spec]
        found[name] = Parameter(name, tuple(_cases(name, specs, adapters[name], problems)))
    if not problems:  # a parameter in error would make its conditions look wrong too
        problems += [problem for parameter in found.values() for problem in _bad_conditions(parameter, found)]
    return () if problems else _in_order(found, problems)


def _cases(
    name: str, specs: Sequence[Any], adapter: TypeAdapter[Any], problems: list[tuple[str, str]]
) -> Iterable[Case]:
    for index, spec in enumerate(specs):
        key = f"space.{name}" if len(specs) == 1 else f"space.{name}[{index}]"
        table = spec if isinstance(spec, dict) else {"choices" if isinstance(spec, list) else "value": spec}
        when = _when(key, table.get("when", {}), problems)
        domain = _domain(key, {k: v for k, v in table.items() if k != "when"}, adapter, problems)
        if domain is not None and when is not None:
            yield Case(domain, when)


def _when(key: str, raw: Any, problems: list[tuple[str, str]]) -> tuple[tuple[str, tuple[Scalar, ...]], ...] | None:
    if not isinstance(raw, dict):
        problems.append((f"{key}.when", f'must be a table such as {{ activation = "selu" }}, not {raw!r}'))
        return None
    conditions = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in raw.items()}
    for name, allowed in conditions.items():
        if not allowed or not all(isinstance(value, (str, int, float, bool)) for value in allowed):
            problems.append((f"{key}.when.{name}", "must be a value or a list of values"))
            return None
    return tuple(conditions.items())


def _domain(
    key: str, table: Mapping[str, Any], adapter: TypeAdapter[Any], problems: list[tuple[str, str]]
) -> Choices | Range | None:
    kinds = [kind for kind in ({"value"}, {"choices"}, {"low", "high"}) if kind & table.keys()]
    if len(kinds) != 1:
        problems.append((key, "give one of: a value, choices = [...], or low = ... and high = ..."))
        return None
    allowed = kinds[0] if kinds[0] != {"low", "high"} else {"low", "high", "log", "step"}
    before = len(problems)
    problems += [(f"{key}.{name}", _unknown(name, [*allowed, "when"])) for name in table if name not in allowed]
    if len(problems) > before:
        return None
    if "low" in allowed:
        return _range(key, table, adapter, problems)
    values = table["choices"] if "choices" in table else [table["value"]]
    if not isinstance(values, list) or not 0 < len(values) <= MOST_CHOICES:
        problems.append((key, f"must be a list of 1 to {MOST_CHOICES} values, not {_short(values)}"))
        return None
    for value in values:
        _validate(key, value, adapter, problems)
    if len(problems) == before and len(set(map(repr, values))) < len(values):
        problems.append((key, f"the same value twice in {_short(values)}; drop one"))
    return Choices(tuple(values)) if len(problems) == before else None


def _range(
    key: str, table: Mapping[str, Any], adapter: TypeAdapter[Any], problems: list[tuple[str, str]]
) -> Range | None:
    before = len(problems)
    for name in ("low", "high"):
        if name not in table:
            problems.append((key, f"{name} is missing; a range has low and high"))
        elif isinstance(table[name], bool) or not isinstance(table[name], (int, float)):
            problems.append((f"{key}.{name}", f"must be a number, not {table[name]!r}"))
        elif not _validate(f"{key}.{name}", table[name], adapter, problems, log=table.get("log") is True):
            break
    if len(problems) > before:
        return None
    low, high, log, step = table["low"], table["high"], table.get("log", False), table.get("step")
    checks = [
        (not isinstance(log, bool), "log", f"must be true or false, not {log!r}"),
        (low > high, "low", f"{low} is above high = {high}; exchange them"),
        (low == high, "low", f"the range from {low} to {high} holds one value; write the value alone"),
        (log is True and low <= 0, "low", f"a log range cannot start at {low}; raise low above 0"),
        (log is True and step is not None, "step", "a log range has no step; drop one of the two"),
        (step is not None and not _positive(step), "step", f"must be a number above 0, not {step!r}"),
        (_positive(step) and step > high - low, "step", f"{step} is wider than the range; lower it"),
    ]
    problems += [(f"{key}.{name}", text) for wrong, name, text in checks if wrong][:1]
    integer = isinstance(low, int) and isinstance(high, int) and _whole(adapter)
    if integer and _positive(step) and not isinstance(step, int):
        problems.append((f"{key}.step", f"must be a whole number, not {step!r}"))
    return Range(low, high, log, step, integer) if len(problems) == before else None


def _validate(
    key: str, value: Any, adapter: TypeAdapter[Any], problems: list[tuple[str, str]], *, log: bool = False
) -> bool:
    if log and isinstance(value, (int, float)) and value <= 0:
        problems.append((key, f"a log range cannot touch {value}; raise it above 0"))
        return False
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as exc:
        problems.append((key, _reason(exc.errors()[0])))
        return False
    return True


def _bad_conditions(parameter: Parameter, found: Mapping[str, Parameter]) -> Iterable[tuple[str, str]]:
    for index, case in enumerate(parameter.cases):
        key = f"space.{parameter.name}" + (f"[{index}]" if len(parameter.cases) > 1 else "") + ".when"
        for name, allowed in case.when:
            if name not in found:
                yield f"{key}.{name}", f"no such parameter in [space]; add space.{name} or drop the condition"
                continue
            domains = [parent.domain for parent in found[name].cases]
            if any(isinstance(domain, Range) for domain in domains):
                yield f"{key}.{name}", f"a condition needs choices, and {name} is a range"
                continue
            offered = [value for domain in domains for value in domain.ends()]
            missing = [value for value in allowed if not _among(value, offered)]
            if missing:
                yield f"{key}.{name}", f"{missing[0]!r} is never drawn; {name} is one of {_short(offered)}"


def _in_order(found: dict[str, Parameter], problems: list[tuple[str, str]]) -> tuple[Parameter, ...]:
    """Conditions first; otherwise as the file has them."""
    ordered: dict[str, Parameter] = {}
    waiting = dict(found)
    while waiting:
        ready = [
            name
            for name, parameter in waiting.items()
            if all(parent in ordered for case in parameter.cases for parent, _ in case.when)
        ]
        if not ready:
            problems.append((f"space.{next(iter(waiting))}.when", f"conditions in a circle: {', '.join(waiting)}"))
            return ()
        ordered |= {name: waiting.pop(name) for name in ready}
    return tuple(ordered.values())


def _reason(error: Any) -> str:
    """pydantic's error as the end of a sentence that starts with the key."""
    value, kind = error["input"], error["type"]
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"{_short(value)} is not among {', '.join(options)}{_meant(value, options)}"
    if kind == "missing":
        return "is missing; add it"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    text = str(error["msg"]).removeprefix("Input ")
    return f"{text}, not {_short(value)}"


def _unknown(key: str, known: Sequence[str]) -> str:
    return f"unknown key{_meant(key, known)}; known here: {', '.join(sorted(known))}"


def _meant(value: Any, options: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(value), options, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _among(value: Scalar, offered: Sequence[Scalar]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in offered)


def _positive(step: Any) -> bool:
    return isinstance(step, (int, float)) and not isinstance(step, bool) and 0 < step < math.inf


def _whole(adapter: TypeAdapter[Any]) -> bool:
    """Whether a hyperparameter is a whole number."""
    return bool(adapter.json_schema().get("type") == "integer")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
