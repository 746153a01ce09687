"""Which configurations of a study are run again, at which scale; and the search-space file that runs them."""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tomli_w

from sweeps.analysis.ranking import Configuration
from sweeps.config import OWN, is_own
from sweeps.errors import InputError, SpaceError, unknown_key
from sweeps.space import file
from sweeps.space.parameters import Scalar
from sweeps.space.space import LABELS, Space

TABLES = ("budget", "data", "model", "my")  # what a scale may change
WRITE = "write full, a factor such as 4, or table.key=value, such as model.width=32"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much less truncated candidates are run.

    Attributes:
        label: in the name of the study.
        changes: table -> key -> value, put over the study's own.
    """

    label: str
    changes: Mapping[str, Mapping[str, Any]]


def choose_candidates(
    study: str, configurations: Sequence[Configuration], top: int, middle: int
) -> list[Configuration]:
    """Return the best learners, and others evenly spaced over the ranks of the rest, the last included: ranks are
    compared.

    Raises:
        InputError: nothing learned.
    """
    learners = [configuration for configuration in configurations if configuration.learned]
    if not learners:
        raise InputError(f"study {study!r}: no configuration learned, so that there is nothing to confirm")
    best = learners[:top]
    rest = learners[top:]
    chosen = np.linspace(len(rest) - 1, 0, min(middle, len(rest))).round().astype(int)
    return best + [rest[index] for index in sorted(set(chosen.tolist()))]


def apply_scale(text: str, space: Space) -> Scale:
    """Return what `--scale` says: `full`, a factor on the steps (or epochs), or `table.key=value` several times.

    Raises:
        InputError: it says none of these, or the study has no full size.
    """
    if text == "full":
        if space.full is None:
            raise InputError(f"--scale full: study {space.name!r} has no [full] table; say sizes with table.key=value")
        return Scale("full", space.tables["full"])
    if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0:
        return Scale(f"{float(text):g}x", {"budget": _multiply_budget(space, float(text))})
    changes: dict[str, dict[str, Any]] = {}
    for override in text.split():
        table, _, key = override.partition("=")[0].partition(".")
        if "=" not in override or not key:
            raise InputError(f"--scale {text!r}: {WRITE}")
        if table not in TABLES:
            raise InputError(f"--scale {text!r}: {unknown_key(table, TABLES)}")
        changes.setdefault(table, {})[key] = file.value_of(override.partition("=")[2])
    if not changes:
        raise InputError(f"--scale is empty; {WRITE}")
    label = "-".join(f"{key}={value}" for keys in changes.values() for key, value in keys.items())
    return Scale(label, changes)


def study_text(space: Space, chosen: Sequence[Configuration], seeds: int, at: Scale) -> str:
    """Return the search-space file that runs each candidate with the same seeds, none of which any of its trials
    had.

    A candidate is named by the number of its first trial.

    Raises:
        SpaceError: the scale makes no valid file.
    """
    tables: dict[str, Any] = copy.deepcopy(dict(space.tables))
    _require_free_values(space, at)
    own_values = at.changes.get("my", {})
    for table, keys in at.changes.items():
        if table != "my":
            tables[table] = file.put_over(tables.get(table, {}), keys)
    tables.pop("pruner", None)
    if space.model.architecture == "custom":  # a study of an early version has another default
        tables["budget"] = {
            "recalibrate_batch_normalization": space.budget.recalibrate_batch_normalization,
            **tables["budget"],
        }
    labels = [configuration.trials[0].number for configuration in chosen]
    tables |= {
        "study": tables["study"]
        | {
            "name": f"{space.name}-confirm-{at.label}",
            "confirms": space.name,
            "question": f"Do the ranks of {space.name!r} hold with other seeds, at {at.label}?",
        },
        "budget": tables["budget"] | {"trials": len(chosen) * seeds, "seed": _other_seed(space.budget.seed)},
        "sampler": {"name": "GridSampler"},
        "space": {"candidate": labels, "replicate": list(range(seeds)), **_fix_values(space, chosen, labels)},
    }
    if own_values:
        tables["space"]["my"] |= own_values
    text = tomli_w.dumps(tables)
    file.parse_space(text, (), f"--scale {at.label}")
    return text


def count_candidates(space: Space) -> tuple[list[int], int]:
    """Return the candidates of a study that confirms another, and how many seeds each has."""
    values = {p.name: p.cases[0].domain.values for p in space.parameters if p.name in LABELS}
    return [int(label) for label in values["candidate"]], len(values["replicate"])


def _require_free_values(space: Space, scale: Scale) -> None:
    """Check that a scale changes nothing that the space decides for each candidate, and of the user's own
    hyperparameters none but those that it has.

    Raises:
        SpaceError: it does.
    """
    by_name = {parameter.name: parameter for parameter in space.parameters}
    own_names = [name.removeprefix(OWN) for name in by_name if is_own(name)]
    for table, keys in scale.changes.items():
        for key in keys:
            name = f"{table}.{key}"
            parameter = by_name.get(name)
            problem = ""
            if table == "my" and parameter is None:
                problem = unknown_key(key, own_names)
            elif parameter is not None and not (table == "my" and parameter.is_fixed):
                problem = f"space.{name} decides it for each candidate; leave it out"
            if problem:
                raise SpaceError(f"--scale {scale.label}", [(name, problem)])


def _multiply_budget(space: Space, factor: float) -> dict[str, int]:
    """Return steps and the interval between readings, or epochs, times the factor."""
    budget = space.budget
    if budget.epochs:
        return {"epochs": max(1, round(budget.epochs * factor))}
    return {name: max(1, round(getattr(budget, name) * factor)) for name in ("steps", "report_interval")}


def _other_seed(seed: int) -> int:
    return (seed + 1) % 2**63


def _fix_values(space: Space, chosen: Sequence[Configuration], labels: Sequence[int]) -> dict[str, Any]:
    """Return the [space] table: values that all candidates share, and the others as cases of the candidate."""
    values: dict[str, Any] = {}
    for parameter in space.parameters:
        if parameter.name in LABELS:
            continue
        of: dict[Scalar | None, list[int]] = {}
        for label, configuration in zip(labels, chosen, strict=True):
            of.setdefault(configuration.config.get_value(parameter.name), []).append(label)
        absent = of.pop(None, [])  # of candidates to which a condition gives no value
        if not of:
            continue
        cases = [{"value": value, "when": {"candidate": which}} for value, which in of.items()]
        table, _, key = parameter.name.rpartition(".")
        values_of_table = values.setdefault(table, {}) if table else values
        values_of_table[key] = cases if len(cases) > 1 or absent else next(iter(of))
    return values
