"""Candidates of a study run again: which, as what file, with which seeds; and what is said of them."""

import tomllib
from collections.abc import Generator
from io import StringIO
from pathlib import Path

import fakes
import optuna
import pytest
from optuna.storages import RDBStorage
from rich.console import Console

from sweeps import store
from sweeps.analysis import candidates, confirmation, ranking
from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.errors import InputError, SpaceError
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.space.space import Space

BASE = """
[study]
name = "base"

[budget]
trials = 12
steps = 6
report_interval = 2
holdout_images = 64

[data]
classes = 4
images = 256
image_size = 16

[model]
convolutions = 2
stages = 2
width = 4
dense = 1
dense_units = 16

[full]
data = { image_size = 32 }
model = { width = 8 }
budget = { steps = 60, report_interval = 20 }

[sampler]
name = "GridSampler"

[pruner]
name = "MedianPruner"

[verdict]
control = 1.0

[space]
activation = ["relu", "selu", "tanh"]
constraint = { choices = ["none", "standardize_unit"], when = { activation = "selu" } }
learning_rate = [0.001, 0.002, 0.004]
batch_size = 32
model.dense_units = [8, 16]
"""


@fakes.run
def graded(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """How many of 64 are right in the end depends on the learning rate, and a little on the seed."""
    for step in range(0, config.steps + 1, config.report_interval):
        hits = 16 + step * int(5000 * config.learning_rate + config.seed % 3) // config.steps
        yield fakes.reading(step, loss=1.386 * (1 - hits / 128), hits1=hits)


@pytest.fixture
def base(tmp_path: Path) -> tuple[RDBStorage, optuna.Study, Space]:
    """A finished study of twelve trials, the first twelve of a grid."""
    storage = store.connect(f"sqlite:///{tmp_path}/sweeps.db", create=True)
    space = file.parse_space(BASE)
    study = store.create_study(storage, space, BASE, [])
    assert fakes.work(storage, study, graded) == 12
    return storage, study, space


def confirmed(storage: RDBStorage, study: optuna.Study, space: Space, scale: str, seeds: int = 3) -> optuna.Study:
    """The study of one scale, run."""
    chosen = candidates.choose_candidates("base", ranking.rank_study(study, space), 3, 3)
    text = candidates.study_text(space, chosen, seeds, candidates.apply_scale(scale, space))
    again = store.create_study(storage, file.parse_space(text), text, [])
    fakes.work(storage, again, graded)
    return again


def test_the_best_are_run_again_and_others_spaced_over_the_ranks(
    base: tuple[RDBStorage, optuna.Study, Space],
) -> None:
    _, study, space = base
    found = ranking.rank_study(study, space)
    chosen = candidates.choose_candidates("base", found, 3, 3)
    assert chosen[:3] == found[:3]
    assert [found.index(each) for each in chosen[3:]] == [3, 7, 11]
    assert candidates.choose_candidates("base", found, 20, 20) == found
    assert candidates.choose_candidates("base", found, 2, 1) == [*found[:2], found[-1]]
    with pytest.raises(InputError, match="no configuration learned"):
        candidates.choose_candidates("base", [], 3, 3)


@pytest.mark.parametrize("scale", ["4", "full", "budget.steps=12 budget.report_interval=3 model.width=8"])
def test_every_run_has_its_candidates_recipe_at_the_scale_and_a_new_seed(
    base: tuple[RDBStorage, optuna.Study, Space], scale: str
) -> None:
    storage, study, space = base
    again = confirmed(storage, study, space, scale, seeds=2)
    finished = store.finished_trials(study.get_trials(deepcopy=False))
    old = {trial.number: trial.config for trial in finished if trial.config is not None}
    sizes = {"4": (24, 8, 4, 16), "full": (60, 20, 8, 32)}.get(scale, (12, 3, 8, 16))
    seeds: dict[int, set[int]] = {}
    for trial in again.trials:
        config = Config.model_validate_json(trial.user_attrs[store.CONFIG])
        first = old[trial.params["candidate"]]
        assert (config.steps, config.report_interval, config.model.width, config.data.image_size) == sizes
        changed = {"seed", "steps", "report_interval", "model", "data"}
        assert config.model_dump(exclude=changed) == first.model_dump(exclude=changed)
        assert config.model.dense_units == first.model.dense_units
        assert config.seed not in {each.seed for each in old.values()}
        seeds.setdefault(trial.params["replicate"], set()).add(config.seed)
    assert len(again.trials) == 12
    assert [len(each) for each in seeds.values()] == [1, 1]  # the same for all candidates
    assert seeds[0] != seeds[1]


def test_a_confirming_study_says_what_it_is(base: tuple[RDBStorage, optuna.Study, Space]) -> None:
    storage, study, space = base
    again = confirmed(storage, study, space, "4")
    assert [(each.study_name, its.confirms) for each, its in ranking.list_confirmations(storage, "base")] == [
        ("base-confirm-4x", "base")
    ]
    assert ranking.list_confirmations(storage, "base-confirm-4x") == []
    tables = tomllib.loads(again.user_attrs[store.SPACE_TEXT])
    assert "pruner" not in tables
    assert tables["space"]["batch_size"] == 32
    assert tables["budget"]["trials"] == 18
    assert tables["sampler"] == {"name": "GridSampler"}


def test_nothing_is_said_before_a_run_has_finished(base: tuple[RDBStorage, optuna.Study, Space]) -> None:
    storage, study, _ = base
    assert confirmation.read_confirmation(storage, study) is None


def test_the_costliest_scale_is_the_reference_and_the_others_are_held_against_it(
    base: tuple[RDBStorage, optuna.Study, Space],
) -> None:
    storage, study, space = base
    for scale in ("1", "4"):
        confirmed(storage, study, space, scale)
    found = confirmation.read_confirmation(storage, study)
    assert found is not None
    assert found.ranks[0].study == "base"
    assert [each.study for each in found.agreements] == [each.study for each in found.ranks[:-1]]
    for rank in found.ranks[1:]:
        means = [each.mean for each in rank.candidates]
        assert means == sorted(means, reverse=True)
        assert (rank.done, rank.trials, rank.seeds) == (18, 18, 3)
    rates = {trial.number: trial.params["learning_rate"] for trial in study.trials}
    assert rates[found.reference.candidates[0].number] == 0.004  # what `graded` makes best
    best = found.reference.candidates[0]
    runs = [
        trial for trial in storage_trials(storage, found.reference.study) if trial.params["candidate"] == best.number
    ]
    assert best.mean == pytest.approx(sum(trial.value or 0 for trial in runs) / 3)


def storage_trials(storage: RDBStorage, name: str) -> list[optuna.trial.FrozenTrial]:
    """The trials of a study."""
    return store.load_study(storage, name).get_trials()


def test_it_reads_well(base: tuple[RDBStorage, optuna.Study, Space]) -> None:
    storage, study, space = base
    confirmed(storage, study, space, "4")
    found = confirmation.read_confirmation(storage, study)
    assert found is not None
    console = Console(file=StringIO(), width=200)
    console.print(confirmation.render_confirmation(found))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "base-confirm-4x" in text
    assert "3 seeds" in text
    assert "Kendall's tau" in text
    assert "learning_rate=0.004" in text
    assert "±" in text


def test_neighbours_in_rank_and_ranks_that_decide_nothing_are_said_to_be_so(
    base: tuple[RDBStorage, optuna.Study, Space],
) -> None:
    storage, study, space = base
    confirmed(storage, study, space, "1")
    found = confirmation.read_confirmation(storage, study)
    assert found is not None
    assert "others spaced over the ranks" in confirmation.describe_confirmation(found)[-1]
    few = candidates.choose_candidates("base", ranking.rank_study(study, space), 6, 0)
    text = candidates.study_text(
        space, few, 1, candidates.apply_scale("budget.steps=3 budget.report_interval=3", space)
    )
    fakes.work(storage, store.create_study(storage, file.parse_space(text), text, []), graded)
    optuna.delete_study(study_name="base-confirm-1x", storage=storage)
    found = confirmation.read_confirmation(storage, study)
    assert found is not None
    assert confirmation.describe_confirmation(found)[-2:] == [
        "Candidates are neighbours in rank: over all ranks tau would be higher.",
        "base-confirm-steps=3-report_interval=3 does not decide which is exported: its runs are truncated more than "
        "the study's (steps is 3, not 6).",
    ]


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ("", "--scale is empty"),
        ("many", "write full, a factor"),
        ("0", "write full, a factor"),
        ("space.activation=relu", "unknown key; known here: budget, data, model"),
        ("budget.step=3", "did you mean 'steps'"),
        ("model.dense_units=3", "space.model.dense_units decides it"),
        ("model.width=0", "model.width"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(
    base: tuple[RDBStorage, optuna.Study, Space], scale: str, words: str
) -> None:
    _, study, space = base
    chosen = candidates.choose_candidates("base", ranking.rank_study(study, space), 3, 3)
    with pytest.raises((InputError, SpaceError)) as caught:
        candidates.study_text(space, chosen, 2, candidates.apply_scale(scale, space))
    assert words in str(caught.value)
    assert "--scale" in str(caught.value)


def test_without_a_full_table_there_is_no_full_scale() -> None:
    with pytest.raises(InputError, match=r"no \[full\] table"):
        candidates.apply_scale("full", file.parse_space(fakes.TINY))
