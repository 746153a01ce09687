"""`sweeps export` as a person uses it: which trials, what is written of them, and what a check finds."""

import json
import re
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import fakes
import numpy as np
import optuna
import pytest
import servers
import sqlalchemy
import yaml
from commands import python_path, run_sweeps
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.analysis import agreement, candidates, ranking
from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.errors import InputError
from sweeps.export import recipes, select, verify
from sweeps.export.document import read_document
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.space.space import Space

pytestmark = pytest.mark.tensorflow

BASE = """
[study]
name = "base"

[budget]
trials = 6
steps = 6
report_interval = 2
holdout_images = 64

[data]
classes = 10
images = 256
image_size = 16

[model]
convolutions = 2
stages = 2
width = 4
dense = 1
dense_units = 16

[full]
data = { image_size = 32, images = 1000 }
model = { width = 6, dense_units = 24 }
budget = { steps = 600, report_interval = 100 }

[sampler]
name = "GridSampler"

[verdict]
control = 0.0

[space]
activation = ["selu", "elu", "tanh"]
constraint = { value = "standardize_unit", when = { activation = "selu" } }
learning_rate = [0.001, 0.002]
batch_size = 32
"""
PLAIN = BASE.replace('"base"', '"plain"').replace("trials = 6", "trials = 4")
PLAIN = PLAIN[: PLAIN.index("[full]")] + PLAIN[PLAIN.index("[sampler]") :]


@fakes.run
def graded(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """tanh dies; of the others how many of 64 are right depends on activation and rate, and a little on the seed."""
    for step in range(0, config.steps + 1, config.report_interval):
        if config.activation == "tanh":
            yield fakes.reading(step, loss=2.4, signal=1e-11 if step else 0.5)
            continue
        better = 10 * (config.activation == "selu") + int(5000 * config.learning_rate) + config.seed % 3
        hits = 16 + step * better // config.steps
        yield fakes.reading(step, loss=2.3 * (1 - hits / 128), hits1=hits)


@fakes.run
def upside_down(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """The higher the rate, the worse; elu at .001 never learns."""
    for step in range(0, config.steps + 1, config.report_interval):
        if (config.activation, config.learning_rate) == ("elu", 0.001):
            yield fakes.reading(step, loss=2.4, signal=1e-11 if step else 0.5)
            continue
        hits = 16 + step * (30 - int(5000 * config.learning_rate) + config.seed % 5) // config.steps
        yield fakes.reading(step, loss=2.3 * (1 - hits / 128), hits1=hits)


Made = tuple[RDBStorage, optuna.Study, Space]


def made(url: str, text: str = BASE) -> Made:
    """A finished study."""
    storage = store.connect(url, create=True)
    space = file.parse_space(text)
    study = store.create_study(storage, space, text, [])
    fakes.work(storage, study, graded)
    return storage, study, space


@pytest.fixture
def base(tmp_path: Path) -> Made:
    """A study of six trials: four learn, two die."""
    return made(f"sqlite:///{tmp_path}/sweeps.db")


def confirmed(base: Made, scale: str, seconds: float, seeds: int = 3) -> optuna.Study:
    """A study that ran the four that learned again; its runs took as long as is said."""
    storage, study, space = base
    chosen = candidates.choose_candidates("base", ranking.rank_study(study, space), 4, 0)
    text = candidates.study_text(space, chosen, seeds, candidates.apply_scale(scale, space))
    again = store.create_study(storage, file.parse_space(text), text, [])
    fakes.work(storage, again, upside_down)
    numbers = "SELECT trial_id FROM trials WHERE study_id = :study"
    change = f"UPDATE trial_user_attributes SET value_json = :s WHERE key = 'seconds' AND trial_id IN ({numbers})"
    with storage.engine.begin() as db:
        db.execute(sqlalchemy.text(change), {"s": str(seconds), "study": store.id_of(storage, again)})
    return again


def learners(study: optuna.Study) -> list[int]:
    """Trials that learned, the best first: Optuna's word for it."""
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    return [trial.number for trial in sorted(complete, key=lambda trial: -(trial.value or 0.0))]


def test_the_best_learners_are_chosen_and_named(base: Made) -> None:
    storage, study, space = base
    chosen, lines = select.select_best(storage, study, space, 9)
    assert [each.trial.number for each in chosen] == learners(study)
    assert [each.name for each in chosen] == ["best", "best_2", "best_3", "best_4"]
    assert lines == ["9 asked for; 4 configurations learned"]
    assert select.select_best(storage, study, space, 2) == (chosen[:2], [])


def test_where_candidates_ran_again_that_ranking_decides_and_the_costliest_of_several(base: Made) -> None:
    storage, study, space = base
    confirmed(base, "1", seconds=5.0)
    again = confirmed(base, "4", seconds=60.0)
    confirmed(base, "2", seconds=20.0)
    of: dict[int, list[float]] = {}
    for trial in again.trials:
        of.setdefault(trial.params["candidate"], []).append(trial.user_attrs[store.TOP1])
    order = sorted(of, key=lambda number: -mean(of[number]))
    dead = order.pop()
    chosen, lines = select.select_best(storage, study, space, 9)
    assert [each.trial.number for each in chosen] == order != learners(study)[:3]
    runs = chosen[0].runs
    assert runs is not None
    assert runs.study == "base-confirm-4x"
    assert sorted(runs.values) == pytest.approx(sorted(of[order[0]]))
    assert (runs.mean, runs.spread) == pytest.approx((mean(of[order[0]]), stdev(of[order[0]])))
    low = mean(of[order[0]]) - 4.303 * stdev(of[order[0]]) / 3**0.5  # Student's t, 2 degrees of freedom
    assert lines[0].startswith(
        f"confirmed with 3 seeds in 'base-confirm-4x': trial {order[0]}, top-1 {mean(of[order[0]]):.2%} "
        f"(95 % interval {low:.2%} to "
    )
    assert lines[1] == f"left out: trial {dead}, since none of its 3 runs in 'base-confirm-4x' learned"


@pytest.mark.parametrize(
    ("scale", "seeds", "why"),
    [
        ("budget.steps=4 budget.report_interval=2", 3, r"truncated more than the study's \(steps is 4, not "),
        ("model.width=2", 3, r"truncated more than the study's \(model.width is 2, not 4\)"),
        ("1", 1, "one run of the study's own size says no more than the study does"),
    ],
)
def test_runs_again_that_say_no_more_than_the_study_do_not_decide(base: Made, scale: str, seeds: int, why: str) -> None:
    storage, study, space = base
    again = confirmed(base, scale, seconds=900.0, seeds=seeds)
    chosen, lines = select.select_best(storage, study, space, 4)
    assert [each.trial.number for each in chosen] == learners(study)
    assert re.fullmatch(rf"'{re.escape(again.study_name)}' does not decide: (its runs are )?{why}.*", lines[0])
    surer = confirmed(base, "2", seconds=20.0)
    (best,), lines = select.select_best(storage, study, space, 1)
    assert best.runs is not None
    assert best.runs.study == surer.study_name
    assert lines[0].startswith(f"'{again.study_name}' does not decide")
    assert lines[1].startswith("confirmed with 3 seeds")


def test_a_longer_run_with_one_seed_is_told_in_the_file_and_decides_beyond_noise_alone(
    base: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, study, space = base
    again = confirmed(base, "4", seconds=60.0, seeds=1)
    (best,), lines = select.select_best(storage, study, space, 1)
    assert best.trial.number == learners(study)[0], "64 images tell no such difference from noise"
    assert "no more than noise" in lines[0]
    assert lines[1].startswith("confirmed with one seed, which says nothing of how much seeds matter, in 'base-con")
    files, _ = recipes.make_files(study, space, [best], "sqlite:///sweeps.db", "toml", module=False)
    (value,) = (
        trial.user_attrs[store.TOP1] for trial in again.trials if trial.params["candidate"] == best.trial.number
    )
    assert f"# One run in 'base-confirm-4x': top-1 {value:.2%}.\n" in files["best.toml"].content.decode()
    monkeypatch.setattr(select, "compare_shares", lambda first, second, _: first - second)
    (best,), _ = select.select_best(storage, study, space, 1)
    assert best.trial.number != learners(study)[0]


def test_a_lead_within_the_scatter_of_seeds_changes_no_export(base: Made) -> None:
    storage, study, space = base
    chosen = candidates.choose_candidates("base", ranking.rank_study(study, space), 2, 0)
    text = candidates.study_text(space, chosen, 3, candidates.apply_scale("2", space))
    again = store.create_study(storage, file.parse_space(text), text, [])
    first, second = (configuration.trials[0].number for configuration in chosen)
    scattered = {first: (30, 40, 35), second: (38, 34, 36)}  # ahead by one image on average

    @fakes.run
    def train(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
        number = first if config.learning_rate == chosen[0].config.learning_rate else second
        if chosen[0].config.learning_rate == chosen[1].config.learning_rate:
            number = first if config.activation == chosen[0].config.activation else second
        hits = scattered[number][len(seen[number])]
        seen[number].append(hits)
        yield fakes.reading(0)
        yield fakes.reading(config.steps, loss=1.0, hits1=hits)

    seen: dict[int, list[int]] = {first: [], second: []}
    fakes.work(storage, again, train)
    (best,), lines = select.select_best(storage, study, space, 1)
    assert best.trial.number == first
    assert f"trial {second} is ahead of trial {first}" in lines[0]


def test_the_interval_of_two_shares_is_wald_s() -> None:
    rng = np.random.default_rng(0)
    first, second, images = 0.6, 0.5, 400
    drawn = (rng.binomial(images, first, 200_000) - rng.binomial(images, second, 200_000)) / images
    low = agreement.compare_shares(first, second, images)
    assert low == pytest.approx(np.quantile(drawn, 0.025), abs=0.003)


def test_a_single_candidate_that_ran_again_is_known_too(base: Made) -> None:
    storage, study, space = base
    last = ranking.rank_study(study, space)[3]
    text = candidates.study_text(space, [last], 2, candidates.apply_scale("1", space))
    again = store.create_study(storage, file.parse_space(text), text, [])
    fakes.work(storage, again, graded)
    chosen, lines = select.select_best(storage, study, space, 2)
    assert [each.trial.number for each in chosen] == [last.trials[0].number, learners(study)[0]]
    assert lines[0].startswith("confirmed with 2 seeds in 'base-confirm-1x': trial ")
    assert lines[1] == f"not run again: trial {learners(study)[0]}"


def test_of_several_seeds_the_first_that_learned_stands_for_all(tmp_path: Path) -> None:
    text = BASE.replace("learning_rate = [0.001, 0.002]", "learning_rate = 0.001\nreplicate = [0, 1]")
    storage, study, space = made(f"sqlite:///{tmp_path}/sweeps.db", text)
    (first, _), _ = select.select_best(storage, study, space, 2)
    runs = [trial for trial in study.trials if trial.params["activation"] == "selu"]
    assert first.trial.number == runs[0].number
    assert first.runs is not None
    assert first.runs.values == tuple(trial.value for trial in runs)


def test_where_nothing_learned_there_is_no_best(tmp_path: Path) -> None:
    text = BASE.replace('["selu", "elu", "tanh"]', '"tanh"').replace("constraint = ", "# ")
    storage, study, space = made(f"sqlite:///{tmp_path}/sweeps.db", text)
    with pytest.raises(InputError, match=r"study 'base': none of its 6 finished trials learned.*--trial N exports"):
        select.select_best(storage, study, space, 1)


def test_a_trial_by_its_number_may_be_dead_but_must_have_been_trained(base: Made) -> None:
    storage, study, space = base
    dead = next(trial.number for trial in study.trials if trial.params["activation"] == "tanh")
    chosen = select.select_numbered(study, space, [dead, learners(study)[0], dead])
    assert [each.name for each in chosen] == [f"trial_{dead}", f"trial_{learners(study)[0]}"]
    assert chosen[0].warning.startswith("did not learn: ")
    assert chosen[1].warning == ""
    with pytest.raises(InputError, match=r"study 'base' has no trial 6; its trials are 0 to 5"):
        select.select_numbered(study, space, [6])
    study.ask()
    with pytest.raises(InputError, match=r"trial 6 of 'base' has not ended, or was given up"):
        select.select_numbered(study, space, [6])
    failed = store.create_study(storage, file.parse_space(PLAIN), PLAIN, [])

    def no_data(config: object, holdout_images: int) -> Arrays:
        raise OSError("no such file")

    with pytest.raises(Exception, match="trials in a row failed"):
        fakes.work(storage, failed, graded, no_data)
    with pytest.raises(InputError, match=r"trial 0 of 'plain' never got as far as its data: OSError: no such file"):
        select.select_numbered(failed, file.parse_space(PLAIN), [0])


# The command; it says so if it held what is heavy.
def export(folder: Path, *words: str, code: int = 0, **told: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": python_path(), **told}
    done = run_sweeps("export", *words, cwd=folder, environment=environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@dataclass(frozen=True)
class Exported:
    """A folder with a store and an export of its study's two best in `out`, and what the command said."""

    folder: Path
    said: subprocess.CompletedProcess[str]
    study: optuna.Study


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exported")
    storage, study, _ = made(f"sqlite:///{folder}/sweeps.db")
    made(f"sqlite:///{folder}/sweeps.db", PLAIN)
    words = ("--top", "2", "--module", "--set", "full.model.width=8", "--set", "full.budget.steps=900")
    said = export(folder, "base", "--to", "out", *words)
    storage.engine.dispose()
    return Exported(folder, said, study)


def test_a_file_has_the_recipe_at_full_size_and_what_was_truncated(exported: Exported) -> None:
    number = learners(exported.study)[0]
    trial = exported.study.trials[number]
    tables = tomllib.loads((exported.folder / "out" / "best.toml").read_text())
    own = json.loads(trial.user_attrs[store.CONFIG])
    sizes = {"steps": 900, "report_interval": 100}
    model, data = {"width": 8, "dense_units": 24}, {"image_size": 32, "images": 1000}
    assert tables["recipe"] == {**own, **sizes, "model": own["model"] | model, "data": own["data"] | data}
    pixels = {"data.image_size": 16, "data.images": 256}
    assert (
        tables["truncation"] == {"steps": 6, "report_interval": 2, "model.width": 4, "model.dense_units": 16} | pixels
    )
    provenance, results = tables["provenance"], tables["results"]
    assert (provenance["study"], provenance["trial"], provenance["seed"]) == ("base", number, own["seed"])
    assert provenance["space_sha256"] == exported.study.user_attrs["space_sha256"]
    for name in ("config_digest", "data_digest", "input_shape", "versions"):
        assert provenance[name] == trial.user_attrs[name]
    assert (results["value"], results["top1"], results["chance_top1"]) == (
        trial.value,
        trial.user_attrs["top1"],
        trial.user_attrs["chance_top1"],
    )
    # A convolution of 3x3 has 9 weights and a bias for each pair of channels; pooled twice, 32 pixels are 8.
    full = (9 * 8 + 8) + (9 * 8 * 16 + 16) + (8 * 8 * 16 * 24 + 24) + (24 * 10 + 10)
    small = (9 * 4 + 4) + (9 * 4 * 8 + 8) + (4 * 4 * 8 * 16 + 16) + (16 * 10 + 10)
    assert (provenance["parameters"], provenance["parameters_as_trained"]) == (full, small)
    comment = (exported.folder / "out" / "best.toml").read_text().partition("\n\n")[0]
    # 900 steps of 32 are 28.8 times 1 000 images.
    assert (
        "# Its training is 900 steps of 32, 28.8 passes over 1,000; in the trial 6 steps of 32, 0.75 passes" in comment
    )
    assert read_document(exported.folder / "out" / "best.toml").trained == Config.model_validate(own)


def test_the_command_says_what_it_wrote_of_which_trial(exported: Exported) -> None:
    first, second = learners(exported.study)[:2]
    lines = [line.split() for line in exported.said.stdout.splitlines()]
    assert [(line[0], line[1], line[3]) for line in lines] == [
        ("new", f"out/{name}{suffix}", f"{number}:")
        for name, number in (("best", first), ("best_2", second))
        for suffix in (".toml", ".model.json", ".py")
    ]
    assert exported.said.stderr == ""


def test_the_same_again_changes_nothing(exported: Exported) -> None:
    out = exported.folder / "out"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(out.iterdir())}
    words = ("--top", "2", "--module", "--set", "full.model.width=8", "--set", "full.budget.steps=900")
    again = export(exported.folder, "base", "--to", "out", *words)
    assert {line.split()[0] for line in again.stdout.splitlines()} == {"unchanged"}
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(out.iterdir())} == before


def test_a_dead_trial_of_a_study_without_a_full_size_is_exported_with_warnings(exported: Exported) -> None:
    study = store.load_study(store.connect(f"sqlite:///{exported.folder}/sweeps.db"), "plain")
    dead = next((trial for trial in study.trials if trial.params["activation"] == "tanh"), study.trials[0])
    said = export(exported.folder, "plain", "--to", "other", "--trial", str(dead.number), "--format", "yaml")
    tables = yaml.safe_load((exported.folder / "other" / f"trial_{dead.number}.yaml").read_text())
    assert tables["recipe"] == json.loads(dead.user_attrs[store.CONFIG])
    assert tables["truncation"] == {}
    notes = [
        "study 'plain' has no [full] table, so that nothing says what it truncates: the recipe is the trial's own; "
        "--set full.model.width=... says more"
    ]
    lines = [f"sweeps: {notes[0]}"]
    if dead.user_attrs[store.FATE] != "learned":
        notes.append(f"did not learn: {dead.user_attrs[store.REASON]}")
        lines.append(f"sweeps: trial_{dead.number}: {notes[1]}")
    assert tables["provenance"]["notes"] == notes
    assert said.stderr.splitlines() == lines
    assert "runs" not in tables["results"]
    comment = (exported.folder / "other" / f"trial_{dead.number}.yaml").read_text().partition("\n\n")[0]
    assert "# The recipe is at the trial's own size: nothing says a larger one.\n" in comment
    # 6 steps of 32 are 0.75 times 256 images.
    assert "# Its training is 6 steps of 32, 0.75 passes over 256.\n" in comment
    assert "as_trained" not in comment


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "write sweeps export STUDY --to DIR, or sweeps export --check DIR"),
        (["base"], "write sweeps export STUDY --to DIR"),
        (["base", "--to", "x", "--check", "out"], "it goes with --storage alone"),
        (["base", "--to", "x", "--top", "1", "--trial", "0"], "take one of them"),
        (["base", "--to", "x", "--set", "model.width=3"], "--set model.width=3: only the full size can be set here"),
        (["base", "--to", "x", "--set", "full.model.widht=3"], "full.model.widht: unknown key; did you mean 'width'?"),
        (["nope", "--to", "x"], "no study 'nope' in sqlite:///sweeps.db"),
        (["base", "--to", "x", "--trial", "77"], "has no trial 77"),
        (["--check", "x"], "x: no export is there; `sweeps export STUDY --to x` writes one"),
        (["base", "--to", "x", "--storage", "sqlite:///none.db"], "no store at none.db"),
        (["nope", "--to", "sweeps.db"], "sweeps.db: cannot be written (Not a directory)"),  # before the study is read
        (["nope", "--to", "/proc/x"], "/proc/x: cannot be written ("),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(words: list[str], line: str, exported: Exported) -> None:
    before = sorted(exported.folder.iterdir())
    done = export(exported.folder, *words, code=2)
    assert line in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert sorted(exported.folder.iterdir()) == before


def checked(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Word -> lines behind it."""
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest.strip())
    return found


def test_a_check_of_an_untouched_export_finds_all_well(exported: Exported) -> None:
    found = checked(export(exported.folder, "--check", "out"))
    number = learners(exported.study)[0]
    assert found.keys() == {"ok"}
    assert len(found["ok"]) == 6 + 2 * 4  # six files; of each recipe model, JSON, module and store
    assert f"best.toml: the store says the same of trial {number} of 'base'" in found["ok"]


def test_a_configuration_that_is_replaced_takes_its_module_along(exported: Exported, tmp_path: Path) -> None:
    shutil.copytree(exported.folder / "out", tmp_path / "out")
    others = {path: path.read_bytes() for path in (tmp_path / "out").glob("best_2.*")}
    told: dict[str, Any] = {"SWEEPS_STORAGE": f"sqlite:///{exported.folder}/sweeps.db"}
    wider = ("base", "--to", "out", "--set", "full.model.width=12")
    refused = export(tmp_path, *wider, code=2, **told)
    assert "out: best.py: of the export that this one replaces; --force removes\n" in refused.stderr
    done = export(tmp_path, *wider, "--force", **told)
    assert "removed     out/best.py" in done.stdout.splitlines()
    assert checked(export(tmp_path, "--check", "out", **told)).keys() == {"ok"}
    done = export(tmp_path, *wider, "--format", "json", "--force", **told)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        *(["new", "out/best.json"], ["unchanged", "out/best.model.json"], ["removed", "out/best.toml"])
    ]
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("best_2.*")} == others
    assert checked(export(tmp_path, "--check", "out", **told)).keys() == {"ok"}


def test_a_check_finds_each_thing_that_is_not_as_it_was(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(exported.folder / "out", out)
    text = (out / "best.toml").read_text()
    (out / "best.toml").write_text(text.replace('initializer = "lecun_normal"', 'initializer = "he_normal"'))
    (out / "best.py").write_text((out / "best.py").read_text().replace("BATCH_SIZE = 32", "BATCH_SIZE = 64"))
    (out / "best_2.py").unlink()
    document = json.loads((out / "best_2.model.json").read_text())
    document["config"]["name"] = "other"
    (out / "best_2.model.json").write_text(json.dumps(document))
    listed = json.loads((out / "manifest.json").read_text())
    (out / "third.toml").write_text(text.replace('study = "base"', 'study = "gone"'))
    listed["files"]["third.toml"] = {**listed["files"]["best.toml"], "study": "gone"}
    (out / "broken.toml").write_text("[recipe")
    listed["files"]["broken.toml"] = listed["files"]["../elsewhere"] = listed["files"]["third.toml"]
    (out / "manifest.json").write_text(json.dumps(listed))
    number = learners(exported.study)[1]
    with (
        closing(sqlite3.connect(exported.folder / "sweeps.db")) as store_of,
        closing(sqlite3.connect(tmp_path / "changed.db")) as changed,
    ):
        store_of.backup(changed)
        ids = "SELECT trial_id FROM trials WHERE study_id = 1 AND number = ?"
        changed.execute(f"UPDATE trial_values SET value = 0.125 WHERE trial_id = ({ids})", [number])
        changed.commit()
    found = checked(export(tmp_path, "--check", "out", code=1, SWEEPS_STORAGE=f"sqlite:///{tmp_path}/changed.db"))
    value = exported.study.trials[number].value
    wrong = found["DIFFERS"]
    assert {"best.toml: edited since the export", "best.py: edited since the export"} <= set(wrong)
    assert "best_2.py: cannot be read, or is not there any more" in wrong
    assert "best_2.model.json: this code would write it otherwise" in wrong
    assert "best.model.json: this code would write it otherwise" in wrong
    assert "best.toml: recipe and truncation are not those of the trial" in wrong
    assert f"best_2.toml: its value is {value}, in the store 0.125" in wrong
    assert any(line.startswith("best.toml: weights_sha256 ") for line in wrong)
    assert any(line.startswith("broken.toml: not TOML: ") for line in wrong)
    assert "../elsewhere: cannot be read, or is not there any more" in wrong
    assert {line for line in found["ok"] if not line.startswith("third.toml")} == {
        f"best.toml: the store says the same of trial {learners(exported.study)[0]} of 'base'",
        "best.model.json: as it was exported",
        "best_2.toml: as it was exported",
        *(line for line in found["ok"] if line.startswith("best_2.toml: builds ")),
    }
    assert [line.partition("store: ")[0] for line in found["-"]] == ["third.toml: not compared with the "]
    assert found["-"][0].endswith("has no study 'gone'")


def test_a_store_that_is_not_there_is_said_and_no_error(tmp_path: Path) -> None:
    said = verify.find_in(f"sqlite:///{tmp_path}/none.db")("base")
    assert isinstance(said, str)
    assert said.startswith("no store at ")
    assert verify.find_in("nonsense")("base") == store_error("nonsense")


def store_error(url: str) -> str:
    with pytest.raises(InputError) as caught:
        store.connect(url)
    return str(caught.value)


def test_a_commit_says_study_trials_and_results(exported: Exported, tmp_path: Path) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path / "repository"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    (tmp_path / "repository").mkdir()
    git("init", "--quiet", "--initial-branch", "main")
    git("config", "user.name", "A")
    git("config", "user.email", "a@b.example")
    git("commit", "--quiet", "--allow-empty", "-m", "First")
    number, url = learners(exported.study)[0], f"sqlite:///{exported.folder}/sweeps.db"
    told: dict[str, Any] = {"SWEEPS_STORAGE": url, "HOME": str(tmp_path)}
    done = export(tmp_path / "repository", "base", "--to", "configs/base", "--commit", "recipes", **told)
    value = exported.study.trials[number].value
    assert git("log", "-1", "--format=%B", "recipes").splitlines()[:3] == [
        f"Export base: trial {number}",
        "",
        f"best: trial {number}: learned, top-1 {value:.2%}",
    ]
    assert done.stdout.splitlines()[0].split()[:2] == ["new", "recipes:configs/base/best.toml"]
    assert done.stdout.splitlines()[-1] == (
        f"committed {git('rev-parse', 'recipes')[:9]} to recipes, on HEAD, {git('rev-parse', 'HEAD')[:9]}"
    )
    assert tomllib.loads(git("show", "recipes:configs/base/best.toml"))["provenance"]["trial"] == number
    assert not (tmp_path / "repository" / "configs").exists()
    assert git("status", "--porcelain") == ""


def test_a_password_is_nowhere_in_an_export(postgres: servers.PostgreSQL, tmp_path: Path) -> None:
    url = postgres.database("exports")
    storage, _, _ = made(url)
    storage.engine.dispose()
    said = export(tmp_path, "base", "--to", "out", "--module", SWEEPS_STORAGE=url)
    assert len(list((tmp_path / "out").iterdir())) == 4
    texts = [path.read_text() for path in (tmp_path / "out").iterdir()]
    texts += [said.stdout, said.stderr]
    assert not [text for text in texts if servers.PASSWORD in text]
    assert f"postgresql+psycopg://sweeps:***@127.0.0.1:{postgres.port}/exports" in "".join(texts)
