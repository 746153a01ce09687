"""How long each part of a shutdown may take, and that a checkpoint that is being written is waited for."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sweeps.launch.kubernetes import client
from sweeps.launch.slurm import SlurmResources
from sweeps.worker import shutdown, worker

ROOT = Path(__file__).parents[2]

# A process that hears SIGTERM at its start, writes a checkpoint for so long, and then ends by itself.
PROCESS = """
import os, signal, sys, time
from sweeps.worker import shutdown

writes_s = float(sys.argv[1])
shutdown.HAND_BACK_S = 0.4
shutdown.CHECKPOINT_S = 2.0
started = time.monotonic()
with shutdown.interruptible(lambda name: None, lambda: False, lambda: time.monotonic() - started < writes_s):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(writes_s + 0.1)
print("ended by itself")
"""


def test_whoever_waits_for_a_part_of_a_shutdown_waits_longer_than_it_may_take() -> None:
    store_away = shutdown.STORE_S + worker.RETIRE_S
    assert shutdown.SAME_S < shutdown.STORE_S < store_away < shutdown.HAND_BACK_S < shutdown.CHECKPOINT_S
    assert shutdown.CHECKPOINT_S < shutdown.SUPERVISOR_S < shutdown.LAUNCHER_S < shutdown.POD_S < client.PATIENCE_S
    assert shutdown.SUPERVISOR_S < shutdown.CANCEL_S
    assert SlurmResources().warning_s >= shutdown.LAUNCHER_S
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    grace = services["worker"]["stop_grace_period"]
    assert float(re.sub("s$", "", grace)) >= shutdown.LAUNCHER_S


@pytest.mark.parametrize(("writes_s", "code"), [(1.0, 0), (60.0, 1)])
def test_a_checkpoint_that_is_being_written_is_waited_for_but_not_for_ever(writes_s: float, code: int) -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROCESS, str(writes_s)], capture_output=True, text=True, check=False)
    assert (done.returncode, "ended by itself" in done.stdout) == (code, code == 0), done.stderr
    assert time.monotonic() - started < 30
