"""Who trains what: claims are atomic, the dead are told from the slow, those who wake late write nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import select, text, update

from sweeps import store
from sweeps.errors import LostLeaseError, StoreError
from sweeps.space import file
from sweeps.store import leases, queue
from sweeps.store.batches import Batch
from sweeps.store.leases import Beat, Claim, Retries
from sweeps.store.processes import Process, is_running, this_machine, this_process
from sweeps.store.reaper import Reaper
from sweeps.store.tables import StudyState, WorkerRow

ELSEWHERE = Process("node7", "another boot", 77, 1.0)


@pytest.fixture
def storage(url: str) -> Any:
    """A store with the tiny study, of four trials."""
    opened = store.connect(url, create=True)
    store.create_study(opened, file.parse_space(fakes.TINY), fakes.TINY, [])
    yield opened
    opened.engine.dispose()


@pytest.fixture
def lite(tmp_path: Path) -> Any:
    """The same on SQLite alone, for what no database decides."""
    opened = store.connect(f"sqlite:///{tmp_path}/lite.db", create=True)
    store.create_study(opened, file.parse_space(fakes.TINY), fakes.TINY, [])
    yield opened
    opened.engine.dispose()


def hired(storage: RDBStorage, process: Process = ELSEWHERE) -> int:
    return leases.register_worker(storage.engine, process, "GPU", "0.1")


def claimed(storage: RDBStorage, worker: int, trials: int = 4) -> Claim:
    found = leases.claim_trial(storage.engine, worker, 1, trials)
    assert found is not None
    return found


def states(storage: RDBStorage) -> list[str]:
    return [trial.state.name for trial in storage.get_all_trials(1)]


def seen(storage: RDBStorage, worker: int) -> float:
    with storage.engine.connect() as db:
        return float(db.scalar(select(WorkerRow.seen).where(WorkerRow.worker_id == worker)) or 0.0)


def test_slots_are_claimed_in_order_until_the_budget_is_given_out(storage: RDBStorage) -> None:
    worker = [hired(storage) for _ in range(3)]
    claims = [claimed(storage, each, 2) for each in worker[:2]]
    assert [(claim.slot, claim.number, claim.fresh) for claim in claims] == [(0, 0, True), (1, 1, True)]
    assert leases.claim_trial(storage.engine, worker[2], 1, 2) is None
    assert states(storage) == ["RUNNING"] * 2
    leases.finish_trial(storage.engine, worker[0], claims[0], Batch(), TrialState.COMPLETE, 0.5)
    assert leases.claim_trial(storage.engine, worker[2], 1, 2) is None, "a finished slot is never given back"


def test_a_claim_whose_answer_was_lost_is_given_again(storage: RDBStorage) -> None:
    worker = hired(storage)
    assert claimed(storage, worker).number == claimed(storage, worker).number == 0


def test_a_trial_that_is_handed_back_is_the_next_to_be_claimed(storage: RDBStorage) -> None:
    one, other = hired(storage), hired(storage)
    claim = claimed(storage, one)
    reading = fakes.reading(4)
    leases.hand_back(storage.engine, one, claim, Batch(user_attrs={"slot": 0}, readings={4: reading}))
    assert states(storage) == ["WAITING"]
    again = claimed(storage, other)
    assert again == replace(claim, fresh=False, step=4)
    assert states(storage) == ["RUNNING"]
    assert repr(store.readings(storage.engine, 1, 0)) == repr([reading]), "not a number is not equal to itself"


def claim_all(url: str, trials: int) -> list[int]:
    opened = store.connect(url)
    worker, found = hired(opened, this_process()), []
    while (claim := leases.claim_trial(opened.engine, worker, 1, trials)) is not None:
        found.append(claim.number)
        leases.finish_trial(opened.engine, worker, claim, Batch(), TrialState.COMPLETE, 0.0)
    opened.engine.dispose()
    return found


def test_no_two_processes_get_the_same_trial(storage: RDBStorage, url: str, processes: Pool) -> None:
    found = processes.starmap(claim_all, [(url, 60)] * 4, chunksize=1)
    assert sorted(number for numbers in found for number in numbers) == list(range(60))
    assert [trial.number for trial in storage.get_all_trials(1)] == list(range(60))


def test_trials_that_were_handed_back_go_to_one_worker_each(storage: RDBStorage, url: str, processes: Pool) -> None:
    workers = [hired(storage) for _ in range(40)]
    for worker, claim in [(worker, claimed(storage, worker, 40)) for worker in workers]:
        leases.hand_back(storage.engine, worker, claim, Batch())
    found = processes.starmap(claim_all, [(url, 40)] * 6, chunksize=1)
    assert sorted(number for numbers in found for number in numbers) == list(range(40))


def everything(storage: RDBStorage) -> dict[str, list[Any]]:
    """All rows of all tables but the workers' own."""
    with storage.engine.connect() as db:
        names = [name for name in sqlalchemy.inspect(db).get_table_names() if name != "sweeps_workers"]
        return {name: sorted(map(repr, db.execute(text(f"SELECT * FROM {name}")))) for name in names}


def test_a_worker_that_was_taken_for_dead_can_write_nothing(storage: RDBStorage) -> None:
    slow, other = hired(storage), hired(storage)
    claim = claimed(storage, slow)
    assert leases.take_over(storage.engine, slow, seen(storage, slow), Retries()) == 1
    again = claimed(storage, other)
    assert again.number == claim.number
    before, batch = everything(storage), Batch(user_attrs={"late": 1}, reports={2: 0.5}, readings={2: fakes.reading(2)})
    for late in (
        lambda: leases.send_beat(storage.engine, slow, Beat(claim, 2, 1.0), batch),
        lambda: leases.finish_trial(storage.engine, slow, claim, batch, TrialState.COMPLETE, 0.9),
        lambda: leases.hand_back(storage.engine, slow, claim, batch),
        lambda: leases.claim_trial(storage.engine, slow, 1, 4),
    ):
        with pytest.raises(LostLeaseError):
            late()
    leases.retire_worker(storage.engine, slow)
    assert everything(storage) == before


def test_a_worker_that_beat_in_the_meantime_is_not_taken_over(storage: RDBStorage) -> None:
    worker = hired(storage)
    claim = claimed(storage, worker)
    before = seen(storage, worker)
    time.sleep(0.02)
    leases.send_beat(storage.engine, worker, Beat(claim, 0, 0.0), Batch())
    assert leases.take_over(storage.engine, worker, before, Retries()) == 0
    assert states(storage) == ["RUNNING"]


def test_a_worker_that_ends_holding_a_trial_gives_it_back(storage: RDBStorage) -> None:
    worker = hired(storage)
    claimed(storage, worker)
    leases.retire_worker(storage.engine, worker)
    assert states(storage) == ["WAITING"]


def die(storage: RDBStorage, step: int | None, retries: Retries) -> None:
    """A worker claims the waiting trial, reads as far as `step`, and dies."""
    worker = hired(storage)
    claim = claimed(storage, worker, 1)
    readings = {} if step is None else {step: fakes.reading(step)}
    leases.send_beat(storage.engine, worker, Beat(claim, 0, 0.0), Batch(readings=readings))
    assert leases.take_over(storage.engine, worker, seen(storage, worker), retries) == 1


def test_a_trial_that_kills_its_workers_at_the_same_step_fails_with_the_reason(storage: RDBStorage) -> None:
    for _ in range(2):
        die(storage, 4, Retries(here=3))
        assert states(storage) == ["WAITING"]
    die(storage, None, Retries(here=3))
    (trial,) = storage.get_all_trials(1)
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.FAIL, "failed")
    assert trial.user_attrs["reason"].startswith("its worker ended without a word 3 times at or after step 4: killed")
    assert leases.claim_trial(storage.engine, hired(storage), 1, 1) is None, "it counts in the budget"


def test_deaths_between_which_the_trial_got_further_count_only_up_to_the_last_limit(lite: RDBStorage) -> None:
    for step in (2, 4, 6):
        die(lite, step, Retries(here=2, ever=4))
        assert states(lite) == ["WAITING"]
    die(lite, 8, Retries(here=2, ever=4))
    (trial,) = lite.get_all_trials(1)
    assert trial.user_attrs["reason"].startswith("its worker ended without a word 1 times at or after step 8, 4 times")


def aged(storage: RDBStorage, worker: int, seconds: float) -> None:
    """As if the worker had been silent for so long."""
    with storage.engine.begin() as db:
        db.execute(update(WorkerRow).where(WorkerRow.worker_id == worker).values(seen=WorkerRow.seen - seconds))


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def watched(storage: RDBStorage) -> tuple[Reaper, Callable[[float], int]]:
    clock = Clock()
    watch = Reaper(storage.engine, grace_s=60.0, watch_s=25.0, clock=clock)

    def reap(after: float) -> int:
        clock.time += after
        return watch.reap()

    return watch, reap


def test_a_silent_worker_is_taken_over_after_its_grace_and_a_second_look(storage: RDBStorage) -> None:
    worker = hired(storage)
    claimed(storage, worker)
    _, reap = watched(storage)
    assert reap(0) == 0
    aged(storage, worker, 61)
    assert [reap(10), reap(10), reap(10)] == [0, 0, 0]
    assert states(storage) == ["RUNNING"]
    assert reap(10) == 1
    assert states(storage) == ["WAITING"]


def test_after_an_outage_the_living_have_time_to_beat_again(lite: RDBStorage) -> None:
    workers = [hired(lite) for _ in range(3)]
    claims = [claimed(lite, worker) for worker in workers]
    _, reap = watched(lite)
    reap(0)
    for worker in workers:
        aged(lite, worker, 300)  # nobody could beat while the store was away
    assert reap(300) == 0
    for worker, claim in zip(workers[:2], claims[:2], strict=True):
        leases.send_beat(lite.engine, worker, Beat(claim, 0, 0.0), Batch())
    assert [reap(10), reap(10), reap(10)] == [0, 0, 1]
    assert states(lite) == ["RUNNING", "RUNNING", "WAITING"]


def test_a_watcher_that_slept_itself_begins_anew(lite: RDBStorage) -> None:
    worker = hired(lite)
    claimed(lite, worker)
    aged(lite, worker, 61)
    _, reap = watched(lite)
    assert [reap(0), reap(1000), reap(10), reap(10), reap(10)] == [0, 0, 0, 0, 1]


def test_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(lite: RDBStorage) -> None:
    code = (
        "import sys, time; from sweeps import store; from sweeps.store import leases, processes;"
        "s = store.connect(sys.argv[1]); w = leases.register_worker(s.engine, processes.this_process(), '', '');"
        "leases.claim_trial(s.engine, w, 1, 4); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, lite.url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        watch = Reaper(lite.engine)
        assert watch.reap() == 0
        process.send_signal(signal.SIGSTOP)
        assert watch.reap() == 0, "a process that was stopped may go on"
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while watch.reap() == 0:
            assert time.monotonic() < deadline
        assert states(lite) == ["WAITING"]


def test_a_number_is_another_process_after_a_reboot_or_in_another_container_or_later() -> None:
    me = this_process()
    assert is_running(me.machine, me.pid, me.born)
    assert not is_running(me.machine, me.pid, me.born - 1), "the number was given to a later process"
    assert is_running("another boot", me.pid, me.born - 1), "of other machines nothing is known"
    assert me.machine == this_machine()
    assert me.pid == os.getpid()


def test_paused_studies_give_out_nothing_and_go_on_where_they_were(storage: RDBStorage) -> None:
    one, other = hired(storage), hired(storage)
    claim = claimed(storage, one)
    assert queue.set_state(storage.engine, 1, StudyState.PAUSED) == StudyState.ACTIVE
    assert leases.claim_trial(storage.engine, other, 1, 4) is None
    assert leases.send_beat(storage.engine, one, Beat(claim, 0, 0.0), Batch()) == StudyState.PAUSED
    leases.hand_back(storage.engine, one, claim, Batch())
    assert states(storage) == ["WAITING"]
    assert queue.set_state(storage.engine, 1, StudyState.ACTIVE) == StudyState.PAUSED
    assert claimed(storage, other).number == 0


def test_a_stopped_study_ends_its_unfinished_trials_and_a_resumed_one_fills_their_slots(storage: RDBStorage) -> None:
    workers = [hired(storage) for _ in range(3)]
    claims = [claimed(storage, worker) for worker in workers]
    leases.finish_trial(storage.engine, workers[0], claims[0], Batch(), TrialState.COMPLETE, 0.5)
    leases.hand_back(storage.engine, workers[1], claims[1], Batch())
    queue.set_state(storage.engine, 1, StudyState.STOPPED)
    assert states(storage) == ["COMPLETE", "FAIL", "RUNNING"]
    leases.hand_back(storage.engine, workers[2], claims[2], Batch())
    assert states(storage) == ["COMPLETE", "FAIL", "FAIL"]
    assert storage.get_all_trials(1)[2].user_attrs == {"fate": "interrupted", "reason": "its study was stopped"}
    queue.set_state(storage.engine, 1, StudyState.ACTIVE)
    claims = [claimed(storage, worker) for worker in workers]
    assert [(claim.slot, claim.number, claim.fresh) for claim in claims] == [(1, 3, True), (2, 4, True), (3, 5, True)]
    assert leases.claim_trial(storage.engine, hired(storage), 1, 4) is None


def test_studies_are_offered_by_priority_then_age(storage: RDBStorage) -> None:
    for name, priority in (("urgent", 5), ("later", 0)):
        overrides = [f"study.name={name}", f"study.priority={priority}"]
        store.create_study(storage, file.parse_space(fakes.TINY, overrides), fakes.TINY, overrides)
    optuna.create_study(storage=storage, study_name="not ours")
    assert queue.active_studies(storage.engine) == ["urgent", "tiny", "later"]
    worker = hired(storage)
    leases.finish_trial(storage.engine, worker, claimed(storage, worker), Batch(), TrialState.COMPLETE, 0.5)
    claimed(storage, worker)
    found = {
        offer.name: (offer.state, offer.priority, offer.done, offer.held)
        for offer in queue.queued_studies(storage.engine)
    }
    assert found == {"urgent": ("active", 5, 0, 0), "tiny": ("active", 0, 1, 1), "later": ("active", 0, 0, 0)}
    queue.set_state(storage.engine, 1, StudyState.PAUSED)
    assert queue.active_studies(storage.engine) == ["urgent", "later"]
    with pytest.raises(StoreError, match="not made by `sweeps create`"):
        queue.set_state(storage.engine, 4, StudyState.PAUSED)
