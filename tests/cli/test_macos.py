"""A sweep where nothing that only Linux has is there: what a laptop with macOS runs."""

import os
import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from image_trees import class_folders
from servers import absent

WITHOUT_LINUX = Path(__file__).parents[1] / "without_linux"


def sweeps(folder: Path, *arguments: str) -> str:
    """Run a command where Linux's own functions are hidden; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "sweeps", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(WITHOUT_LINUX)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_functions_are_hidden(tmp_path: Path) -> None:
    if sys.platform != "linux":
        absent("nothing to hide: this is not Linux")
    code = """
import ctypes, os, pathlib
assert not hasattr(os, "sched_getaffinity")
assert not hasattr(os, "fdatasync")
assert not hasattr(ctypes.CDLL(None), "prctl")
try:
    pathlib.Path("/proc/self/stat").read_text()
except FileNotFoundError:
    print("hidden")
"""
    environment = {**os.environ, "PYTHONPATH": str(WITHOUT_LINUX)}
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "hidden\n"


def test_images_are_prepared(tmp_path: Path) -> None:
    class_folders(tmp_path / "tree", classes=2, train=4, holdout=2)
    sweeps(tmp_path, "data", "prepare", "tree", "--to", "prepared", "--layout", "folders", "--size", "16", "--grey")
    assert "train" in sweeps(tmp_path, "data", "info", "prepared")


@pytest.mark.tensorflow
def test_a_sweep_is_run_reported_on_and_exported(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(fakes.TINY)
    assert "tiny: 2 of 2 trials" in sweeps(tmp_path, "run", "tiny.toml", "--set", "budget.trials=2")
    sweeps(tmp_path, "report", "tiny")
    assert (tmp_path / "report.html").is_file()
    sweeps(tmp_path, "export", "tiny", "--trial", "0", "--to", "exported")
    assert list((tmp_path / "exported").glob("*.toml"))
