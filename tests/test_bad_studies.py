"""One bad study, or one edited attribute, is that study's own trouble: pools and commands go on with all others."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from commands import run_sweeps
from fakes import TINY, never, work
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from rich.console import Console
from sqlalchemy import Engine, delete, insert, text

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.cli import app, create
from sweeps.errors import InputError, StoreError
from sweeps.optuna_private import models
from sweeps.report.findings import find_results
from sweeps.report.material import read_material
from sweeps.report.text import render_text
from sweeps.space import file
from sweeps.store import queue
from sweeps.store.batches import table_of
from sweeps.worker.worker import Worker

RATES_ALONE = [
    "space.activation=relu",
    "space.constraint=none",
    "space.l2={low=1e-6, high=1e-3, log=true}",
    "sampler.name=CmaEsSampler",
    "sampler.n_startup_trials=1",
]
POOL_WORKER = """
import sys
import fakes
from sweeps import store
from sweeps.worker.worker import Worker

def train(config, arrays, state):
    if config.steps == 7:
        raise ZeroDivisionError("a net that cannot be built")
    return fakes.learning(config, arrays, state)

worker = Worker(store.connect(sys.argv[1]), train, fakes.load, fakes.never, None, fakes.QUICK)
worker.serve_studies((), exit_when_idle=True)
"""
RANGES = {"learning_rate": FloatDistribution(1e-3, 1e-2, log=True), "l2": FloatDistribution(1e-6, 1e-3, log=True)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def add_unreadable_optimizer(study: optuna.Study) -> None:
    """A trial as another version of cmaes may have left it: its optimiser is no pickle."""
    params = {"learning_rate": 2e-3, "l2": 1e-5}
    attributes = {"cma:optimizer:0": "8004950000"}
    study.add_trial(
        optuna.create_trial(params=params, distributions=RANGES, value=0.1, system_attrs=attributes)  # type: ignore[arg-type]
    )


def made(url: str, name: str, *overrides: str) -> optuna.Study:
    space_overrides = [f"study.name={name}", *overrides]
    storage = store.connect(url, create=True)
    return store.create_study(storage, file.parse_space(TINY, space_overrides), TINY, space_overrides)


def edit_attribute(storage: RDBStorage, trial_id: int, name: str, value: object) -> None:
    """Change an attribute of a finished trial, which Optuna's own means refuse to."""
    attributes = table_of(models.TrialUserAttributeModel)
    with storage.engine.begin() as db:
        db.execute(delete(attributes).where(attributes.c.trial_id == trial_id, attributes.c.key == name))
        db.execute(insert(attributes).values(trial_id=trial_id, key=name, value_json=json.dumps(value)))


def test_a_pool_finishes_the_good_study_exactly_whatever_others_do(url: str) -> None:
    good = made(url, "good", "budget.trials=12")
    add_unreadable_optimizer(made(url, "poisoned", "study.priority=5", *RATES_ALONE))
    made(url, "raising", "study.priority=4", "budget.steps=7")
    newer = made(url, "newer", "study.priority=3")
    newer.set_user_attr(store.SPACE_TEXT, TINY + "\nfrom_the_future = 1\n")
    command = [sys.executable, "-c", POOL_WORKER, url]
    here = str(Path(__file__).parent)
    pool = [subprocess.Popen(command, cwd=here, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    ends = [process.communicate(timeout=300)[1] for process in pool]
    assert [process.returncode for process in pool] == [0] * 8, ends
    assert [trial.state for trial in good.trials] == [TrialState.COMPLETE] * 12
    storage = store.connect(url)
    poisoned, raising = (store.load_study(storage, name).trials for name in ("poisoned", "raising"))
    failed = [trial for trial in poisoned[1:] if trial.state == TrialState.FAIL]
    assert failed
    assert all("CmaEsSampler" in trial.user_attrs[store.REASON] for trial in failed)
    assert {trial.user_attrs[store.REASON] for trial in raising} == {"ZeroDivisionError: a net that cannot be built"}
    assert not store.load_study(storage, "newer").trials


def test_a_sampler_that_raises_when_it_is_told_loses_no_trial(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_trial(_: optuna.samplers.TPESampler, study: optuna.Study, *__: Any) -> None:
        if study.study_name == "tiny":
            raise RuntimeError("no room for another")

    monkeypatch.setattr(optuna.samplers.TPESampler, "after_trial", after_trial)
    study = made(url, "tiny", "sampler.name=TPESampler")
    assert work(store.connect(url), study, fakes.learning) == 4
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_worker_of_several_studies_leaves_the_one_that_it_cannot_read(url: str) -> None:
    good = made(url, "good")
    bad = made(url, "bad")
    bad.set_user_attr(store.SPACE_OVERRIDES, 7)
    storage = store.connect(url)
    assert Worker(storage, fakes.learning, fakes.load, never, None, fakes.QUICK).serve_studies(["bad", "good"]) == 4
    assert len(good.trials) == 4
    with pytest.raises(InputError, match="were edited"):
        Worker(storage, fakes.learning, fakes.load, never, None, fakes.QUICK).serve_studies(["bad"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "{"),
        ("config", "[]"),
        ("config", '{"activation": "[/x]"}'),
        ("fate", ["x"]),
        ("fate", "[red]no"),
        ("steps", "many"),
        ("top1", "high"),
        ("reason", 5),
        ("gain", None),
        ("input_shape", [10**6, 10**6, 3]),
        ("gpu", None),
        ("versions", {"a": None}),
        ("=cmd|' /C calc'!A0", "=1+1"),
        ("x\ny", "\x1b[31m"),
        ("traceback", 7),
        ("chance_top1", "x"),
        ("chance_loss", []),
        ("judged_by", 3),
        ("learner", "yes"),
        ("slot", -1),
        ("net_parts", 3),
        ("best_value", True),
        ("data_digest", 1),
        ("seconds", {}),
    ],
    ids=str,
)
def test_an_attribute_that_was_edited_hides_nothing_else(name: str, value: object, url: str) -> None:
    study = made(url, "tiny", "budget.trials=5")
    storage = store.connect(url)
    worker = Worker(storage, fakes.learning, fakes.load, lambda: worker.finished >= 3, None, fakes.QUICK)
    worker.serve_studies(["tiny"])
    trial_id = storage.get_trial_id_from_study_id_trial_number(store.id_of(storage, study), 0)
    edit_attribute(storage, trial_id, name, value)
    space = store.space_of(study)
    summary = summaries.summarise_trials(space, store.read_trials(study))
    ours = not any(sign in name for sign in "=\n")
    assert [line.startswith("trial 0: its attribute " + name) for line in summary.unreadable] == [True] * ours
    assert summary.done == 3
    findings = find_results(read_material(storage, study))
    assert len(findings.table.rows) == 3
    Console(file=StringIO()).print(render_text(findings))
    assert work(storage, study, fakes.learning) == 2, "nor does it fail the trials of others"
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}


EDITED_ROWS = [
    "UPDATE trial_user_attributes SET value_json = '{oops' WHERE trial_id = 1 AND key = 'fate'",
    "UPDATE trial_user_attributes SET value_json = '1' || :zeros WHERE trial_id = 1 AND key LIKE 'chance%'",
    "UPDATE trial_user_attributes SET value_json = '1' || :zeros WHERE trial_id = 1 AND key IN ('top1', 'loss')",
    "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (1, 'x', '{oops')",
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, 'x', :brackets)",
    "UPDATE trials SET state = 'WEIRD' WHERE trial_id = 1",
    "UPDATE trials SET state = '' WHERE trial_id = 2",
    "UPDATE trials SET number = NULL WHERE trial_id = 1",
    "UPDATE trials SET number = -5 WHERE trial_id = 2",
    "UPDATE trials SET datetime_start = 'yesterday' WHERE trial_id = 1",
    "UPDATE trials SET datetime_start = '0001-01-01 00:00:00.000000' WHERE trial_id = 1",
    "UPDATE trial_values SET value = NULL WHERE trial_id = 1",
    "UPDATE trial_values SET value = 'abc' WHERE trial_id = 1",
    "UPDATE trial_values SET value_type = 'WHAT' WHERE trial_id = 1",
    "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (1, 1, 0.5, 'FINITE')",
    "UPDATE trial_params SET distribution_json = 'nope' WHERE trial_id = 1",
    "UPDATE trial_params SET distribution_json = '{}' WHERE trial_id = 1",
    """UPDATE trial_params SET distribution_json = '{"name": "New", "attributes": {}}' WHERE trial_id = 1""",
    "UPDATE trial_params SET param_value = 99 WHERE trial_id = 1",
    "UPDATE trial_params SET param_value = NULL WHERE trial_id = 1",
    "UPDATE sweeps_readings SET reading = x'00ff00' WHERE number = 0",
    "UPDATE sweeps_readings SET reading = 'abc' WHERE number = 0",
    "DELETE FROM trials WHERE trial_id = 1",
    "UPDATE study_user_attributes SET value_json = '{oops' WHERE study_id = 1 AND key = 'question'",
    "UPDATE study_user_attributes SET value_json = :brackets WHERE study_id = 1 AND key = 'question'",
    "UPDATE study_user_attributes SET value_json = NULL WHERE study_id = 1 AND key = 'question'",
    "UPDATE sweeps_studies SET state = 'odd' WHERE study_id = 1",
    "UPDATE sweeps_workers SET rate = 'x', step = -9",
]
UNSAID = ("sweeps_readings", "study_user", "sweeps_studies", "sweeps_workers", "INSERT INTO trial_values")


@pytest.mark.parametrize("statement", EDITED_ROWS)
def test_a_row_that_was_edited_hides_nothing_else(statement: str, url: str, tmp_path: Path) -> None:
    made(url, "tiny", "budget.trials=4")
    made(url, "good", "budget.trials=2")
    storage = store.connect(url)
    worker = Worker(storage, fakes.learning, fakes.load, lambda: worker.finished >= 3, None, fakes.QUICK)
    worker.serve_studies(["tiny"])
    with storage.engine.begin() as db:
        db.execute(text("PRAGMA ignore_check_constraints = ON"))
        values = {"zeros": "0" * 400, "brackets": "[" * 20_000}
        db.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})
    commands = [
        ("status",),
        ("status", "--json"),
        ("status", "tiny"),
        ("report", "tiny", "--text"),
        ("report", "tiny", "--trials", str(tmp_path / "trials.csv"), "--readings", str(tmp_path / "readings.csv")),
        ("report", "tiny", "-o", str(tmp_path / "page.html")),
        ("survey", "tiny"),
        ("autopsy", "tiny", "1"),
    ]
    for command in commands:
        done = run_sweeps(*command, "--storage", url)
        assert done.returncode == 0, (command, done.stderr)
        assert "Traceback" not in done.stderr
    shown = run_sweeps("status", "--storage", url).stdout
    assert "tiny: " in shown
    assert "good: 0 of 2 trials" in shown
    assert ("trial 0: its" in shown or "trial 1: its" in shown) != any(part in statement for part in UNSAID)
    left = Worker(store.connect(url), fakes.learning, fakes.load, never, None, fakes.QUICK)
    left.serve_studies((), exit_when_idle=True)
    assert "good: 2 of 2 trials" in run_sweeps("status", "--storage", url).stdout
    if "'odd'" not in statement:
        assert left.finished == 3, "nor do others end, or fail"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE study_directions SET direction = 'SIDEWAYS' WHERE study_id = 1", "direction"),
        ("UPDATE study_user_attributes SET value_json = '{' WHERE study_id = 1 AND key = 'space'", "no search space"),
    ],
)
def test_a_study_that_cannot_be_read_is_one_line_and_hides_no_other(statement: str, words: str, url: str) -> None:
    made(url, "tiny")
    made(url, "good", "budget.trials=2")
    storage = store.connect(url)
    with storage.engine.begin() as db:
        db.execute(text(statement))
    shown = run_sweeps("status", "--storage", url)
    assert "good: 0 of 2 trials" in shown.stdout
    assert words in shown.stdout
    for command in ("status", "report"):
        refused = run_sweeps(command, "tiny", "--storage", url)
        assert refused.returncode == 2
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr
    worker = Worker(store.connect(url), fakes.learning, fakes.load, never, None, fakes.QUICK)
    assert worker.serve_studies((), exit_when_idle=True) == 2


def test_status_shows_the_rest_and_a_line_with_the_mend(url: str) -> None:
    made(url, "good")
    made(url, "newer").set_user_attr(store.SPACE_TEXT, TINY + "\nfrom_the_future = 1\n")
    ran = run_sweeps("status", "--storage", url)
    assert ran.returncode == 0
    assert "good: 0 of 4 trials" in ran.stdout
    assert "from_the_future" in ran.stdout
    values = json.loads(run_sweeps("status", "--json", "--storage", url).stdout)
    assert [entry["study"] for entry in values["unreadable"]] == ["newer"]
    assert run_sweeps("status", "newer", "--storage", url).returncode == 2


def half_made(url: str, stage: str) -> None:
    """A study as a process leaves it that is killed while it makes one."""
    storage = store.connect(url, create=True)
    space = file.parse_space(TINY)
    study = optuna.create_study(storage=storage, study_name="tiny", direction="maximize")
    if stage == "queued":
        queue.enqueue(storage.engine, store.id_of(storage, study), 0)
    if stage == "told, not queued":  # as earlier versions did
        store.record_space(study, space, TINY, [])


@pytest.mark.parametrize("stage", ["begun", "queued", "told, not queued"])
def test_the_same_command_mends_what_a_crash_left_half_made(
    stage: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_made(url, stage)
    if stage != "told, not queued":
        with pytest.raises(StoreError, match="again"):
            store.space_of(store.load_study(store.connect(url), "tiny"))
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    monkeypatch.setattr(create, "rehearse_in_own_process", lambda *_: [])
    create.open_study_of_file(path, [], url)
    storage = store.connect(url)
    study = store.load_study(storage, "tiny")
    assert [offer.name for offer in queue.queued_studies(storage.engine)] == ["tiny"]
    assert work(storage, study, fakes.learning) == 4


def test_making_a_study_that_somebody_makes_too_takes_no_trial_from_it(url: str) -> None:
    study = made(url, "tiny")
    storage = store.connect(url)
    worker = Worker(storage, fakes.learning, fakes.load, lambda: worker.finished >= 2, None, fakes.QUICK)
    worker.serve_studies(["tiny"])
    made(url, "tiny")
    assert work(storage, study, fakes.learning) == 2
    assert len(study.trials) == 4


@pytest.mark.parametrize("command", ["pause", "resume", "stop"])
def test_a_command_that_meets_a_full_disk_says_so_in_one_line(
    command: str, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(url, "tiny")

    def write_much(engine: Engine, *_: object) -> None:
        with engine.begin() as db:
            db.execute(text("PRAGMA max_page_count = 1"))
            db.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000)"))

    monkeypatch.setattr(queue, "set_state", write_much)
    monkeypatch.setattr(sys, "argv", ["sweeps", command, "tiny", "--storage", url])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 75
    (line,) = capsys.readouterr().err.splitlines()
    assert "no space is left where the store is" in line


MAKER = """
import sys
import time
import fakes
from sweeps import store
from sweeps.space import file

space = file.parse_space(fakes.TINY)
print("ready", flush=True)
sys.stdin.readline()
storage = store.connect(sys.argv[1], create=True)
print(store.id_of(storage, store.create_study(storage, space, fakes.TINY, [])))
"""


def test_processes_that_make_the_same_store_and_study_at_once_all_have_it(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    for round_ in range(3):
        command = [sys.executable, "-c", MAKER, f"sqlite:///{tmp_path}/store{round_}.db"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        makers = [subprocess.Popen(command, cwd=here, text=True, **pipes) for _ in range(4)]
        for maker in makers:
            assert maker.stdout is not None
            assert maker.stdout.readline() == "ready\n"
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.write("\n")
            maker.stdin.flush()
        ends = [maker.communicate(timeout=60) for maker in makers]
        assert [out for out, _ in ends] == ["1\n"] * 4, ends
