"""Space: what may vary, and under which condition.

`Space.draw(trial)` turns an Optuna trial, or anything that can suggest, into values; `Space.config(values, slot)` turns
those into the Config that is trained.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.errors import did_you_mean, quoted
from sweeps.objective import OBJECTIVES, Objective, ObjectiveName
from sweeps.space.parameters import Choices, Parameter, Range, Scalar, Suggests
from sweeps.verdict.rules import Rules


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent.

    Attributes:
        trials: finished trials.
        steps, report_interval: optimiser steps of each trial, and from one reading to the next; 0 with `epochs`.
        epochs, epoch_images: instead, readings per trial, and training images from one to the next, whatever the batch.
        holdout_images: of a reading.
        seed: with a trial's number, or its replicate, it decides weights and batches; and the sampler's draw.
        channel_vitals: whether readings hold every channel's minimum, maximum and spread.
        recalibrate_batch_normalization: see `Config`.
    """

    trials: int
    steps: int
    report_interval: int
    epochs: int
    epoch_images: int
    holdout_images: int
    seed: int
    channel_vitals: bool
    recalibrate_batch_normalization: bool

    def steps_of(self, batch_size: int) -> tuple[int, int]:
        """Return the steps of a trial, and those between its readings."""
        if not self.epochs:
            return self.steps, self.report_interval
        interval = -(-self.epoch_images // batch_size)
        return self.epochs * interval, interval

    @property
    def length(self) -> str:
        """Return the length of a trial, in words."""
        if self.epochs:
            return f"{self.epochs:,} epochs"
        return f"{self.steps:,} steps"

    @property
    def resource(self) -> tuple[int, int]:
        """Return what pruners count: from one reading to the next, and in all; steps, or epochs."""
        if self.epochs:
            return (1, self.epochs)
        return (self.report_interval, self.steps)


# Parameters that tell trials apart and are no part of a recipe: what is run again, and with which of several seeds.
LABELS = ("candidate", "replicate")


@dataclass(frozen=True, slots=True)
class FullSize:
    """What a study is a truncation of; of the model, and of the user's own hyperparameters, the values that differ."""

    budget: Budget
    data: DataConfig
    model: Mapping[str, Scalar]
    my: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Space:
    """A search-space file, validated; `tables` is its content with the overrides in place.

    Attributes:
        confirms: the study whose candidates are run again, longer; empty for most.
        full: the sizes of the real thing, of which `data`, `model` and `budget` are a truncation; None where the file
            does not say.
    """

    name: str
    question: str
    priority: int
    objective: ObjectiveName
    budget: Budget
    data: DataConfig
    model: ModelConfig
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    verdict: Rules
    parameters: tuple[Parameter, ...]
    tables: Mapping[str, Any]
    confirms: str = ""
    full: "FullSize | None" = None

    @property
    def measure(self) -> Objective:
        """Return the record of the objective."""
        return OBJECTIVES[self.objective]

    def draw_values(self, trial: Suggests) -> dict[str, Scalar]:
        """Return values of all parameters, asked for in an order in which conditions come first."""
        values: dict[str, Scalar] = {}
        for parameter in self.parameters:
            case = next((case for case in parameter.cases if case.holds(values)), None)
            if case is not None:
                values[parameter.name] = case.domain.suggest(trial, parameter.label(case))
            elif (default := _default_value(parameter.name)) is not None:
                values[parameter.name] = default
        return values

    def check_values(self, values: Mapping[str, object]) -> str:
        """Return why values cannot be those of a trial, by their names in the study; empty where they can."""
        domains: dict[str, list[Choices | Range]] = {}
        for parameter in self.parameters:
            for case in parameter.cases:
                domains.setdefault(parameter.label(case), []).append(case.domain)
        for name, value in values.items():
            if name not in domains:
                return f"{name} is no parameter of the space{did_you_mean(name, domains)}"
            if not any(domain.allows(value) for domain in domains[name]):
                return f"{name} = {value} is not among the values that the space allows"
        return ""

    def check_code(self, config: Config) -> str:
        """Return why the code or data that a recipe names are not the space's; empty where they are.

        A trial that is gone on with takes its recipe from an attribute, which others may have edited.
        """
        drawn = {parameter.name for parameter in self.parameters}
        pairs = {
            "data.source": (config.data.source, self.data.source),
            "data.path": (config.data.path, self.data.path),
            "model.build": (config.model.build, self.model.build),
        }
        for name, (found, own) in pairs.items():
            if found != own and name not in drawn:
                return f"its attribute config was edited: {name} is {quoted(found)}, where the study has {quoted(own)}"
        return ""

    def make_config(self, values: Mapping[str, Scalar], slot: int) -> Config:
        """Return the recipe of the `slot`-th trial of the budget.

        Raises:
            pydantic.ValidationError: values that do not go together.
        """
        tables: dict[str, Any] = {"data": self.data.model_dump(), "model": self.model.model_dump(), "my": {}}
        for name, value in values.items():
            table, _, key = name.rpartition(".")
            if name not in LABELS:
                (tables[table] if table else tables)[key] = value
        if "model.build" in values:
            tables["model"]["architecture"] = "custom"
        batch_size = int(tables.get("batch_size", Config.model_fields["batch_size"].default))
        steps, report_interval = self.budget.steps_of(batch_size)
        return Config.model_validate(
            tables
            | {
                "seed": derived_seed(self.budget.seed, int(values.get("replicate", slot))),
                "steps": steps,
                "report_interval": report_interval,
                "holdout_images": self.budget.holdout_images,
                "channel_vitals": self.budget.channel_vitals,
                "recalibrate_batch_normalization": self.budget.recalibrate_batch_normalization,
            }
        )

    def digest(self) -> str:
        """Return the sha256 of what decides the trials."""
        return hashlib.sha256(json.dumps(self.identity_tables(), sort_keys=True).encode()).hexdigest()

    def identity_tables(self) -> dict[str, Any]:
        """Return `tables` without what may change while a study runs: its number of trials, question, priority, and the
        full size.
        """
        budget = {key: value for key, value in self.tables["budget"].items() if key != "trials"}
        study = {key: value for key, value in self.tables["study"].items() if key not in ("question", "priority")}
        rest = {key: value for key, value in self.tables.items() if key != "full"}
        return {**rest, "study": study, "budget": budget}

    def at_full_size(self, config: Config) -> Config:
        """Return the recipe of a trial at the size of the real thing; the trial's own where the file says none.

        Raises:
            pydantic.ValidationError: values that do not go together.
        """
        if self.full is None:
            return config
        found = config.model_dump()
        full = self.full
        steps, report_interval = full.budget.steps_of(config.batch_size)
        return Config.model_validate(
            found
            | {
                "data": full.data.model_dump(),
                "model": found["model"] | dict(full.model),
                "my": found.get("my", {}) | dict(full.my),
                "steps": steps,
                "report_interval": report_interval,
                "holdout_images": full.budget.holdout_images,
            }
        )

    def rehearsals(self) -> Iterator[Config]:
        """Yield configs in which every choice and both ends of every range occur, as few as a greedy cover finds.

        Raises:
            ValidationProblem: a combination that no Config allows.
        """
        open_ends = {
            parameter.label(case): list(case.domain.ends())
            for parameter in self.parameters
            for case in parameter.cases
            if len(case.domain.ends()) > 1 or case.when
        }
        yield self._make_rehearsal(_Rehearsal(open_ends, {}))
        while any(open_ends.values()):
            label = next(label for label, ends in open_ends.items() if ends)
            before = len(open_ends[label])
            yield self._make_rehearsal(_Rehearsal(open_ends, self._required_choices(label)))
            if len(open_ends[label]) == before:  # shadowed by an earlier case: it can never be drawn
                open_ends[label].clear()

    def _make_rehearsal(self, rehearsal: "_Rehearsal") -> Config:
        values = self.draw_values(rehearsal)
        for parameter in self.parameters:  # fixed values of a condition are never suggested: tick them off here
            case = next((case for case in parameter.cases if case.holds(values)), None)
            if case is not None:
                rehearsal.tick(parameter.label(case), values[parameter.name])
        try:
            return self.make_config(values, 0)
        except ValidationError as exc:
            drawn = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise ValidationProblem(drawn, exc) from exc

    def _required_choices(self, label: str) -> dict[str, Scalar]:
        """Return what must be chosen, by label, for the case of this label to hold."""
        wanted: dict[str, Scalar] = {}
        by_name = {parameter.name: parameter for parameter in self.parameters}
        todo = [case for parameter in self.parameters for case in parameter.cases if parameter.label(case) == label]
        while todo:
            for name, allowed in todo.pop().when:
                parent = by_name[name]
                for case in parent.cases:
                    value = next((value for value in case.domain.ends() if value in allowed), None)
                    if value is not None:
                        wanted[parent.label(case)] = value
                        todo.append(case)
                        break
        return wanted


class ValidationProblem(ValueError):
    """A combination of drawn values that no Config allows."""

    def __init__(self, drawn: str, exc: ValidationError) -> None:
        reason = str(exc.errors()[0]["msg"]).removeprefix("Value error, ")
        super().__init__(f"{reason} (with {drawn})")


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """Suggests what is wanted, else what no rehearsal has tried yet, else the first."""

    open_ends: dict[str, list[Scalar]]
    wanted: Mapping[str, Scalar]

    def tick(self, label: str, value: Scalar) -> None:
        if value in self.open_ends.get(label, ()):
            self.open_ends[label].remove(value)

    def _pick_value(self, label: str, first: Scalar) -> Scalar:
        value = self.wanted.get(label, next(iter(self.open_ends.get(label, ())), first))
        self.tick(label, value)
        return value

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Scalar:
        return self._pick_value(name, choices[0])

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: ARG002
        return int(self._pick_value(name, low))

    def suggest_float(
        self,
        name: str,
        low: float,
        high: float,  # noqa: ARG002
        *,
        step: float | None = None,  # noqa: ARG002
        log: bool = False,  # noqa: ARG002
    ) -> float:
        return float(self._pick_value(name, low))


def derived_seed(seed: int, slot: int) -> int:
    """Return a seed in [0, 2**31) for the `slot`-th trial of a budget."""
    return int(np.random.SeedSequence((seed, slot)).generate_state(1)[0] >> 1)


def _default_value(name: str) -> Scalar | None:
    """Return what Config takes where no case holds; None where that depends on other values."""
    table, _, key = name.rpartition(".")
    if name in LABELS or table == "my":
        return None
    models: dict[str, type[BaseModel]] = {"": Config, "data": DataConfig, "model": ModelConfig}
    default = models[table].model_fields[key].default
    scalar: Scalar | None = None if default is PydanticUndefined else default
    return scalar
