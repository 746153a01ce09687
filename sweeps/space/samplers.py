"""Optuna's samplers and pruners by name, with a search-space file's options; each draw has a seed of its own."""

import importlib.util
import inspect
import itertools
import math
import threading
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from sweeps.errors import did_you_mean, one_line
from sweeps.optuna_private import CheckedCmaEsSampler
from sweeps.space.parameters import Case, Range, Scalar
from sweeps.space.space import Space, derived_seed

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each study and trial; we show them ourselves

DEFAULT_SAMPLER = "TPESampler"
DEFAULT_PRUNER = "NopPruner"

# Whose points form one sequence over the whole study: a seed per trial would break it.
SEQUENCES = {"QMCSampler"}
# Optuna's own count an interrupted trial's combination as tried, and refuse to go on once all were.
GRIDS = {"GridSampler", "BruteForceSampler"}
MOST_COMBINATIONS = 100_000
# Not for a file: the study decides them, they take Python functions, or Optuna deprecated them.
WITHHELD = {"seed", "search_space", "constraints_func", "gamma", "weights", "avoid_premature_stop"}
WITHHELD |= {"consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints"}
# What Optuna imports only when it draws, long after a search-space file was accepted.
NEEDS = {"GPSampler": "torch"}

# In the place of Optuna's of the same name.
CHECKED = {"CmaEsSampler": CheckedCmaEsSampler}

Combination: TypeAlias = tuple[tuple[str, Scalar], ...]  # (label, value) of each parameter that is drawn

# The grids that this process has listed, by parameters and seed; a worker serves few studies at a time.
MOST_GRIDS = 4
_grids: dict[tuple[str, int], list[Combination]] = {}
_grids_lock = threading.Lock()

SAMPLERS = tuple(name for name in optuna.samplers.__all__ if name.endswith("Sampler") and not name.startswith("Base"))
PRUNERS = tuple(name for name in optuna.pruners.__all__ if name != "BasePruner")

USUAL: dict[str, dict[str, Any]] = {
    # Conditions need a sampler that groups parameters to be modelled jointly; and many workers ask at once.
    "TPESampler": {"multivariate": True, "group": True, "constant_liar": True},
}


def check_sampler(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with a [sampler] table, as (key, text)."""
    return _check_table(table, DEFAULT_SAMPLER, SAMPLERS, optuna.samplers)


def check_pruner(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with a [pruner] table, as (key, text)."""
    return _check_table(table, DEFAULT_PRUNER, PRUNERS, optuna.pruners)


def check_space(space: Space) -> list[tuple[str, str]]:
    """Return what the named sampler or pruner cannot do with a space, as (key, text)."""
    problems: list[tuple[str, str]] = []
    if space.sampler["name"] in GRIDS:
        problems = _endless_ranges(space)
    return problems or _try_sampler(space)


def _endless_ranges(space: Space) -> list[tuple[str, str]]:
    name = space.sampler["name"]
    problems = [
        (f"space.{parameter.name}", f"{name} needs choices here, not a range; list the values")
        for parameter in space.parameters
        for case in parameter.cases
        if isinstance(case.domain, Range) and case.domain.is_endless
    ]
    if problems:
        return problems
    count = math.prod(case.domain.count for _, case in _cases_by_label(space))
    if count > MOST_COMBINATIONS:
        return [("sampler.name", f"{name} tries every combination, and {count:,} are too many; take another")]
    return []


def _try_sampler(space: Space) -> list[tuple[str, str]]:
    """Return what goes wrong in a study of two trials in memory: some of Optuna looks at its options only when used."""
    at_work = "sampler"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction=space.measure.direction, pruner=make_pruner(space))
            for slot in range(2):
                at_work = "sampler"
                study.sampler = make_sampler(space, slot)
                trial = study.ask()
                space.draw_values(trial)
                at_work = "pruner"
                trial.report(0.0, space.budget.resource[0])
                trial.should_prune()
                study.tell(trial, 0.0)
    except Exception as exc:  # noqa: BLE001  whatever Optuna says of its options is the file's mistake
        return [(at_work, f"{getattr(space, at_work)['name']} refuses these options: {one_line(exc)}")]
    return []


def make_sampler(space: Space, slot: int) -> BaseSampler:
    """Return the sampler that draws the `slot`-th trial: what it draws depends on the study's history and the slot
    alone.
    """
    name = space.sampler["name"]
    seed = derived_seed(space.budget.seed, slot)
    if name in GRIDS:
        return _grid_sampler(space, slot, seed)
    if name in SEQUENCES:
        seed = space.budget.seed
    table = dict(USUAL.get(name, {})) | dict(space.sampler)
    sampler: BaseSampler = _make_object(table, optuna.samplers, {"seed": seed})
    return sampler


def make_pruner(space: Space) -> BasePruner:
    """Return the pruner that ranks trials against each other."""
    made: BasePruner = _make_object(
        space.pruner,
        optuna.pruners,
        dict(zip(("min_resource", "max_resource"), space.budget.resource, strict=True)),
    )
    return made


def _grid_sampler(space: Space, slot: int, seed: int) -> BaseSampler:
    """Return a sampler fixed to the `slot`-th combination of the grid; after the last one the grid starts again."""
    combinations = _list_combinations(space)
    point = dict(combinations[slot % len(combinations)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(point, optuna.samplers.RandomSampler(seed))


def _list_combinations(space: Space) -> list[Combination]:
    """Return all combinations of a grid, in an order that the study's seed decides; a grid is listed once."""
    # The text tells 1 from 1.0 and from true, which are equal as keys.
    key = (repr(space.parameters), space.budget.seed)
    with _grids_lock:
        if key not in _grids:
            if len(_grids) == MOST_GRIDS:
                del _grids[next(iter(_grids))]
            _grids[key] = _enumerate_grid(space)
        return _grids[key]


def _enumerate_grid(space: Space) -> list[Combination]:
    grid = {label: case.domain.values for label, case in _cases_by_label(space)}
    points = (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))
    # A value that its condition leaves out makes no combination of its own.
    combinations = list({tuple(_Point(point).asked_by(space).items()): None for point in points})
    order = np.random.default_rng(space.budget.seed).permutation(len(combinations))
    return [combinations[index] for index in order]


def _cases_by_label(space: Space) -> list[tuple[str, Case]]:
    """Return what a sampler may be asked for, by label."""
    return [
        (parameter.label(case), case)
        for parameter in space.parameters
        for case in parameter.cases
        if isinstance(case.domain, Range) or case.domain.count > 1
    ]


class _Point:
    """Suggests the values of one point of a grid, and notes which were asked for."""

    def __init__(self, point: Mapping[str, Scalar]) -> None:
        self._point = point
        self._asked: dict[str, Scalar] = {}

    def asked_by(self, space: Space) -> dict[str, Scalar]:
        space.draw_values(self)
        return self._asked

    def _suggest(self, name: str, *_: Any, **__: Any) -> Any:
        self._asked[name] = self._point[name]
        return self._point[name]

    suggest_categorical = suggest_int = suggest_float = _suggest


def _make_object(table: Mapping[str, Any], module: Any, usual: Mapping[str, Any]) -> Any:
    """Return the object that a table with a `name` and options describes; tables within are made too."""
    cls = CHECKED.get(table["name"]) or getattr(module, table["name"])
    options = {key: _make_inner(value, usual) for key, value in table.items() if key != "name"}
    taken = inspect.signature(cls).parameters
    options |= {key: value for key, value in usual.items() if key in taken and key not in options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # `group` and some samplers; chosen knowingly
        return cls(**options)


def _make_inner(value: Any, usual: Mapping[str, Any]) -> Any:
    if not (isinstance(value, Mapping) and "name" in value):
        return value
    if value["name"] in PRUNERS:
        return _make_object(value, optuna.pruners, usual)
    return _make_object(value, optuna.samplers, usual)


def _check_table(table: Mapping[str, Any], default: str, names: Iterable[str], module: Any) -> list[tuple[str, str]]:
    name = table.get("name", default)
    if name not in names:
        return [("name", f"{name!r} is not among {', '.join(names)}{did_you_mean(name, names)}")]
    taken = [key for key in inspect.signature(getattr(module, name)).parameters if key not in WITHHELD]
    for key, value in table.items():
        if key != "name" and key not in taken:
            return [(key, f"{name} has no such option{did_you_mean(key, taken)}; it has: {', '.join(taken) or 'none'}")]
        if isinstance(value, Mapping) and "name" in value:
            known = SAMPLERS
            if module is optuna.pruners:
                known = PRUNERS
            inner = _check_table(value, "", known, module)
            if inner:
                return [(f"{key}.{inner[0][0]}", inner[0][1])]
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        return [("name", f"{name} needs the package {NEEDS[name]}; pip install {NEEDS[name]}, or take {default}")]
    try:
        usual = {"seed": 0, "search_space": {}, "min_resource": 1, "max_resource": 100}
        _make_object(dict(table) | {"name": name}, module, usual)
    except ImportError as exc:
        return [("name", f"{name} needs a package that is not installed: {exc.name or exc}")]
    except Exception as exc:  # noqa: BLE001  whatever Optuna says of an option is the file's mistake
        return [("", f"{name} refuses these options: {one_line(exc)}")]
    return []
