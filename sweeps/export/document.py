"""A recipe as a file: TOML, YAML or JSON with the same content, read back to the last bit."""

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
import yaml
from pydantic import BaseModel, ValidationError

from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.errors import InputError, one_line, unknown_key, validation_reason

Format = Literal["toml", "yaml", "json"]
FORMATS: dict[str, Format] = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}
VERSION = 1
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what would end a comment, or may not be in one
# What the training of a user's net takes of a config; the rest is there for its function, if that reads it.
TRAINING_KEYS = {
    "version",
    "data",
    "model",
    "seed",
    "steps",
    "report_interval",
    "holdout_images",
    "recalibrate_batch_normalization",
    "optimizer",
    "learning_rate",
    "epsilon",
    "momentum",
    "batch_size",
    "weight_decay",
    "dtype",
    "output",
    "data.source",
    "data.path",
    "data.task",
    "data.classes",
    "data.images",
    "data.image_size",
    "data.seed",
    "model.architecture",
    "model.build",
}
TABLES = ("version", "recipe", "truncation", "provenance", "results")


@dataclass(frozen=True, slots=True)
class Document:
    """A recipe and where it comes from.

    Attributes:
        recipe: at full size.
        truncation: field of the recipe, with dots -> the value that the trial had instead.
        provenance: study, trial, digests, versions; what its models are like.
        results: of the trial, and of the runs that it was ranked by.
        varied: fields of the recipe that the study's file names.
    """

    recipe: Config
    truncation: Mapping[str, Any]
    provenance: Mapping[str, Any]
    results: Mapping[str, Any]
    varied: frozenset[str] = frozenset()

    @property
    def trained(self) -> Config:
        """Return the recipe as the trial had it."""
        tables = self.recipe.model_dump()
        for name, value in self.truncation.items():
            table, _, key = name.rpartition(".")
            if table:
                tables[table][key] = value
            else:
                tables[key] = value
        return Config.model_validate(tables)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of the trial's inputs."""
        return tuple(self.provenance["input_shape"])

    def to_tables(self) -> dict[str, Any]:
        """Return plain values, in the order of a file."""
        return {
            "version": VERSION,
            "recipe": self._list_fields(),
            "truncation": dict(self.truncation),
            "provenance": dict(self.provenance),
            "results": dict(self.results),
        }

    def _list_fields(self) -> dict[str, Any]:
        """Return the fields of the recipe; of a user's net without those that neither the study nor the training names,
        and that have their usual values.
        """
        tables = self.recipe.model_dump()
        if self.recipe.model.architecture != "custom":
            return tables
        kept = TRAINING_KEYS | self.varied | self.truncation.keys()
        usual = _list_defaults(Config)
        own = {name: value for name, value in tables.items() if name in kept or value != usual.get(name, value)}
        usual_data = _list_defaults(DataConfig)
        own["data"] = {
            name: value
            for name, value in tables["data"].items()
            if f"data.{name}" in kept or value != usual_data.get(name, value)
        }
        own["model"] = {name: value for name, value in tables["model"].items() if f"model.{name}" in kept}
        if Config.model_validate(own) != self.recipe:  # such as a tau that is not the activation's
            return tables
        return own

    def to_text(self, form: Format, head: Sequence[str]) -> str:
        """Return the content of a file.

        Args:
            head: lines that come first as comments, which JSON has none of.
        """
        tables = self.to_tables()
        if form == "json":
            return json.dumps(tables, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        comments = "".join(f"# {UNSEEN.sub(' ', line)}".rstrip() + "\n" for line in head)
        if form == "yaml":
            body = yaml.safe_dump(tables, sort_keys=False, width=math.inf)  # ASCII: PyYAML loses some other breaks
            return f"{comments}\n{body}"
        return f"{comments}\n{tomli_w.dumps(tables)}"

    @classmethod
    def from_tables(cls, tables: Any, source: str) -> Self:
        """Read a document from plain values, as `to_tables` returns them.

        Raises:
            InputError: these are no tables of a recipe; the message names the key.
        """
        if not isinstance(tables, dict) or not isinstance(tables.get("recipe"), dict):
            raise InputError(f"{source}: has no [recipe]; give a file that `sweeps export` wrote, such as best.toml")
        if tables.get("version") != VERSION:
            raise InputError(f"{source}: version {tables.get('version')!r} is unknown; this sweeps reads {VERSION}")
        if others := [key for key in tables if key not in TABLES]:
            raise InputError(f"{source}: {others[0]}: {unknown_key(others[0], TABLES)}")
        parts = {name: tables.get(name, {}) for name in TABLES[2:]}
        for name, part in parts.items():
            if not isinstance(part, dict):
                raise InputError(f"{source}: {name}: must be a table, not {part!r}")
        recipe = _parse_recipe(tables["recipe"], source)
        if not _is_input_shape(parts["provenance"].get("input_shape"), recipe):
            raise InputError(f"{source}: provenance.input_shape: write [height, width, channels], or [columns]")
        document = cls(recipe, **parts)
        try:
            _ = document.trained
        except (ValidationError, KeyError, TypeError) as exc:
            if isinstance(exc, ValidationError):
                text = validation_reason(exc.errors()[0])
            else:
                text = f"no such field: {exc}"
            raise InputError(f"{source}: truncation: {text}") from exc
        return document


def _is_input_shape(shape: Any, recipe: Config) -> bool:
    """Return whether it is the shape of an image or a row, or of any input where the net is a user's own."""
    if not isinstance(shape, list) or not shape or not all(type(side) is int for side in shape):
        return False
    return len(shape) in (1, 3) or recipe.model.architecture == "custom"


def _list_defaults(model: type[BaseModel]) -> dict[str, Any]:
    """Return the defaults of the fields that have one which depends on no other field."""
    return {name: field.default for name, field in model.model_fields.items() if not field.is_required()}


def list_truncation(recipe: Config, trained: Config) -> dict[str, Any]:
    """Return the fields in which a trial's config differs from its recipe at full size, with the trial's values."""
    full = _flatten_tables(recipe.model_dump())
    own = _flatten_tables(trained.model_dump())
    return {name: value for name, value in own.items() if full[name] != value}


def read_document(path: Path) -> Document:
    """Return the recipe in a file.

    Raises:
        InputError: it cannot be read, or is no recipe.
    """
    if path.suffix not in FORMATS or path.name.endswith(".model.json"):
        raise InputError(f"{path}: is no recipe; give a .toml, .yaml or .json file that `sweeps export` wrote")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file; `sweeps export STUDY --to FOLDER` writes it") from exc
    except (OSError, ValueError) as exc:
        if isinstance(exc, OSError):
            own_name = exc.strerror
        else:
            own_name = "it is not UTF-8"
        raise InputError(f"{path}: cannot be read ({own_name})") from exc
    return parse_document(text, FORMATS[path.suffix], str(path))


def parse_document(text: str, form: Format, source: str) -> Document:
    """Return the recipe in a file's content.

    Raises:
        InputError: it is none.
    """
    try:
        if form == "json":
            tables: Any = json.loads(text)
        elif form == "toml":
            tables = tomllib.loads(text)
        else:
            tables = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as exc:
        raise InputError(f"{source}: not {form.upper()}: {one_line(exc)}") from exc
    return Document.from_tables(tables, source)


def _parse_recipe(table: Mapping[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(table)
    except ValidationError as exc:
        error = exc.errors()[0]
        path = [str(part) for part in error["loc"]]
        place = ".".join(["recipe"] + path)
        tables: dict[str, type[BaseModel]] = {"data": DataConfig, "model": ModelConfig}
        known = tables.get("".join(path[:1]), Config).model_fields
        if error["type"] == "extra_forbidden":
            wrong = unknown_key(path[-1], known)
        else:
            wrong = validation_reason(error)
        raise InputError(f"{source}: {place}: {wrong}") from exc


def _flatten_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, dict):
            values |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            values[name] = value
    return values
