"""One worker's attempt at one trial: from the sampler's answer, or an earlier worker's checkpoint, to its end."""

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from pydantic import ValidationError

from sweeps import store
from sweeps.artifacts.checkpoints import Checkpoint, Checkpoints
from sweeps.config import Config
from sweeps.data.arrays import Arrays, digest_arrays
from sweeps.errors import LostLeaseError, OutageError, TrialError, describe_error, one_line
from sweeps.notes import trial as trial_notes
from sweeps.readings import Reading
from sweeps.space import samplers
from sweeps.space.space import Space
from sweeps.store import leases
from sweeps.store.leases import Claim
from sweeps.store.processes import this_process
from sweeps.store.retry import DATABASE_ERRORS, error_message, retry_while_unavailable
from sweeps.store.worker_storage import WorkerStorage
from sweeps.verdict import EXAMINED, CalibrationPoint, Chance, Limit
from sweeps.verdict import calibrated_limit as calibrated
from sweeps.worker import lessons, provenance
from sweeps.worker.heartbeat import Heartbeat, Order, Work
from sweeps.worker.monitor import (
    JudgeContext,
    Outcome,
    ResumePoint,
    follow_run,
    outcome_attributes,
    tell_outcome,
)
from sweeps.worker.protocol import Load, Run, Train

if TYPE_CHECKING:
    from sweeps.optuna_private import ArtifactStore

LONGEST = 5000  # characters of a reason or a traceback: MariaDB's TEXT takes 65 535 bytes, JSON up to 12 a character


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What an attempt is made with; see `Worker`."""

    storage: RDBStorage
    heart: Heartbeat
    train: Train
    load: Load
    stopping: Callable[[], bool]
    say: Callable[[str], None]
    outage_s: float
    artifacts: "ArtifactStore | None"
    gpu: str = ""


@dataclass(slots=True)
class Attempt:
    """A claimed trial in the hands of a worker."""

    means: WorkerContext
    study: optuna.Study
    storage: WorkerStorage
    space: Space
    claim: Claim
    checkpoints: Checkpoints | None
    endings: dict[int, CalibrationPoint]  # of the study's trials that this worker knows
    config: Config | None = None
    run: Run | None = None
    setting: JudgeContext | None = None
    readings: Sequence[Reading] = ()
    started: float = field(default_factory=time.monotonic)
    refused: str = ""  # why this worker cannot train the study
    pulled: tuple[int, float] = (0, 0.0)  # the first pull: its step and time

    def train_trial(self) -> Outcome | None:
        """Train the trial to its end; None where it was handed back.

        Raises:
            LostLeaseError: it is another worker's by now.
            OutageError: the store has been away for too long; the trial is kept as a checkpoint.
        """
        heart = self.means.heart
        trial, problem = retry_while_unavailable(self._ask_for_values, self.means.outage_s, self.means.stopping)
        heart.attach_trial(Work(self.claim, self.storage, self._interrupt_run))
        try:
            heart.beat_now()
            outcome = problem or self._train(trial)
            if heart.lost_trial:
                raise LostLeaseError(heart.why)
            if outcome is None:
                self._hand_back()
            else:
                self._finish_trial(trial, outcome)
        finally:
            self._close_run()
        return outcome

    @property
    def step(self) -> int:
        """Return the step of the last reading."""
        if self.readings:
            return self.readings[-1].step
        return 0

    def _ask_for_values(self) -> tuple[optuna.Trial, Outcome | None]:
        """Return the trial with its values drawn and its recipe noted; doing it again changes nothing.

        A sampler or a space that raises fails the trial: neither the worker nor another study has a part in it.
        """
        try:
            return self._draw_values()
        except (LostLeaseError, OutageError, *DATABASE_ERRORS):
            raise
        except Exception as exc:  # noqa: BLE001  samplers run others' code on what others wrote
            sampler = self.space.sampler["name"]
            reason = f"no values can be drawn for it ({sampler}): {describe_error(exc)}"
            self.study.sampler = optuna.samplers.RandomSampler()  # asked for nothing
            self.storage.hold_alone(self.claim)
            trace = traceback.format_exc()[-LONGEST:]
            return self.study.ask(), Outcome(TrialState.FAIL, store.FAILED, reason[:LONGEST], traceback=trace)

    def _draw_values(self) -> tuple[optuna.Trial, Outcome | None]:
        claim = self.claim
        problem = None
        self.storage.hold_claim(claim)
        self.study.sampler = samplers.make_sampler(self.space, claim.slot)
        trial = self.study.ask()
        noted = trial.user_attrs.get(store.CONFIG)
        where = this_process()
        for name, value in {store.SLOT: claim.slot, store.HOST: where.host, store.PID: where.pid}.items():
            trial.set_user_attr(name, value)
        enqueued = self.storage.get_trial(claim.trial_id).system_attrs.get(store.ENQUEUED_VALUES, {})
        if refusal := self.space.check_values(enqueued):
            reason = f"it was enqueued with values that cannot be: {refusal}"
            return trial, Outcome(TrialState.FAIL, store.FAILED, reason, blames_study=False)
        try:
            drawn = noted is None and self.space.make_config(self.space.draw_values(trial), claim.slot)
            self.config = drawn or Config.model_validate_json(str(noted))
            if refusal := self.space.check_code(self.config):
                return trial, Outcome(TrialState.FAIL, store.FAILED, refusal, blames_study=False)
            trial.set_user_attr(store.CONFIG, self.config.to_json())
        except ValidationError as exc:
            reason = str(exc.errors()[0]["msg"]).removeprefix("Value error, ")
            problem = Outcome(TrialState.FAIL, store.FAILED, f"these values do not go together: {reason}")
        return trial, problem

    def _train(self, trial: optuna.Trial) -> Outcome | None:
        assert self.config is not None
        try:
            arrays = self.means.load(self.config.data, self.config.holdout_images)
            self.setting = setting = self._judge_context(trial, self.config, arrays)
            for name, value in provenance.provenance_attributes(self.config, arrays, self.means.gpu).items():
                trial.set_user_attr(name, value)
            self._deliver_batch()
            if not self._admit_data(arrays):
                return None
            return self._resume_run(trial, setting, arrays)
        except Exception as exc:  # noqa: BLE001  the edge of a trial: whatever it is, the worker lives and the store says why
            if isinstance(exc, TrialError):
                reason = one_line(exc)
            else:
                reason = f"{type(exc).__name__}: {one_line(exc)}"
            readings = tuple(self.readings)
            trace = traceback.format_exc()[-LONGEST:]
            return Outcome(TrialState.FAIL, store.FAILED, reason[:LONGEST], readings, traceback=trace)

    def _admit_data(self, arrays: Arrays) -> bool:
        """Return whether these are the data of the study; if not, the trial is handed back, and the worker leaves.

        Data that come with a package or are made on the spot are named by their source: rounding may differ in them
        from processor to processor.
        """
        data = self.space.data
        if not data.is_of_user:
            return True
        digest = digest_arrays(arrays)
        engine = self.means.storage.engine
        study_id = self.claim.study_id
        if retry_while_unavailable(
            lambda: store.admit_data(engine, study_id, digest), self.means.outage_s, self.means.stopping
        ):
            return True
        cause = f"{data.path} has changed"
        if not data.path:
            cause = f"{data.source} returns others at each call (seed it), or has changed"
        self.refused = (
            f"study {self.space.name!r} was trained on other data than are here: {cause}; take the old data, give the "
            "study a new name, or go on with the option --accept-changed-data of `sweeps run`"
        )
        self.means.heart.order_hand_back(self.refused)
        return False

    def _judge_context(self, trial: optuna.Trial, config: Config, arrays: Arrays) -> JudgeContext:
        """Return what the trial is judged by: an attempt after the first is judged as the first was."""
        chance = Chance.of(arrays.train_labels, arrays.holdout_labels, arrays.classes)
        known = self.study.get_trials(deepcopy=False)  # a worker's storage reads what can be read of them
        rules, control = lessons.rules_of(self.space, self.claim.slot, config, known)
        noted = trial.user_attrs.get(store.JUDGED_BY)
        if noted is None:
            limit = calibrated(lessons.ended_trials(known, self.endings), rules)
            odds = None
            if math.isfinite(limit.log_odds):
                odds = limit.log_odds
            noted = {"log_odds": odds, "grounds": limit.grounds, "rejections": rules.rejections}
            trial.set_user_attr(store.JUDGED_BY, noted)
        if noted["log_odds"] is None:
            odds = -math.inf
        else:
            odds = noted["log_odds"]
        rules = replace(rules, rejections=noted["rejections"])
        return JudgeContext(config, chance, len(arrays.train_labels), rules, Limit(odds, noted["grounds"]), control)

    def _follow_run(
        self, trial: optuna.Trial, setting: JudgeContext, arrays: Arrays, checkpoint: Checkpoint | None
    ) -> Outcome | None:
        """Return the trial from its start, or from a checkpoint."""
        reported = frozenset(self.storage.get_trial(self.claim.trial_id).intermediate_values)
        past = ResumePoint((), reported)
        state = None
        if checkpoint is not None:
            past = ResumePoint(checkpoint.readings, reported)
            state = checkpoint.state
        self.readings = past.readings
        self.run = self.means.train(setting.config, arrays, state)
        if self.means.stopping() or self.means.heart.order != Order.GO_ON:
            self.run.interrupt()  # what was ordered before there was a run to be interrupted
        return follow_run(trial, self.run, setting, self.space, past, self._check_orders)

    def _resume_run(self, trial: optuna.Trial, setting: JudgeContext, arrays: Arrays) -> Outcome | None:
        """Resume the trial, if an earlier worker has left a checkpoint that fits; return its outcome."""
        checkpoint = self._load_checkpoint(setting.config)
        if checkpoint is not None:
            self._deliver_late(checkpoint.readings)
            self._say(f"goes on from step {checkpoint.step}")
            try:
                return self._follow_run(trial, setting, arrays, checkpoint)
            except TrialError as exc:
                if len(self.readings) > len(checkpoint.readings):
                    raise
                self._say(f"its checkpoint cannot be used: {one_line(exc)}")
                self._close_run()
        if not self.claim.fresh:
            self._say("starts over")
        return self._follow_run(trial, setting, arrays, None)

    def _load_checkpoint(self, config: Config) -> Checkpoint | None:
        if self.checkpoints is None or self.claim.fresh:
            return None
        try:
            return self.checkpoints.load(self.claim.number, config.to_json())
        except OSError as exc:
            self._say(f"its checkpoint cannot be read ({one_line(exc)})")
            return None

    def _deliver_late(self, readings: Sequence[Reading]) -> None:
        """Deliver the readings that an earlier worker took and could not deliver."""
        for reading in readings:
            if reading.step > self.claim.step:
                self.storage.add_reading(reading)

    def _check_orders(self, readings: Sequence[Reading], new: bool) -> bool:
        """Check for orders between two readings; return whether the trial has to be left here."""
        heart = self.means.heart
        now = time.monotonic()
        self.readings = readings
        if new:
            reading = readings[-1]
            self.storage.add_reading(reading)
            if not self.pulled[1]:
                self.pulled = (reading.step, now)
                self._note_parts()
            first, since = self.pulled
            steps_per_s = 0.0
            if now > since:
                steps_per_s = (reading.step - first) / (now - since)
            heart.record_progress(reading.step, steps_per_s)
        if self.means.stopping():
            heart.order_hand_back("the worker was told to end")
        # Whoever has slept must not replace the checkpoint of the worker that took over.
        if heart.order == Order.GO_ON and heart.checkpoint_due and heart.confirm_lease():
            self._save_checkpoint()
        return heart.order != Order.GO_ON

    def _note_parts(self) -> None:
        """Note what a user's net is made of: advice on the trial must not propose what it has."""
        if self.run is not None and self.run.parts:
            self.storage.set_trial_user_attr(self.claim.trial_id, store.NET_PARTS, list(self.run.parts))

    def _save_checkpoint(self) -> bool:
        """Write a checkpoint; one that cannot be written is no reason to end a run that may learn."""
        if self.checkpoints is None or self.run is None or self.config is None:
            return False
        heart = self.means.heart
        heart.saving = True
        try:
            content = Checkpoint(self.config.to_json(), self.step, tuple(self.readings), self.run.state())
            self.checkpoints.save(self.claim.number, content)
        except (OSError, RuntimeError) as exc:  # RuntimeError: the run has failed, and has no state any more
            self._say(f"no checkpoint can be written: {one_line(exc)}")
            self.storage.set_trial_user_attr(self.claim.trial_id, store.NO_CHECKPOINT, one_line(exc)[:LONGEST])
            return False
        finally:
            heart.saving = False
            heart.record_checkpoint()
        return True

    def _hand_back(self) -> None:
        """Hand the trial back with a checkpoint, or keep the checkpoint alone where the store is away."""
        heart = self.means.heart
        claim = self.claim
        kept = self._save_checkpoint()
        if kept:
            where = f"kept at step {self.step}"
        else:
            where = "not kept"
        if heart.order == Order.KEEP:
            raise OutageError(f"{heart.why}; trial {claim.number} of {self.space.name!r} is {where}")
        engine = self.means.storage.engine
        heart.end_trial(lambda batch: leases.hand_back(engine, heart.worker, claim, batch))
        self._say(f"handed back, {where}: {heart.why}")

    def _finish_trial(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Tell the trial's end; if the store cannot be told, a checkpoint keeps all that decides it."""
        try:
            retry_while_unavailable(lambda: self._sum_up(trial, outcome), self.means.outage_s)
            self._write_end(outcome.state, self.storage.get_trial(self.claim.trial_id).value)
        except OutageError as exc:
            if self._save_checkpoint():
                where = "kept at its end"
            else:
                where = "not kept"
            raise OutageError(f"{exc}; trial {self.claim.number} of {self.space.name!r} is {where}") from exc
        except DATABASE_ERRORS as exc:  # one that no waiting mends: what the trial says is too long, or is no text
            reason = f"the store refuses what it says: {error_message(exc)}"[:LONGEST]
            self._say(reason)
            self.storage.take_batch()
            for name, value in {store.FATE: store.FAILED, store.REASON: reason}.items():
                trial.set_user_attr(name, value)
            self._write_end(TrialState.FAIL, None)
        if self.checkpoints is not None:
            try:
                self.checkpoints.remove(self.claim.number)
            except OSError as exc:
                self._say(f"its checkpoint cannot be removed: {one_line(exc)}")

    def _write_end(self, state: TrialState, value: float | None) -> None:
        engine = self.means.storage.engine
        heart = self.means.heart
        claim = self.claim
        heart.end_trial(lambda batch: leases.finish_trial(engine, heart.worker, claim, batch, state, value))

    def _sum_up(self, trial: optuna.Trial, outcome: Outcome) -> None:
        if outcome.readings:
            self.storage.add_reading(outcome.readings[-1])
        if outcome.readings and not self.claim.fresh:
            earlier = outcome.readings[-1].seconds
        else:
            earlier = 0.0
        seconds = max(time.monotonic() - self.started, earlier)
        values = outcome_attributes(outcome, self.space, self.setting) | {store.SECONDS: round(seconds, 2)}
        for name, value in values.items():
            trial.set_user_attr(name, value)
        self._write_note(trial, outcome)
        if not self.storage.get_trial(self.claim.trial_id).state.is_finished():
            self._tell_sampler(trial, outcome)

    def _tell_sampler(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Tell Optuna the end; a sampler that raises when it hears of it loses no finished trial."""
        try:
            tell_outcome(self.study, trial, self.space, outcome, self.setting)
        except (LostLeaseError, OutageError, *DATABASE_ERRORS):
            raise
        except Exception as exc:  # noqa: BLE001  samplers run others' code
            self._say(f"the sampler cannot learn from it: {describe_error(exc)}")
            if not self.storage.get_trial(self.claim.trial_id).state.is_finished():
                self.study.sampler = optuna.samplers.RandomSampler()  # learns nothing
                tell_outcome(self.study, trial, self.space, outcome, self.setting)

    def _write_note(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Write what people will see of the trial; whatever goes wrong here, the trial itself is not lost."""
        try:
            trial_notes.keep_note(self.storage, trial, outcome.readings, outcome.fate in EXAMINED, self.means.artifacts)
        except DATABASE_ERRORS:
            raise
        except Exception:  # noqa: BLE001
            trial.set_user_attr(store.TRACEBACK, traceback.format_exc()[-LONGEST:])

    def _deliver_batch(self) -> None:
        """Beat with all that was said; none of a server's few connections is held while a trial trains."""
        self.means.heart.beat_now()
        store.release_connections(self.means.storage.engine)

    def _interrupt_run(self) -> None:
        """Interrupt the training; the heartbeat's thread calls this."""
        run = self.run  # the main thread may close it
        if run is not None:
            run.interrupt()

    def _close_run(self) -> None:
        run = self.run
        self.run = None
        if run is not None:
            run.close()

    def _say(self, text: str) -> None:
        self.means.say(f"trial {self.claim.number}: {text}")
