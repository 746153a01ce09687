"""Optuna's engines by name: what each draws is a function of the study and the slot."""

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from fakes import TINY
from optuna.trial import TrialState

from sweeps.errors import InputError
from sweeps.optuna_private import CheckedCmaEsSampler
from sweeps.space import file, samplers
from sweeps.space.parameters import Case, Choices, Parameter
from sweeps.space.space import Space

NO_RANGES = ["space.learning_rate=[1e-3, 1e-2]"]


def three_trials(space: Space, order: tuple[int, ...] = (0, 1, 2)) -> dict[int, dict[str, object]]:
    study = optuna.create_study(direction=space.measure.direction)
    params = {}
    for slot in order:
        study.sampler = samplers.make_sampler(space, slot)
        trial = study.ask()
        space.draw_values(trial)
        params[slot] = trial.params
        study.tell(trial, 0.1)
    return params


@pytest.mark.parametrize("name", [name for name in samplers.SAMPLERS if name not in samplers.NEEDS])
def test_every_sampler_draws_the_same_from_the_same_history(name: str) -> None:
    options = {
        "PartialFixedSampler": [
            "sampler.fixed_params={activation='selu'}",
            "sampler.base_sampler={name='RandomSampler'}",
        ]
    }
    overrides = [
        f"sampler.name={name}",
        *options.get(name, []),
        *(NO_RANGES if name in ("GridSampler", "BruteForceSampler") else []),
    ]
    space = file.parse_space(TINY, overrides)
    assert three_trials(space) == three_trials(space)


def test_what_a_slot_draws_at_random_does_not_depend_on_the_order_of_the_slots() -> None:
    space = file.parse_space(TINY)
    assert three_trials(space) == three_trials(space, (2, 0, 1))


@pytest.mark.parametrize("name", ["GridSampler", "BruteForceSampler"])
def test_a_grid_gives_each_combination_once_whatever_the_order_and_then_starts_again(name: str) -> None:
    space = file.parse_space(
        TINY,
        [
            f"sampler.name={name}",
            "space.activation=['relu', 'selu']",
            "space.constraint={choices=['none', 'unit_norm'], when={activation='selu'}}",
            "space.learning_rate={low=0.1, high=0.3, step=0.1}",
            "space.batch_size={low=4, high=8, step=4}",
        ],
    )
    # relu has no constraint to choose: (1 + 2) x 3 learning rates x 2 batch sizes
    drawn = three_trials(space, tuple(reversed(range(36))))
    seen = [tuple(sorted((key, str(value)[:3]) for key, value in drawn[slot].items())) for slot in range(36)]
    assert len(set(seen[:18])) == 18
    assert seen[18:] == seen[:18]


def test_a_grid_is_listed_once_for_all_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["sampler.name=GridSampler", "space.learning_rate=[0.011, 0.012, 0.013]"]
    first = three_trials(file.parse_space(TINY, overrides))
    draws: list[Space] = []
    monkeypatch.setattr(samplers, "_enumerate_grid", draws.append)
    assert three_trials(file.parse_space(TINY, overrides)) == first
    assert not draws


def test_grids_of_equal_values_of_another_type_are_not_mixed_up() -> None:
    space = file.parse_space(TINY, ["sampler.name=GridSampler", *NO_RANGES])
    for values in ((1, 2), (1.0, 2.0)):
        parameter = Parameter("learning_rate", (Case(Choices(values)),))
        trials = three_trials(replace(space, parameters=(parameter,)))
        assert {type(trial["learning_rate"]) for trial in trials.values()} == {type(values[0])}


def test_a_grid_that_is_too_large_is_refused() -> None:
    overrides = ["sampler.name=BruteForceSampler", "space.learning_rate=1e-3"]
    with pytest.raises(InputError, match=r"sampler.name: BruteForceSampler tries every combination"):
        file.parse_space(TINY, [*overrides, "space.batch_size={low=1, high=1000000000}"])


def test_tpe_is_set_for_conditions_and_many_workers_unless_the_file_says_otherwise() -> None:
    space = file.parse_space(TINY, ["sampler.name=TPESampler"])
    tpe = samplers.make_sampler(space, 0)
    assert isinstance(tpe, optuna.samplers.TPESampler)
    assert (tpe._multivariate, tpe._group, tpe._constant_liar) == (True, True, True)
    overrides = ["sampler.name=TPESampler", "sampler.constant_liar=false", "sampler.n_startup_trials=3"]
    alone = file.parse_space(TINY, overrides)
    assert samplers.make_sampler(alone, 0)._constant_liar is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", samplers.PRUNERS)
def test_every_pruner_by_name_looks_at_a_run(name: str) -> None:
    options = {
        "PercentilePruner": ["pruner.percentile=25.0"],
        "PatientPruner": ["pruner.patience=1", "pruner.wrapped_pruner={name='MedianPruner'}"],
        "ThresholdPruner": ["pruner.lower=0.0"],
    }
    space = file.parse_space(TINY, [f"pruner.name={name}", *options.get(name, [])])
    study = optuna.create_study(direction="maximize", pruner=samplers.make_pruner(space))
    trial = study.ask()
    trial.report(0.5, 2)
    assert trial.should_prune() in (True, False)


def test_a_pruner_ends_the_worse_half() -> None:
    space = file.parse_space(TINY, ["pruner.name=MedianPruner", "pruner.n_startup_trials=1"])
    study = optuna.create_study(direction="maximize", pruner=samplers.make_pruner(space))
    first = study.ask()
    first.report(0.5, 2)
    study.tell(first, 0.5, state=TrialState.COMPLETE)
    worse, better = study.ask(), study.ask()
    worse.report(0.1, 2)
    better.report(0.9, 2)
    assert worse.should_prune()
    assert not better.should_prune()


@pytest.mark.parametrize("option", ["", "use_separable_cma", "with_margin", "lr_adapt"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_checked_sampler_draws_as_optuna_s_own(option: str) -> None:
    options: dict[str, Any] = {option: True} if option else {}

    def draw(sampler: type[optuna.samplers.CmaEsSampler]) -> list[dict[str, object]]:
        study = optuna.create_study()
        for slot in range(25):
            study.sampler = sampler(seed=slot, popsize=4, **options)  # anew for each trial, as workers do
            trial = study.ask()
            value = sum(trial.suggest_float(name, -1, 1) ** 2 for name in "ab") + trial.suggest_int("c", 1, 9)
            study.tell(trial, value)
        assert any("optimizer" in key for trial in study.trials for key in trial.system_attrs)
        return [trial.params for trial in study.trials]

    assert draw(CheckedCmaEsSampler) == draw(optuna.samplers.CmaEsSampler)


def test_code_in_an_optimiser_s_state_is_not_run(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    study = optuna.create_study(sampler=CheckedCmaEsSampler(seed=0))
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, sum(trial.suggest_float(name, -1, 1) for name in "ab"))
    text = pickle.dumps(Attack()).hex()
    edited = optuna.trial.create_trial(
        value=0.0,
        params=study.trials[0].params,
        distributions=study.trials[0].distributions,
        system_attrs={"cma:optimizer:0": text, "cma:generation": 0},
    )
    study.add_trial(edited)
    with pytest.raises(pickle.UnpicklingError, match="mkdir"):
        study.ask(study.trials[0].distributions)
    assert not (tmp_path / "run").exists()
