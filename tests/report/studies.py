"""Studies that are made up by hand, without a store, for reports to be made of."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fakes
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps import store
from sweeps.readings import Reading
from sweeps.report.material import Material
from sweeps.space import file
from sweeps.space.space import Space

STEPS = 100
TEXT = (
    fakes.TINY.replace(
        """constraint = { choices = ["none", "standardize_unit"], when = { activation = "selu" } }""",
        """constraint = ["none", "unit_norm"]""",
    )
    .replace("steps = 6", f"steps = {STEPS}")
    .replace("report_interval = 2", "report_interval = 20")
)
STATES = {"learned": TrialState.COMPLETE, "failed": TrialState.FAIL, store.INTERRUPTED: TrialState.FAIL}


def space(*overrides: str) -> Space:
    """Of activation, constraint, learning rate; `overrides` as `--set` takes them."""
    return file.parse_space(TEXT, list(overrides))


def trial(fate: str, of: Space, values: Mapping[str, Any] | None = None, **noted: Any) -> FrozenTrial:
    """A finished trial; what is noted of it replaces the usual."""
    drawn = {"activation": "relu", "constraint": "none", "learning_rate": 0.002, "batch_size": 32, **(values or {})}
    state, top1 = STATES.get(fate, TrialState.PRUNED), 0.5 if fate == "learned" else 0.1
    config = of.make_config(drawn, noted.pop("seed", 0))
    known = {"top1": top1, "top5": 0.9, "loss": 2.0, "gain": 1 - 2.0 / 2.3, "chance_top1": 0.1, "seconds": 1.5}
    attributes: dict[str, Any] = {"fate": fate, "reason": f"{fate}, so it is", "steps": STEPS}
    attributes |= {"config": config.to_json(), **known, **noted}
    of_value = {"loss": "loss", "r2": "gain", "gain": "gain"}.get(of.objective, of.objective)
    return create_trial(
        state=state,
        value=attributes.get(of_value) if state == TrialState.COMPLETE else None,
        params=drawn,
        distributions={name: CategoricalDistribution([value]) for name, value in drawn.items()},
        user_attrs={name: value for name, value in attributes.items() if value is not None},
    )


def looks(fate: str, steps: int = STEPS) -> list[Reading]:
    """The looks of a run with this fate, until it ended."""
    found = []
    for step in range(0, steps + 1, 20):
        share = step / STEPS
        loss = 2.3 * (1 - 0.6 * share) if fate in ("learned", "outranked") else 2.35
        found.append(
            fakes.reading(step, loss=loss, hits1=6 + int(40 * share), signal=0.5 if fate == "learned" else 1e-3)
        )
    return found


def material(of: Space, trials: Sequence[FrozenTrial], *confirming: tuple[Space, Sequence[FrozenTrial]]) -> Material:
    """What a report is made from; every trial that trained left readings."""
    for number, each in enumerate(trials):
        each.number = number
    for _, others in confirming:
        for number, each in enumerate(others):
            each.number = number

    def readings(numbers: Sequence[int]) -> Iterator[tuple[int, list[Reading]]]:
        for number in numbers:
            attributes = trials[number].user_attrs
            if attributes.get("fate") not in (None, "failed"):
                yield number, looks(attributes["fate"], attributes["steps"])

    return Material(of, trials, readings, confirming)


def mixed(of: Space) -> list[FrozenTrial]:
    """A study of every fate: what has the constraint learned, but for one."""
    held = {"constraint": "unit_norm"}
    trials = [trial("learned", of, {**held, "activation": kind}, seed=n) for n, kind in enumerate(["relu", "selu"] * 4)]
    trials += [trial("at chance", of, {"learning_rate": 0.009}, steps=60, seed=20 + n) for n in range(4)]
    trials += [trial("at chance", of, held, seed=30)]
    trials += [trial("collapsed", of, {"activation": "selu"}, steps=20, seed=40, autopsy_cause="signal lost")]
    trials += [trial("diverged", of, {"activation": "selu"}, steps=40, seed=50, loss=None, gain=None)]
    trials += [trial("frozen", of, {"learning_rate": 0.001}, steps=20, seed=60)]
    trials += [trial("outranked", of, {}, steps=40, seed=70)]
    trials += [trial("failed", of, {}, steps=0, top1=None, loss=None, gain=None, traceback="Traceback: <no memory>")]
    trials += [trial(store.INTERRUPTED, of, {})]
    return trials


def config_of(each: FrozenTrial) -> dict[str, Any]:
    """A trial's recipe."""
    found: dict[str, Any] = json.loads(each.user_attrs["config"])
    return found
