"""One fault at a time, with real worker processes: what becomes of the trial, of the worker, and of the others."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chaos_worker
import fakes
import pytest
import sqlalchemy
from chaos_worker import Plan
from crew import Crew, Member, check_quiet, ends, make, overlapping, undisturbed, until
from optuna.trial import TrialState
from servers import PASSWORD, PostgreSQL, Server
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from sweeps import store
from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.errors import LostLeaseError
from sweeps.readings import Reading
from sweeps.space.space import derived_seed
from sweeps.store import leases, queue
from sweeps.store.batches import Batch
from sweeps.store.processes import Process
from sweeps.store.tables import StudyState
from sweeps.worker import shutdown
from sweeps.worker.worker import Worker

pytestmark = pytest.mark.slow

QUICK = Plan(look_s=0.02, grace_s=1.5, beat_s=0.2)
SLOW = 0.25  # seconds for a look, of which a trial has 21
STUDY_ID = 1


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of a store that is not there yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server in turn, for a test that does it no harm."""
    found: Server = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
    return found


def seed(slot: int) -> int:
    """Of the config of a slot in the tests' study."""
    return derived_seed(0, slot)


def others(crew: Crew, but: Member) -> str:
    return "".join(each.log() for each in crew.members if each is not but)


@contextmanager
def listening(target: Any, event: str, listener: Callable[..., None]) -> Iterator[None]:
    """SQLAlchemy tells the listener meanwhile."""
    sqlalchemy.event.listen(target, event, listener)
    try:
        yield
    finally:
        sqlalchemy.event.remove(target, event, listener)


# Killed workers


@pytest.mark.parametrize("machine", ["", "another"])
def test_an_idle_worker_takes_a_killed_ones_trial(sqlite: str, tmp_path: Path, machine: str) -> None:
    view = make(sqlite, "budget.trials=1")
    grace_s = 2.0 if machine else 600.0  # on the same machine it is not waited for
    with Crew(sqlite, tmp_path / "crew", Plan(grace_s=grace_s)) as crew:
        victim = crew.start(look_s=1.0, machine=machine)
        victim.await_traces(2)
        idle = crew.start()
        until(lambda: len(view.workers()) == 2, what="the second worker")
        time.sleep(3 * crew.plan.idle_s)
        assert not idle.trace(), "there was nothing for it to do"
        victim.kill()
        killed = time.monotonic()
        (first, *_) = idle.await_traces(1)
        waited = first["at"] - killed
        assert idle.ended() == 0
        assert waited > grace_s - crew.plan.beat_s if machine else waited < 30.0
        assert view.states() == ["COMPLETE"], "and nothing is left running at the end"
        assert view.steps(0) == list(range(21))
        assert (view.slots()[0]["deaths"], len(view.slots())) == (1, 1)
        assert "goes on from step" in idle.log()


def test_a_config_that_kills_its_workers_is_failed_and_the_pool_survives(sqlite: str, tmp_path: Path) -> None:
    view = make(sqlite, "budget.trials=4")
    with Crew(sqlite, tmp_path / "crew", Plan(here=3, deadly=seed(1), deadly_step=0, beat_s=0.05, look_s=0.05)) as crew:
        crew.start(2)
        while crew.running and view.done() < 4:
            crew.start(2 - len(crew.running))
            time.sleep(0.05)
        codes = crew.ended()
        assert sorted(codes) == [-9, -9, -9, 0, 0]
        assert view.states() == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
        said = view.attributes(1)
        assert said["fate"] == "failed"
        assert "its worker ended without a word 3 times" in said["reason"]
        check_quiet(crew)


# Silent workers


def test_a_worker_that_wakes_after_its_trial_was_taken_writes_nothing(sqlite: str, tmp_path: Path) -> None:
    view = make(sqlite, "budget.trials=2")
    engine = store.connect(sqlite).engine
    with Crew(sqlite, tmp_path / "crew", QUICK) as crew:
        sleeper = crew.start(look_s=0.1, checkpoint_s=1.0)
        until(lambda: "0.ckpt" in crew.checkpoints(), what="a checkpoint")
        sleeper.stop()  # not while it writes one: that would be left over
        own = leases.register_worker(
            engine, Process("test", "test", 1, 0.0), "", ""
        )  # for trial 1, kept for the sleeper
        claim = leases.claim_trial(engine, own, STUDY_ID, 2)
        assert claim is not None
        other = crew.start(most=1)
        while other.runs:
            leases.send_beat(engine, own, leases.Beat(claim), Batch())
            time.sleep(0.1)
        assert "trial 0: goes on from step" in other.log()
        leases.retire_worker(engine, own)
        before = view.of_trial(0)
        sleeper.signal(signal.SIGCONT)
        assert sleeper.ended() == 0
        assert view.of_trial(0) == before
        assert view.states() == ["COMPLETE"] * 2
        assert "given to another; going on as a new worker" in sleeper.log()
        assert "worker finished 1 trials" in sleeper.log()
        assert crew.checkpoints() == []
        check_quiet(crew)
    engine.dispose()


@pytest.mark.parametrize("statement", ["UPDATE sweeps_workers", "SELECT studies.study_id"])
def test_one_that_sleeps_in_a_transaction_holds_nobody_up_for_long(
    postgres: PostgreSQL, tmp_path: Path, statement: str
) -> None:
    view = make(postgres.database("asleep"), "budget.trials=4")
    with Crew(view.url, tmp_path / "crew", QUICK) as crew:
        sleeper = crew.start(freeze=statement, idle_transaction_s=1)
        until(lambda: sleeper.trace("freeze") and sleeper.stopped(), what="the stop")
        crew.start()
        until(lambda: view.done() == 4, 12.0, "the others' work")
        assert sleeper.stopped()
        sleeper.signal(signal.SIGCONT)
        assert crew.ended() == [0, 0]
        assert view.states() == ["COMPLETE"] * 4
        check_quiet(crew)


def test_one_that_slept_longer_than_an_outage_may_last_goes_on(postgres: PostgreSQL, tmp_path: Path) -> None:
    """In the middle of a beat, so that the next thing that it hears is an error."""
    view = make(postgres.database("slept"), "budget.trials=1")
    with Crew(view.url, tmp_path / "crew", Plan(outage_s=2.0)) as crew:
        sleeper = crew.start(look_s=SLOW, freeze="UPDATE sweeps_workers", idle_transaction_s=1)
        until(lambda: sleeper.trace("freeze") and sleeper.stopped(), what="the stop")
        time.sleep(2.5)
        sleeper.signal(signal.SIGCONT)
        assert sleeper.ended() == 0, sleeper.log()
        assert view.states() == ["COMPLETE"]


def test_time_zones_make_nobody_look_dead(postgres: PostgreSQL, tmp_path: Path) -> None:
    view = make(postgres.database("zones"), "budget.trials=6")
    with Crew(view.url, tmp_path / "crew", QUICK) as crew:
        for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
            crew.start(environment={"PGTZ": zone, "TZ": zone}, machine=zone, look_s=0.1)
        assert crew.ended() == [0, 0]
        assert view.states() == ["COMPLETE"] * 6
        assert {row["deaths"] for row in view.slots()} == {0}
        assert "given to another" not in crew.logs()


# The store


@pytest.mark.parametrize("how", ["stopped", "killed", "paused"])
def test_training_goes_on_while_the_store_is_away(fresh_postgres: PostgreSQL, tmp_path: Path, how: str) -> None:
    server = fresh_postgres
    view = make(server.database("away"), "budget.trials=2", "budget.steps=80")
    with Crew(view.url, tmp_path / "crew", QUICK) as crew:
        crew.start(2, look_s=0.1)
        for each in crew.members:
            each.await_traces(3)
        {"stopped": server.stop, "killed": server.kill, "paused": server.pause}[how]()
        for each in crew.members:
            each.await_traces(len(each.trace()) + 25)  # longer than the grace
        (server.resume if how == "paused" else server.start)()
        while view.done() < 2:
            for number in (0, 1):
                steps = view.steps(number)
                assert steps == list(range(len(steps))), "delivered in order"
        assert crew.ended() == [0, 0]
        assert view.states() == ["COMPLETE"] * 2
        assert {row["deaths"] for row in view.slots()} == {0}
        assert "given to another" not in crew.logs()
        check_quiet(crew)


def test_a_store_that_hangs_while_a_checkpoint_is_due_holds_no_training_up(
    fresh_postgres: PostgreSQL, tmp_path: Path
) -> None:
    """In the middle of the beat that the checkpoint waits for, which no time-out of a connection ends."""
    server = fresh_postgres
    view = make(server.database("hung"), "budget.trials=1", "budget.steps=200")
    storage = store.connect(view.url)
    hung = threading.Event()
    trained: list[int] = []  # steps, while the server hung
    rescue = threading.Timer(20.0, server.resume)

    def hang(_: Any, __: Any, statement: str, *___: Any) -> None:
        if worker.heart.checkpoint_due and statement.startswith("UPDATE sweeps_workers") and not hung.is_set():
            server.pause()
            hung.set()
            rescue.start()

    @fakes.run
    def train(config: Config, _: Arrays) -> Generator[Reading, None, None]:
        for step in range(config.steps + 1):
            time.sleep(0.02)
            if hung.is_set() and rescue.is_alive():
                trained.append(step)
            if len(trained) == 20:
                rescue.cancel()
                server.resume()
            yield chaos_worker.make_reading(config, step)

    patience = Plan(checkpoint_s=0.0).patience()
    worker = Worker(storage, train, fakes.load, fakes.never, str(tmp_path), patience)
    with listening(Engine, "before_cursor_execute", hang), fakes.sketched():
        assert worker.serve_studies(["tiny"]) == 1
    rescue.cancel()
    storage.engine.dispose()
    assert len(trained) >= 20
    assert view.states() == ["COMPLETE"]
    assert view.steps(0) == list(range(201))


@pytest.mark.parametrize("how", ["killed", "paused"])
def test_an_outage_that_lasts_too_long_ends_a_worker_with_a_checkpoint(
    fresh_postgres: PostgreSQL, tmp_path: Path, how: str
) -> None:
    server = fresh_postgres
    view = make(server.database("outage"), "budget.trials=1")
    with Crew(view.url, tmp_path / "crew", Plan(outage_s=2.0, checkpoint_s=600.0)) as crew:
        worker = crew.start(look_s=6 * SLOW)  # so that a connection attempt times out long before the trial ends
        worker.await_traces(3)
        (server.kill if how == "killed" else server.pause)()
        assert worker.ended() == 75
        (line,) = [line for line in worker.log().splitlines() if line.startswith("sweeps:")]
        # The beat says the first; the second, where the trial's own writing finds out before it.
        assert "the store has not answered for" in line or "the store does not answer" in line
        assert "trial 0 of 'tiny' is kept at step" in line
        assert crew.checkpoints() == ["0.ckpt"]
        (server.start if how == "killed" else server.resume)()
        successor = crew.start()
        assert successor.ended() == 0
        assert "goes on from step" in successor.log()
        assert ends(view) == undisturbed(tmp_path, "budget.trials=1")
        check_quiet(crew)


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_what_no_patience_mends_is_said_at_once(server: Server, tmp_path: Path, wrong: str) -> None:
    url = make_url(server.database("refused"))
    url = url.set(password="battery-staple") if wrong == "password" else url.set(database="nowhere")
    with Crew(url.render_as_string(hide_password=False), tmp_path / "crew", Plan(wait_s=60.0)) as crew:
        worker = crew.start()
        assert worker.ended(30.0) == 2  # half of what a server that is away is waited for
        (line,) = worker.log().splitlines()
        assert line.startswith("sweeps: ")
        assert "battery-staple" not in line
        check_quiet(crew)


def test_a_password_that_changes_meanwhile_ends_a_worker_with_one_line(
    fresh_postgres: PostgreSQL, tmp_path: Path
) -> None:
    server = fresh_postgres
    view = make(server.database("changed"), "budget.trials=1")
    with Crew(view.url, tmp_path / "crew") as crew:
        worker = crew.start(look_s=SLOW)
        worker.await_traces(3)
        server.execute(f"ALTER ROLE {server.user} PASSWORD 'another'")
        server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{server.user}'")
        assert worker.ended(30.0) == 75
        (line,) = [line for line in worker.log().splitlines() if line.startswith("sweeps:")]
        assert "the store refuses to go on" in line
        assert crew.checkpoints() == ["0.ckpt"]
        check_quiet(crew)


def test_a_worker_holds_one_connection(fresh_postgres: PostgreSQL, tmp_path: Path) -> None:
    view = make(fresh_postgres.database("one"), "budget.trials=2")
    with Crew(view.url, tmp_path / "crew") as crew:
        worker = crew.start(look_s=0.15)
        counts, training = set(), set()
        while worker.runs:
            steps = [each["step"] for each in worker.trace()]
            counts.add(count := fresh_postgres.connections())
            if steps and 2 < steps[-1] < 17:
                training.add(count)
        assert worker.ended() == 0
        assert min(training) == 0, "none is held while a trial trains"
        assert max(counts) <= 2


def test_more_workers_than_the_server_has_connections_work_through(tmp_path: Path) -> None:
    with PostgreSQL(durable=False, max_connections=15) as server:  # three of them for administrators
        view = make(server.database("few"), "budget.trials=24")
        with Crew(view.url, tmp_path / "crew", Plan(idle_s=0.5)) as crew:
            crew.start(12)
            assert crew.ended() == [0] * 12, crew.logs()
            assert view.states() == ["COMPLETE"] * 24
            check_quiet(crew)


@pytest.mark.parametrize("fault", ["none", "outage", "failed"])
def test_the_password_is_nowhere(fresh_postgres: PostgreSQL, tmp_path: Path, fault: str) -> None:
    server = fresh_postgres
    view = make(server.database("secret"), "budget.trials=2")
    with Crew(view.url, tmp_path / "crew", Plan(outage_s=1.5, build_fails=int(fault == "failed"))) as crew:
        worker = crew.start(look_s=SLOW / 2, anew=True)
        worker.await_traces(3)
        assert PASSWORD.encode() not in Path(f"/proc/{worker.pid}/cmdline").read_bytes()
        assert PASSWORD in Path(f"/proc/{worker.pid}/environ").read_text(), "which is for its own user alone"
        if fault == "outage":
            server.kill()
        assert worker.ended() == (75 if fault == "outage" else 0)
        if fault == "outage":
            server.start()
        assert all(PASSWORD not in row for rows in view.dump().values() for row in rows)
        check_quiet(crew)


# Claims


def test_of_many_trials_that_wait_none_is_trained_twice_at_a_time(sqlite: str, tmp_path: Path) -> None:
    view = make(sqlite, "budget.trials=60", "budget.steps=4")
    engine = store.connect(sqlite).engine
    made = [leases.register_worker(engine, Process("gone", "gone", 1, 0.0), "", "") for _ in range(60)]
    for worker in made:
        leases.claim_trial(engine, worker, STUDY_ID, 60)
    for worker in made:
        leases.retire_worker(engine, worker)
    engine.dispose()
    assert view.states() == ["WAITING"] * 60
    with Crew(sqlite, tmp_path / "crew", Plan(look_s=0.01)) as crew:
        crew.start(6)
        assert crew.ended() == [0] * 6
        spans = list(crew.spans())
        assert len(spans) == 60, "each is trained once"
        assert overlapping(spans) == []
        assert view.states() == ["COMPLETE"] * 60
        check_quiet(crew)


@pytest.mark.parametrize("trials", [8, 0])
def test_workers_that_join_a_full_study_add_nothing(sqlite: str, tmp_path: Path, trials: int) -> None:
    """Of 8 trials 12 workers make 8; of a study that is full, none."""
    view = make(sqlite, "budget.trials=8")
    with Crew(sqlite, tmp_path / "crew", Plan(look_s=0.0)) as crew:
        if not trials:
            assert crew.start().ended() == 0
            before = view.of_trial(7)
        crew.start(12)
        assert set(crew.ended()) == {0}
        assert view.states() == ["COMPLETE"] * 8
        assert trials or view.of_trial(7) == before
        assert len(view.slots()) == 8


def test_to_hand_back_twice_takes_nothing_from_the_next(sqlite: str) -> None:
    """The answer to the first was lost on the way."""
    view = make(sqlite, "budget.trials=1")
    engine = store.connect(sqlite).engine
    first, second = (leases.register_worker(engine, Process(name, name, 1, 0.0), "", "") for name in "ab")
    claim = leases.claim_trial(engine, first, STUDY_ID, 1)
    assert claim is not None
    leases.hand_back(engine, first, claim, Batch())
    assert leases.claim_trial(engine, second, STUDY_ID, 1) is not None
    leases.hand_back(engine, first, claim, Batch())
    assert view.slots()[0]["worker_id"] == second
    assert view.states() == ["RUNNING"]
    engine.dispose()


def test_what_was_handed_back_cannot_be_written_to(sqlite: str) -> None:
    make(sqlite, "budget.trials=1")
    engine = store.connect(sqlite).engine
    first = leases.register_worker(engine, Process("a", "a", 1, 0.0), "", "")
    claim = leases.claim_trial(engine, first, STUDY_ID, 1)
    assert claim is not None
    leases.hand_back(engine, first, claim, Batch())
    with pytest.raises(LostLeaseError):
        leases.finish_trial(engine, first, claim, Batch(), TrialState.COMPLETE, 0.5)
    engine.dispose()


def test_a_trial_handed_back_while_its_study_is_stopped_is_given_up(postgres: PostgreSQL) -> None:
    view = make(postgres.database("race"), "budget.trials=1")
    engine = store.connect(view.url).engine
    worker = leases.register_worker(engine, Process("a", "a", 1, 0.0), "", "")
    claim = leases.claim_trial(engine, worker, STUDY_ID, 1)
    assert claim is not None
    stopping = threading.Thread(target=queue.set_state, args=(engine, STUDY_ID, StudyState.STOPPED))

    def meanwhile(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("UPDATE sweeps_slots") and not stopping.ident:
            stopping.start()
            stopping.join(1.0)  # no longer: it may have to wait for this transaction

    sqlalchemy.event.listen(engine, "before_cursor_execute", meanwhile)
    leases.hand_back(engine, worker, claim, Batch())
    stopping.join()
    assert view.states() == ["FAIL"], "nobody would ever go on with it"
    engine.dispose()


# Signals and orders


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_hands_the_trial_back(sqlite: str, tmp_path: Path, number: signal.Signals) -> None:
    view = make(sqlite, "budget.trials=1")
    with Crew(sqlite, tmp_path / "crew", Plan(checkpoint_s=600.0)) as crew:
        assert crew.start(look_s=SLOW).await_traces(3)
        crew.members[0].signal(number)
        assert crew.members[0].ended(30.0) == 0
        assert f"{number.name} came" in crew.members[0].log()
        assert view.states() == ["WAITING"]
        assert view.workers() == []
        at = view.steps(0)[-1]
        assert crew.start().ended() == 0
        assert f"goes on from step {at}\n" in crew.members[1].log()
        assert crew.members[1].trace()[0]["step"] == at + 1
        assert ends(view) == undisturbed(tmp_path, "budget.trials=1")
        check_quiet(crew)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_signal_in_a_long_look_is_heard(sqlite: str, tmp_path: Path, deaf: bool) -> None:
    view = make(sqlite, "budget.trials=1")
    with Crew(sqlite, tmp_path / "crew") as crew:
        worker = crew.start(look_s=60.0, deaf=deaf)
        worker.await_traces(1, "begin")
        until(lambda: view.workers()[0]["trial_number"] == 0, what="a beat")
        worker.signal(signal.SIGTERM)
        assert worker.ended(30.0) == 0
        assert view.states() == ["WAITING"]
        assert view.workers() == []
        assert crew.start().ended() == 0
        assert view.states() == ["COMPLETE"]
        check_quiet(crew)


def test_a_signal_before_the_first_look_is_heard(sqlite: str, tmp_path: Path) -> None:
    view = make(sqlite, "budget.trials=1")
    with Crew(sqlite, tmp_path / "crew", Plan(look_s=60.0, load_s=1.5)) as crew:
        worker = crew.start()
        worker.await_traces(1, "load")
        worker.signal(signal.SIGTERM)
        assert worker.ended(30.0) == 0
        assert view.states() == ["WAITING"]


def test_a_second_signal_ends_at_once(sqlite: str, tmp_path: Path) -> None:
    make(sqlite, "budget.trials=1")
    with Crew(sqlite, tmp_path / "crew") as crew:
        worker = crew.start(look_s=60.0, deaf=True)
        worker.await_traces(1, "begin")
        worker.signal(signal.SIGTERM)
        time.sleep(shutdown.SAME_S + 0.5)
        worker.signal(signal.SIGINT)
        assert worker.ended(20.0) == 128 + signal.SIGINT


def test_a_signal_that_comes_twice_in_a_moment_is_one(sqlite: str, tmp_path: Path) -> None:
    """To the process group, and once more from a parent that passes it on."""
    view = make(sqlite, "budget.trials=1")
    with Crew(sqlite, tmp_path / "crew") as crew:
        worker = crew.start(look_s=60.0, deaf=True)
        worker.await_traces(1, "begin")
        for _ in range(3):
            worker.signal(signal.SIGTERM)
            time.sleep(0.3)
        assert worker.ended(30.0) == 0
        assert view.states() == ["WAITING"]
        assert view.workers() == []


def test_a_signal_while_the_store_is_waited_for_ends_at_once(fresh_postgres: PostgreSQL, tmp_path: Path) -> None:
    view = make(fresh_postgres.database("later"), "budget.trials=1")
    fresh_postgres.kill()
    env = {**os.environ, "SWEEPS_STORAGE": view.url}
    command = [sys.executable, "-m", "sweeps", "worker", "tiny", "--artifacts", str(tmp_path)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        said = worker.stderr.readline()
        time.sleep(1.0)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20.0) == 0
        rest = worker.stderr.read()
    assert "waiting up to 60 s for an answer" in said
    assert "SIGTERM came while the store was waited for" in rest
    assert rest.count("\n") == 1, "it is said once that the store is waited for"
    assert PASSWORD not in said + rest


def test_a_signal_while_the_store_is_away_keeps_the_trial(fresh_postgres: PostgreSQL, tmp_path: Path) -> None:
    view = make(fresh_postgres.database("term"), "budget.trials=1")
    with Crew(view.url, tmp_path / "crew", Plan(checkpoint_s=600.0)) as crew:
        worker = crew.start(look_s=SLOW)
        worker.await_traces(3)
        fresh_postgres.kill()
        worker.signal(signal.SIGTERM)
        assert worker.ended(30.0) in (0, 75)
        assert crew.checkpoints() == ["0.ckpt"]
        fresh_postgres.start()
        assert crew.start().ended() == 0
        assert "goes on from step" in crew.members[1].log()
        assert view.states() == ["COMPLETE"]
        check_quiet(crew)


@pytest.mark.parametrize("state", [StudyState.PAUSED, StudyState.STOPPED])
def test_a_study_is_halted_and_resumed_while_a_worker_trains(sqlite: str, tmp_path: Path, state: StudyState) -> None:
    view = make(sqlite, "budget.trials=1")
    engine = store.connect(sqlite).engine
    with Crew(sqlite, tmp_path / "crew", Plan(study="", checkpoint_s=600.0)) as crew:
        worker = crew.start(look_s=SLOW)
        worker.await_traces(3)
        queue.set_state(engine, STUDY_ID, state)
        until(lambda: "handed back" in worker.log(), what="the return")
        assert f"the study is {state}" in worker.log()
        assert view.states() == ["WAITING" if state == StudyState.PAUSED else "FAIL"]
        looks = len(worker.trace())
        queue.set_state(engine, STUDY_ID, StudyState.ACTIVE)
        worker.await_traces(looks + 2)
        until(lambda: view.done() == 1, what="the end")
        assert view.states() == (["COMPLETE"] if state == StudyState.PAUSED else ["FAIL", "COMPLETE"])
        assert ("goes on from step" in worker.log()) == (state == StudyState.PAUSED)
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
    engine.dispose()


# Files, data and code


def test_a_full_disk_ends_no_trial(postgres: PostgreSQL, tmp_path: Path) -> None:
    view = make(postgres.database("full"), "budget.trials=1")
    with Crew(view.url, tmp_path / "crew", Plan(state_bytes=200_000, file_limit=100_000)) as crew:
        assert crew.start(look_s=0.1).ended() == 0
        assert view.states() == ["COMPLETE"]
        assert "File too large" in view.attributes(0)["no_checkpoint"]
        assert [path.name for path in tmp_path.rglob(".partial*")] == []
        check_quiet(crew)


def test_a_checkpoint_that_cannot_be_removed_ends_no_worker(sqlite: str, tmp_path: Path) -> None:
    view = make(sqlite, "budget.trials=2")
    with Crew(sqlite, tmp_path / "crew", Plan(remove_fails=True)) as crew:
        assert crew.start().ended() == 0, crew.logs()
        assert view.states() == ["COMPLETE"] * 2
        check_quiet(crew)


def test_artifacts_that_cannot_be_written_end_no_worker_with_a_traceback(sqlite: str, tmp_path: Path) -> None:
    make(sqlite, "budget.trials=1")
    with Crew(sqlite, tmp_path / "crew") as crew:
        (tmp_path / "file").write_text("no folder")
        worker = crew.start(artifacts=f"{tmp_path}/file/artifacts")
        assert worker.ended() in (0, 1, 2)
        check_quiet(crew)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("load_fails", "OSError: [Errno 5] Input/output error"), ("build_fails", "ValueError: the layer 'dense_9'")],
)
def test_bad_data_or_code_fail_the_trial_alone(sqlite: str, tmp_path: Path, fault: str, reason: str) -> None:
    view = make(sqlite, "budget.trials=3")
    faults: dict[str, Any] = {fault: 2}
    with Crew(sqlite, tmp_path / "crew") as crew:
        assert crew.start(**faults).ended() == 0
        assert view.states() == ["FAIL", "FAIL", "COMPLETE"]
        assert view.attributes(0)["reason"].startswith(reason)
        check_quiet(crew)


def test_an_error_of_any_length_fails_the_trial_alone(server: Server, tmp_path: Path) -> None:
    view = make(server.database("shout"), "budget.trials=2")
    with Crew(view.url, tmp_path / "crew") as crew:
        assert crew.start(build_fails=1, shouts=True).ended() == 0, crew.logs()[-2000:]
        assert view.states() == ["FAIL", "COMPLETE"]
        assert view.attributes(0)["reason"].startswith("ValueError: xxx")
