"""The device: made ready once per process, so that equal trials give equal bits in whichever worker they run."""

import os
from functools import cache
from typing import Any

import tensorflow as tf

from sweeps.environment import GPU_MEMORY_VARIABLE
from sweeps.nn import hush_tensorflow


@cache
def prepare_device() -> None:
    """Deterministic kernels, one thread, GPU memory as needed or SWEEPS_GPU_MEMORY_MIB. Further calls do nothing.

    One thread per operation, since sums are split by the number of threads, and results must not depend on how many
    workers share a machine. One operation at a time, since two workers with two threads each on two cores take twice
    as long as with one each. More workers use more cores.

    Raises:
        RuntimeError: TensorFlow has run something already, so that its threads are fixed.
    """
    # It warns of tracing when a process sees its fifth architecture, which is meant.
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    with hush_tensorflow():
        for gpu in tf.config.list_physical_devices("GPU"):
            _limit_memory(gpu, os.environ.get(GPU_MEMORY_VARIABLE))
        tf.config.list_logical_devices()


def _limit_memory(gpu: Any, memory_mib: str | None) -> None:
    if memory_mib is None:
        tf.config.experimental.set_memory_growth(gpu, True)
        return
    limit = tf.config.LogicalDeviceConfiguration(memory_limit=int(memory_mib))
    tf.config.set_logical_device_configuration(gpu, [limit])


def device_name() -> str:
    """Return where nets are trained: CPU or GPU:0."""
    if tf.config.list_logical_devices("GPU"):
        return "GPU:0"
    return "CPU"
