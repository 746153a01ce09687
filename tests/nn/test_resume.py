"""Trials that are interrupted, saved and gone on with, or that end early: states, threads, processes, memory."""

import gc
import io
import json
import subprocess
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import own_net
import pytest
from commands import python_path
from numpy.typing import NDArray
from tiny_net import next_reading, readings_of, tiny, trainer_of, without_seconds

from sweeps.config import Config
from sweeps.data.arrays import Arrays, Rows
from sweeps.errors import TrialError
from sweeps.nn import state as state_module
from sweeps.nn import trainer as trainer_module
from sweeps.nn.train import train
from sweeps.nn.trainer import Trainer
from sweeps.readings import Reading
from sweeps.worker.protocol import Run, Train

STEPS = 11


def uneven(**choices: Any) -> Config:
    return tiny(**{"steps": STEPS, "report_interval": 4, "holdout_images": 100, **choices})


def test_the_state_after_any_reading_gives_the_rest(arrays: Arrays) -> None:
    config = uneven(batch_normalization="after", dropout="dropout")
    run, states, readings = train(config, arrays), [], []
    states.append(run.state())
    for reading in run:
        assert reading is not None
        readings.append(reading)
        states.append(run.state())
    assert len(readings) == 4
    for index, state in enumerate(states):
        rest = train(config, arrays, state)
        assert rest.state() == state
        assert without_seconds(readings_of(rest)) == without_seconds(readings[index:])


def test_a_state_may_be_taken_again_and_again(arrays: Arrays) -> None:
    config = uneven()
    state = train(config, arrays).state()
    for _ in range(4):
        run = train(config, arrays, state)
        last = next_reading(run)
        state = run.state()
    assert without_seconds([last]) == without_seconds(readings_of(train(config, arrays))[-1:])
    run = train(config, arrays, state)
    assert [next(run, "end"), next(run, "end")] == ["end", "end"]
    assert json.loads(np.load(io.BytesIO(run.state()))["header"].tobytes())["looked"] == STEPS


def test_seconds_go_on_where_the_state_left_them(arrays: Arrays) -> None:
    run = train(uneven(), arrays)
    first = next_reading(run)
    state = run.state()
    time.sleep(0.3)
    resumed = train(uneven(), arrays, state)
    time.sleep(0.3)
    began = time.perf_counter()
    second = next_reading(resumed)
    assert first.seconds < second.seconds < first.seconds + time.perf_counter() - began + 0.1


def test_an_interruption_between_two_pulls_is_answered_once(arrays: Arrays) -> None:
    run = train(uneven(), arrays)
    run.interrupt()
    run.interrupt()
    assert next(run) is None
    assert next_reading(run).step == 0
    run.interrupt()
    assert [reading and reading.step for reading in run] == [None, 4, 8, 11]


def interrupted_pull(run: Run, seconds: float) -> tuple[Reading | None, float]:
    """What a pull gives that another thread interrupts after so many seconds, and how long the answer took."""
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.perf_counter())
        run.interrupt()

    timer = threading.Timer(seconds, ask)
    timer.start()
    reading = next(run)
    timer.join()
    return reading, time.perf_counter() - asked[0]


def test_another_thread_interrupts_a_long_row_of_steps(arrays: Arrays) -> None:
    config = tiny(steps=1500, report_interval=1500, optimizer="nadam", dropout="dropout")
    whole = readings_of(train(config, arrays))
    run = train(config, arrays)
    readings, waits = [next_reading(run)], []
    for seconds in (0.05, 0.2, 0.1):
        reading, wait = interrupted_pull(run, seconds)
        assert reading is None
        waits.append(wait)
        run = train(config, arrays, run.state())
    assert without_seconds([*readings, *readings_of(run)]) == without_seconds(whole)
    assert max(waits) < 1


def test_a_fresh_process_goes_on_bitwise(arrays: Arrays, tmp_path: Path) -> None:
    config = uneven(
        activation="selu", dropout="alpha_dropout", optimizer="nadam", batch_normalization="before",
        steps=400, report_interval=400,
    )  # fmt: skip
    whole = readings_of(train(config, arrays))
    run = train(config, arrays)
    next(run)
    assert interrupted_pull(run, 0.1)[0] is None
    (tmp_path / "state").write_bytes(run.state())
    header = json.loads(np.load(tmp_path / "state", allow_pickle=False)["header"].tobytes())
    assert (header["looked"], header["step"]) == (0, 0)
    assert 0 < header["steps"] < 400
    program = (
        "from pathlib import Path\n"
        "from tiny_net import patterns, tiny, without_seconds\n"
        "from sweeps.config import Config\n"
        "from sweeps.nn.train import train\n"
        f"config = Config.model_validate_json({config.to_json()!r})\n"
        f"state = Path({str(tmp_path / 'state')!r}).read_bytes()\n"
        "print(without_seconds(list(train(config, patterns(), state))))"
    )
    here = Path(__file__).parent
    environment = {"PYTHONPATH": python_path(here, here.parents[1]), "PATH": "", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert other.stdout.strip() == without_seconds(whole[1:])


def test_a_closed_run_gives_nothing_more(arrays: Arrays) -> None:
    run = train(uneven(), arrays)
    next(run)
    run.close()
    run.close()
    run.interrupt()
    assert [next(run, "end"), next(run, "end")] == ["end", "end"]
    with pytest.raises(RuntimeError, match="closed"):
        run.state()


def test_a_run_whose_net_was_taken_over_has_no_state(arrays: Arrays) -> None:
    run = train(uneven(), arrays)
    next(run)
    next(train(uneven(seed=1), arrays))
    with pytest.raises(RuntimeError, match="another trial has taken over the net"):
        run.state()


def saved(config: Config, arrays: Arrays) -> bytes:
    run = train(config, arrays)
    next(run)
    return run.state()


@pytest.mark.parametrize("spoil", [lambda s: s[:-100], lambda _: b"", lambda _: b"none of ours", lambda s: s[100:]])
def test_bytes_that_are_no_state_are_refused(spoil: Callable[[bytes], bytes], arrays: Arrays) -> None:
    with pytest.raises(TrialError, match=r"^the saved state cannot be read: .+$"):
        next(train(uneven(), arrays, spoil(saved(uneven(), arrays))))


def test_a_flipped_bit_is_noticed(arrays: Arrays) -> None:
    state = bytearray(saved(uneven(), arrays))
    state[len(state) // 2] ^= 1
    with pytest.raises(TrialError, match="the saved state cannot be read"):
        next(train(uneven(), arrays, bytes(state)))


def test_a_state_with_pickled_objects_is_not_opened(arrays: Arrays) -> None:
    file = io.BytesIO()
    np.savez(file, header=np.array([print], dtype=object))
    with pytest.raises(TrialError, match="allow_pickle"):
        next(train(uneven(), arrays, file.getvalue()))


def test_a_state_of_another_config_is_refused(arrays: Arrays) -> None:
    state = saved(uneven(), arrays)
    other = {"model": {"convolutions": 4, "stages": 2, "width": 8, "dense": 1, "dense_units": 16}, "seed": 5}
    with pytest.raises(TrialError, match=r"is of another trial: its config differs in model, seed$") as caught:
        next(train(uneven(**other), arrays, state))
    assert "\n" not in str(caught.value)


def test_a_state_of_a_later_format_is_refused(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "FORMAT", 2)
    state = saved(uneven(), arrays)
    monkeypatch.undo()
    with pytest.raises(TrialError, match="has format 2; this version reads 1"):
        next(train(uneven(), arrays, state))


def test_a_state_is_refused_where_the_user_has_changed_the_net_meanwhile(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = uneven(model={"build": "own_net:build"})
    state = saved(config, arrays)
    layers = keras.layers

    def wider(_: object) -> keras.Model:
        parts = [layers.Input((16, 16, 1)), layers.Flatten(), layers.Dense(9), layers.Dense(10, activation="softmax")]
        return keras.Sequential(parts)

    monkeypatch.setattr(own_net, "build", wider)
    with pytest.raises(TrialError, match=r"does not fit the net: it has .. variables, the net has .."):
        next(train(config, arrays, state))


def test_values_of_another_shape_or_dtype_are_refused_and_change_nothing() -> None:
    trainer = trainer_of(tiny())
    values = trainer.values()
    for wrong in (values[0].T, values[0].astype(np.float64)):
        with pytest.raises(TrialError, match=r"does not fit the net: float.. \(.*\) is no value of .*float32 \(.*\)$"):
            trainer.restore([np.zeros_like(values[0]), *values[1:5], wrong, *values[6:]])
    assert all(np.array_equal(old, new) for old, new in zip(values, trainer.values(), strict=True))


@pytest.mark.parametrize(("net", "step", "readings"), [("enormous", 0, 0), ("greedy", 0, 1)])
def test_a_trial_that_needs_more_memory_than_there_is_fails_and_frees_it(
    net: str, step: int, readings: int, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "_trainers", OrderedDict())
    kept = weakref.ref(trainer_of(tiny(model={"architecture": "dense", "dense": 1, "dense_units": 4})))
    run = train(uneven(model={"build": f"own_net:{net}"}), arrays)
    assert len([next(run) for _ in range(readings)]) == readings
    own = None if run._trainer is None else weakref.ref(run._trainer)
    words = rf"^out of memory at step {step}: batch_size 32 does not fit on CPU; take a smaller batch, image or net$"
    with pytest.raises(TrialError, match=words) as caught:
        next(run)
    assert caught.value.__context__ is None, "its frames would hold the net"
    assert kept() is None
    assert own is None or own() is None
    assert not trainer_module._trainers
    assert next(run, "end") == "end"
    gc.collect()
    assert next_reading(train(uneven(), arrays)).step == 0


def test_a_batch_that_the_host_cannot_hold_fails_the_trial(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Rows):
        """Images that fill the memory when a batch of them is asked for."""

        def __getitem__(self, index: Any) -> NDArray[Any]:
            return np.empty(2**60, np.uint8) if isinstance(index, np.ndarray) else self.array[index]

    images = arrays.train_images
    assert isinstance(images, np.ndarray)
    monkeypatch.setattr(trainer_module, "_trainers", OrderedDict())
    run = train(uneven(inputs="unit"), replace(arrays, train_images=Endless(images, np.arange(len(images)))))
    next(run)
    with pytest.raises(TrialError, match="out of memory at step 0: batch_size 32 does not fit on the host"):
        next(run)


def test_an_error_of_a_step_ends_the_run(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(uneven(), arrays)
    next(run)
    monkeypatch.setattr(Trainer, "train_steps", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(run)
    assert next(run, "end") == "end"


def test_train_is_what_a_worker_asks_for() -> None:
    asked: Train = train
    assert callable(asked)
