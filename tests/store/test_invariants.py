"""Whatever workers, reapers and people do in whatever order, these hold of the store."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import fakes
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

from sweeps import store
from sweeps.errors import LostLeaseError
from sweeps.space import file
from sweeps.store import leases, queue
from sweeps.store.batches import Batch
from sweeps.store.leases import Beat, Claim, Retries
from sweeps.store.processes import Process
from sweeps.store.tables import SlotRow, StudyState, WorkerRow

pytestmark = pytest.mark.slow

MOST = 5  # trials
TEMPLATE = Path(tempfile.mkdtemp(prefix="sweeps-invariants-")) / "template.db"


class Hand:
    """A worker as the test sees it; it does not know whether it was taken for dead."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.claim: Claim | None = None
        self.step = 0


class Store(RuleBasedStateMachine):
    """Workers are hired, claim, read, finish, hand back, fall silent and wake; people pause, stop and resume."""

    hands = Bundle("hands")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sweeps-invariants-"))
        if not TEMPLATE.exists():
            made = store.connect(f"sqlite:///{TEMPLATE}", create=True)
            store.create_study(made, file.parse_space(fakes.TINY), fakes.TINY, [])
            made.engine.dispose()
        shutil.copy(TEMPLATE, self.folder / "store.db")
        self.storage = store.connect(f"sqlite:///{self.folder}/store.db")
        self.engine = self.storage.engine
        self.budget, self.state = 2, StudyState.ACTIVE
        self.taken: set[int] = set()  # workers that were taken for dead
        self.readings: dict[int, set[int]] = {}
        self.finished: dict[int, str] = {}

    def teardown(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self.folder)

    @rule(target=hands)
    def hire(self) -> Hand:
        return Hand(leases.register_worker(self.engine, Process("node", "elsewhere", 1, 1.0), "", ""))

    @rule(hand=hands)
    def claim(self, hand: Hand) -> None:
        if hand.claim is not None:
            return
        try:
            hand.claim = leases.claim_trial(self.engine, hand.number, 1, self.budget)
        except LostLeaseError:
            assert hand.number in self.taken
            return
        assert hand.number not in self.taken
        if hand.claim is None:
            return
        assert self.state == StudyState.ACTIVE
        number = hand.claim.number
        assert number not in self.finished
        assert hand.claim.step == max(self.readings.get(number, {-1}))
        hand.step = hand.claim.step + 1

    def written(self, hand: Hand, write: Any) -> bool:
        """Whether a worker that holds a trial may write; it may exactly as long as nobody took it for dead."""
        try:
            write(hand.claim)
        except LostLeaseError:
            assert hand.number in self.taken
            hand.claim = None
            return False
        assert hand.number not in self.taken
        return True

    @rule(hand=hands)
    def read(self, hand: Hand) -> None:
        if hand.claim is None:
            return
        number, step = hand.claim.number, hand.step
        batch = Batch(readings={step: fakes.reading(step)}, reports={step: 0.1 * step}, user_attrs={"step": step})
        if self.written(hand, lambda claim: leases.send_beat(self.engine, hand.number, Beat(claim, step, 1.0), batch)):
            self.readings.setdefault(number, set()).add(step)
            hand.step += 1

    @rule(hand=hands, state=st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]))
    def finish(self, hand: Hand, state: TrialState) -> None:
        if hand.claim is None:
            return
        number, value = hand.claim.number, 0.5 if state == TrialState.COMPLETE else None
        batch = Batch(user_attrs={"fate": "failed" if state == TrialState.FAIL else "learned"})
        if self.written(hand, lambda claim: leases.finish_trial(self.engine, hand.number, claim, batch, state, value)):
            self.finished[number] = repr(self.trials()[number])
            hand.claim = None

    @rule(hand=hands)
    def hand_back(self, hand: Hand) -> None:
        if hand.claim is not None and self.written(
            hand, lambda claim: leases.hand_back(self.engine, hand.number, claim, Batch())
        ):
            hand.claim = None
            self.note_ends()

    @rule(hand=hands, retries=st.builds(Retries, st.integers(1, 3), st.integers(1, 4)))
    def take_for_dead(self, hand: Hand, retries: Retries) -> None:
        """As a reaper does; the worker may be dead, or wake and go on as if nothing had happened."""
        with self.engine.connect() as db:
            row = db.execute(
                select(WorkerRow.seen).where(WorkerRow.worker_id == hand.number, WorkerRow.lost.is_(False))
            ).one_or_none()
        if row is None:
            return
        had = hand.claim is not None
        assert leases.take_over(self.engine, hand.number, row.seen, retries) == int(had)
        self.taken.add(hand.number)
        for number, trial in self.trials().items():
            if trial.state.is_finished() and number not in self.finished:
                self.finished[number] = repr(trial)  # given up, or its study is stopped

    @rule(hand=consumes(hands))
    def retire(self, hand: Hand) -> None:
        leases.retire_worker(self.engine, hand.number)
        self.note_ends()

    @rule(state=st.sampled_from(StudyState))
    def halt(self, state: StudyState) -> None:
        queue.set_state(self.engine, 1, state)
        self.state = state
        self.note_ends()

    @rule()
    def ask_for_more(self) -> None:
        self.budget = min(self.budget + 1, MOST)

    def note_ends(self) -> None:
        for number, trial in self.trials().items():
            if trial.state == TrialState.FAIL and number not in self.finished:
                assert self.state == StudyState.STOPPED
                assert trial.user_attrs["fate"] == "interrupted"
                self.finished[number] = repr(trial)

    def trials(self) -> dict[int, FrozenTrial]:
        return {trial.number: trial for trial in self.storage.get_all_trials(1)}

    def slots(self) -> list[Any]:
        with self.engine.connect() as db:
            return list(db.execute(select(*SlotRow.__table__.c)))

    @invariant()
    def the_budget_is_never_overshot(self) -> None:
        slots = self.slots()
        assert len(slots) <= self.budget
        assert sorted(slot.slot for slot in slots) == list(range(len(slots)))
        counting = [
            trial
            for trial in self.trials().values()
            if not (trial.state == TrialState.FAIL and trial.user_attrs.get("fate") == "interrupted")
        ]
        assert len(counting) == sum(slot.trial_id is not None for slot in slots)

    @invariant()
    def slots_trials_and_workers_agree(self) -> None:
        trials, holders = self.trials(), Counter[int]()
        assert sorted(trials) == list(range(len(trials)))
        with self.engine.connect() as db:
            alive = set(db.scalars(select(WorkerRow.worker_id).where(WorkerRow.lost.is_(False))))
        for slot in self.slots():
            if slot.trial_id is None:
                assert (slot.worker_id, slot.done) == (None, False)
                continue
            state = trials[slot.number].state
            if slot.done:
                assert state.is_finished()
            elif slot.worker_id is None:
                assert state == TrialState.WAITING
            else:
                assert state == TrialState.RUNNING
                assert slot.worker_id in alive
                holders[slot.worker_id] += 1
        assert not holders or max(holders.values()) == 1

    @invariant()
    def nothing_that_finished_changes_and_no_reading_is_lost(self) -> None:
        trials = self.trials()
        for number, before in self.finished.items():
            assert repr(trials[number]) == before
        for number, steps in self.readings.items():
            assert {each.step for each in store.readings(self.engine, 1, number)} == steps
            assert set(trials[number].intermediate_values) == steps


Store.TestCase.settings = settings(max_examples=60, stateful_step_count=30, suppress_health_check=list(HealthCheck))
TestStore = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")(Store.TestCase)
