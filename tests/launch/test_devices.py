"""Which GPUs there are, and which worker gets which."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import absent

from sweeps.errors import InputError
from sweeps.launch.local.devices import assign_devices, default_worker_count, require_room, visible_gpus

# As much of NVIDIA's library as is asked: two devices with UUIDs (nvml.h, version 12).
DRIVER = r"""
#include <stdio.h>
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(long)(index + 1); return 0; }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) {
  snprintf(uuid, length, "GPU-0000000%ld", (long)device);
  return 0;
}
"""


@pytest.mark.parametrize(
    ("listed", "gpus"),
    [
        ("0", ("0",)),
        ("3,1", ("3", "1")),
        ("GPU-8932f937, MIG-1", ("GPU-8932f937", "MIG-1")),
        ("", ()),
        ("-1", ()),
        ("2,-1,3", ("2",)),
        ("NoDevFiles", ()),
    ],
)
def test_cuda_visible_devices_says_what_there_is(listed: str, gpus: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == gpus


def _asked(environment: dict[str, str]) -> str:
    program = "from sweeps.launch.local.devices import visible_gpus; print(*visible_gpus({}))"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_else_the_driver_does(tmp_path: Path) -> None:
    (tmp_path / "nvml.c").write_text(DRIVER)
    library = tmp_path / "libnvidia-ml.so.1"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True, capture_output=True)
    except FileNotFoundError:
        absent("a C compiler")
    assert _asked({"LD_LIBRARY_PATH": str(tmp_path)}) == "GPU-00000001 GPU-00000002"
    (tmp_path / "libnvidia-ml.so.1").write_text("not a library")
    assert _asked({"LD_LIBRARY_PATH": str(tmp_path)}) == ""


@given(st.integers(1, 40), st.integers(1, 8))
def test_workers_are_spread_evenly_over_gpus(workers: int, count: int) -> None:
    gpus = [f"GPU-{index}" for index in range(count)]
    dealt = Counter(device.gpu for device in assign_devices(workers, gpus))
    assert dealt.total() == workers
    assert max(dealt.values()) - min(dealt.get(gpu, 0) for gpu in gpus) <= 1


def test_a_worker_sees_its_own_gpu_and_computes_with_one_thread() -> None:
    environments = [device.to_environment() for device in assign_devices(2, ("4", "7"), memory_mib=2000)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["4", "7"]
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {"1"}
    assert {environment["SWEEPS_GPU_MEMORY_MIB"] for environment in environments} == {"2000"}
    assert "CUDA_VISIBLE_DEVICES" not in assign_devices(1, ())[0].to_environment()


def test_by_default_there_is_one_worker_per_gpu_or_per_processor_up_to_eight() -> None:
    assert default_worker_count(["a", "b", "c"]) == 3
    assert 1 <= default_worker_count([]) <= 8


def test_more_workers_than_may_share_the_gpus_are_refused() -> None:
    require_room(4, 2, ["a", "b"])
    require_room(40, 1, [])
    with pytest.raises(InputError, match="--workers-per-gpu 3"):
        require_room(5, 2, ["a", "b"])
