"""The device is made ready once, and in time."""

import subprocess
import sys

import tensorflow as tf

from sweeps.nn import device


def test_a_worker_uses_one_thread_however_often_it_is_made_ready() -> None:
    device.prepare_device()
    device.prepare_device()
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1


def test_a_process_that_has_used_tensorflow_before_is_refused() -> None:
    program = "import tensorflow as tf; tf.zeros(1) + 1; from sweeps.nn import device; device.prepare_device()"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode != 0
    assert "RuntimeError" in run.stderr
