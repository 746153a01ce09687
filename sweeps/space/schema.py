"""The JSON schema of search-space files, for editors; made from the same models and adapters that validate them."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.space import file, file_parameters, samplers

ALLOWED: dict[str, Any] = {"anyOf": [{"type": ["string", "number", "boolean"]}, {"type": "array", "minItems": 1}]}
WHEN = {
    "type": "object",
    "description": "Values that other parameters must have for this case to hold.",
    # As TOML reads `my.kind = ...`.
    "properties": {name: {"type": "object", "additionalProperties": ALLOWED} for name in file_parameters.INNER},
    "additionalProperties": ALLOWED,
}


def json_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a search-space file as a plain dict."""
    tables = {key: table.model_json_schema() for key, table in file.TABLES.items()}
    for key, names in (("sampler", samplers.SAMPLERS), ("pruner", samplers.PRUNERS)):
        tables[key] = {
            "type": "object",
            "description": f"An Optuna {key} by name; the other keys are its options.",
            "properties": {"name": {"enum": list(names)}},
        }
    parameters = {name: _parameter_schema(adapter) for name, adapter in file_parameters.hyperparameters().items()}
    # As TOML reads `model.width = ...`; with quotes around the name it stays flat.
    inner = {name.removeprefix("model."): values for name, values in parameters.items() if name.startswith("model.")}
    parameters["model"] = {"type": "object", "properties": inner, "additionalProperties": False}
    parameters["my"] = {
        "type": "object",
        "description": "Hyperparameters of your own, which the function in model.build reads.",
        "additionalProperties": _parameter_schema(file_parameters.OWN_ADAPTER),
    }
    tables["space"] = {
        "type": "object",
        "description": "What varies: a value, a list of choices, a range, or a list of cases with conditions.",
        "properties": parameters,
        "patternProperties": {r"^my\.": parameters["my"]["additionalProperties"]},
        "additionalProperties": False,
    }
    tables["full"] = {
        "type": "object",
        "description": "The sizes of the real thing, of which the other tables are a truncation; what exports have.",
        "properties": {
            "data": DataConfig.model_json_schema(),
            "model": ModelConfig.model_json_schema(),
            "my": Config.model_json_schema()["properties"]["my"],
            "budget": _restrict_names(file.BudgetTable.model_json_schema(), file.SIZES),
        },
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "search space of sweeps",
        "type": "object",
        "properties": tables,
        "required": ["study", "space"],
        "additionalProperties": False,
    }


def _restrict_names(schema: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {**schema, "properties": {name: schema["properties"][name] for name in names}}


def _parameter_schema(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    value = adapter.json_schema()
    values = {"type": "array", "items": value, "minItems": 1}
    cases = [_case_schema({"value": value}), _case_schema({"choices": values})]
    kinds = value.get("type", ())
    if "number" in kinds or "integer" in kinds:
        number = {"type": "integer" if kinds == "integer" else "number"}
        extra = {"log": {"type": "boolean"}, "step": {**number, "exclusiveMinimum": 0}}
        cases.append(_case_schema({"low": number, "high": number}, extra))
    return {
        "anyOf": [value, values, *cases, {"type": "array", "items": {"anyOf": [value, values, *cases]}, "minItems": 1}]
    }


def _case_schema(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {}), "when": WHEN},
        "required": list(required),
        "additionalProperties": False,
    }
