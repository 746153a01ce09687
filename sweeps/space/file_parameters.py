"""The [space] table -> Parameters: values, choices, ranges and the conditions under which they hold."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from sweeps.config import OWN, Config, ModelConfig, OwnValue, explain_own_name, is_own
from sweeps.errors import quoted, unknown_key, validation_reason
from sweeps.space.parameters import Case, Choices, Parameter, Range, Scalar
from sweeps.space.space import LABELS

# What a study decides for all its trials; everything else in Config is a hyperparameter that [space] may name.
NOT_IN_SPACE = {
    "version",
    "data",
    "model",
    "my",
    "seed",
    "steps",
    "report_interval",
    "holdout_images",
    "channel_vitals",
    "recalibrate_batch_normalization",
}
MOST_CHOICES = 1000  # a rehearsal tries each
INNER = ("model", "my")  # tables of [space], whose keys TOML reads as `model.width = ...`
OWN_ADAPTER: TypeAdapter[Any] = TypeAdapter(OwnValue)


def hyperparameters() -> dict[str, TypeAdapter[Any]]:
    """Return what [space] may name, and the validator of one value of it; a replicate is one of several seeds."""
    fields = {name: field for name, field in Config.model_fields.items() if name not in NOT_IN_SPACE}
    fields |= {f"model.{name}": field for name, field in ModelConfig.model_fields.items()}
    adapters: dict[str, TypeAdapter[Any]] = {
        name: TypeAdapter(Annotated[field.annotation, *field.metadata, Field()])  # type: ignore[arg-type]
        for name, field in fields.items()
    }
    return adapters | {name: TypeAdapter(Annotated[int, Field(ge=0)]) for name in LABELS}


def read_parameters(raw: Any, problems: list[tuple[str, str]], *, may_be_equal: bool = False) -> tuple[Parameter, ...]:
    """Return the parameters of a [space] table, conditions first; each mistake is appended to `problems`, as (key,
    text).

    Args:
        may_be_equal: whether choices such as 1 and 1.0, which are written differently, may be equal.
    """
    if not isinstance(raw, dict):
        problems.append(("space", f"must be a table, not {raw!r}; write [space]"))
        return ()
    adapters = hyperparameters()
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        if key in INNER and isinstance(value, dict):
            flat |= {f"{key}.{inner}": spec for inner, spec in value.items()}
        else:
            flat[key] = value
    adapters |= {name: OWN_ADAPTER for name in flat if is_own(name)}
    values: dict[str, Parameter] = {}
    for name, spec in flat.items():
        if name not in adapters:
            problems.append((f"space.{name}", _explain_unknown(name, list(adapters))))
            continue
        if is_own(name) and (problem := explain_own_name(name.removeprefix(OWN))):
            problems.append((f"space.{name}", problem))
            continue
        if isinstance(spec, list) and any(isinstance(item, dict) for item in spec):
            specs = spec
        else:
            specs = [spec]
        values[name] = Parameter(name, tuple(_read_cases(name, specs, adapters[name], problems)))
    if not problems:  # a parameter in error would make its conditions look wrong too
        problems += [problem for parameter in values.values() for problem in _bad_conditions(parameter, values)]
    if not may_be_equal:
        for name, parameter in values.items():
            problems += [(f"space.{name}", text) for case in parameter.cases for text in _find_equal(case.domain)]
    if problems:
        return ()
    return _in_order(values, problems)


def _explain_unknown(name: str, known: list[str]) -> str:
    return f"{unknown_key(name, known)}; a hyperparameter of your own net is written my.{name.rpartition('.')[2]}"


def _find_equal(domain: Choices | Range) -> Iterator[str]:
    """Yield what is wrong with choices that are one value, written in two ways."""
    if isinstance(domain, Choices):
        seen: list[Scalar] = []
        for value in domain.values:
            if value in seen:
                yield f"{seen[seen.index(value)]} and {value} are the same value; drop one"
            seen.append(value)


def _read_cases(
    name: str, specs: Sequence[Any], adapter: TypeAdapter[Any], problems: list[tuple[str, str]]
) -> Iterable[Case]:
    for index, spec in enumerate(specs):
        key = f"space.{name}"
        if len(specs) > 1:
            key = f"space.{name}[{index}]"
        if isinstance(spec, dict):
            table = spec
        elif isinstance(spec, list):
            table = {"choices": spec}
        else:
            table = {"value": spec}
        when = _read_condition(key, table.get("when", {}), problems)
        domain = _read_domain(key, {k: v for k, v in table.items() if k != "when"}, adapter, problems)
        if domain is not None and when is not None:
            yield Case(domain, when)


def _read_condition(
    key: str, raw: Any, problems: list[tuple[str, str]]
) -> tuple[tuple[str, tuple[Scalar, ...]], ...] | None:
    if not isinstance(raw, dict):
        problems.append((f"{key}.when", f'must be a table such as {{ activation = "selu" }}, not {raw!r}'))
        return None
    flat: dict[str, Any] = {}
    for name, value in raw.items():
        if name in INNER and isinstance(value, dict):
            flat |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            flat[name] = value
    conditions: dict[str, tuple[Any, ...]] = {}
    for name, value in flat.items():
        conditions[name] = (value,)
        if isinstance(value, list):
            conditions[name] = tuple(value)
    for name, allowed in conditions.items():
        if not allowed or not all(isinstance(value, (str, int, float, bool)) for value in allowed):
            problems.append((f"{key}.when.{name}", "must be a value or a list of values"))
            return None
    return tuple(conditions.items())


def _read_domain(
    key: str, table: Mapping[str, Any], adapter: TypeAdapter[Any], problems: list[tuple[str, str]]
) -> Choices | Range | None:
    kinds = [kind for kind in ({"value"}, {"choices"}, {"low", "high"}) if kind & table.keys()]
    if len(kinds) != 1:
        problems.append((key, "give one of: a value, choices = [...], or low = ... and high = ..."))
        return None
    allowed = kinds[0]
    if allowed == {"low", "high"}:
        allowed = {"low", "high", "log", "step"}
    before = len(problems)
    known = list(allowed) + ["when"]
    problems += [(f"{key}.{name}", unknown_key(name, known)) for name in table if name not in allowed]
    if len(problems) > before:
        return None
    if "low" in allowed:
        return _read_range(key, table, adapter, problems)
    if "choices" in table:
        values = table["choices"]
    else:
        values = [table["value"]]
    if not isinstance(values, list) or not 0 < len(values) <= MOST_CHOICES:
        problems.append((key, f"must be a list of 1 to {MOST_CHOICES} values, not {quoted(values)}"))
        return None
    for value in values:
        _validate_value(key, value, adapter, problems)
    if len(problems) == before and len(set(map(repr, values))) < len(values):
        problems.append((key, f"the same value twice in {quoted(values)}; drop one"))
    if len(problems) == before:
        return Choices(tuple(values))
    return None


def _read_range(
    key: str, table: Mapping[str, Any], adapter: TypeAdapter[Any], problems: list[tuple[str, str]]
) -> Range | None:
    before = len(problems)
    for name in ("low", "high"):
        if name not in table:
            problems.append((key, f"{name} is missing; a range has low and high"))
        elif isinstance(table[name], bool) or not isinstance(table[name], (int, float)):
            problems.append((f"{key}.{name}", f"must be a number, not {table[name]!r}"))
        elif not _validate_value(f"{key}.{name}", table[name], adapter, problems, log=table.get("log") is True):
            break
    if len(problems) > before:
        return None
    low = table["low"]
    high = table["high"]
    log = table.get("log", False)
    step = table.get("step")
    checks = [
        (not isinstance(log, bool), "log", f"must be true or false, not {log!r}"),
        (low > high, "low", f"{low} is above high = {high}; exchange them"),
        (low == high, "low", f"the range from {low} to {high} holds one value; write the value alone"),
        (log is True and low <= 0, "low", f"a log range cannot start at {low}; raise low above 0"),
        (log is True and step is not None, "step", "a log range has no step; drop one of the two"),
        (step is not None and not _is_positive(step), "step", f"must be a number above 0, not {step!r}"),
        (_is_positive(step) and step > high - low, "step", f"{step} is wider than the range; lower it"),
    ]
    problems += [(f"{key}.{name}", text) for wrong, name, text in checks if wrong][:1]
    integer = isinstance(low, int) and isinstance(high, int) and _is_integer(adapter)
    if integer and _is_positive(step) and not isinstance(step, int):
        problems.append((f"{key}.step", f"must be a whole number, not {step!r}"))
    if len(problems) == before:
        return Range(low, high, log, step, integer)
    return None


def _validate_value(
    key: str, value: Any, adapter: TypeAdapter[Any], problems: list[tuple[str, str]], *, log: bool = False
) -> bool:
    if log and isinstance(value, (int, float)) and value <= 0:
        problems.append((key, f"a log range cannot touch {value}; raise it above 0"))
        return False
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as exc:
        problems.append((key, validation_reason(exc.errors()[0])))
        return False
    return True


def _bad_conditions(parameter: Parameter, values: Mapping[str, Parameter]) -> Iterable[tuple[str, str]]:
    for index, case in enumerate(parameter.cases):
        key = f"space.{parameter.name}.when"
        if len(parameter.cases) > 1:
            key = f"space.{parameter.name}[{index}].when"
        for name, allowed in case.when:
            if name not in values:
                yield f"{key}.{name}", f"no such parameter in [space]; add space.{name} or drop the condition"
                continue
            domains = [parent.domain for parent in values[name].cases]
            if any(isinstance(domain, Range) for domain in domains):
                yield f"{key}.{name}", f"a condition needs choices, and {name} is a range"
                continue
            offered = [value for domain in domains for value in domain.ends()]
            missing = [value for value in allowed if not _is_among(value, offered)]
            if missing:
                yield f"{key}.{name}", f"{missing[0]!r} is never drawn; {name} is one of {quoted(offered)}"


def _in_order(values: dict[str, Parameter], problems: list[tuple[str, str]]) -> tuple[Parameter, ...]:
    """Return the parameters with conditions first, and otherwise in the order of the file."""
    ordered: dict[str, Parameter] = {}
    waiting = dict(values)
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


def _is_among(value: Scalar, offered: Sequence[Scalar]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in offered)


def _is_positive(step: Any) -> bool:
    return isinstance(step, (int, float)) and not isinstance(step, bool) and 0 < step < math.inf


def _is_integer(adapter: TypeAdapter[Any]) -> bool:
    """Return whether a hyperparameter may be a whole number alone; one of a user's own is, if the ends of its range
    are.
    """
    return adapter is OWN_ADAPTER or bool(adapter.json_schema().get("type") == "integer")
