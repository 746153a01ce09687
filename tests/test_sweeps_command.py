"""The `sweeps` program where the sweep engine of Weights & Biases is installed under our import name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sweeps_command


def run(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `sweeps --version` with a folder of packages before those that are installed.

    Args:
        site: the folder.
        options: of Python.
    """
    code = "import sys; sys.argv = ['sweeps', '--version']; from sweeps_command import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


def install(site: Path, *files: str) -> None:
    """Install a distribution `sweeps` with these files of a package `sweeps`, as pip records it."""
    (site / "sweeps").mkdir()
    information = site / "sweeps-0.3.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: sweeps\nVersion: 0.3.0\n")
    for file in files:
        (site / "sweeps" / file).write_text("raise ImportError('never to be imported')\n")
    (information / "RECORD").write_text("".join(f"sweeps/{file},,\n" for file in files))


def test_the_other_package_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    install(tmp_path, "__init__.py", "bayes_search.py", "run.py")
    done = run(tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pip uninstall -y sweeps" in line
    assert "optuna-sweeps" in line


def test_what_the_other_package_leaves_of_ours_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "__init__.py").touch()
    shutil.copytree(Path(sweeps_command.__file__).parent, tmp_path / "sweeps_command")
    done = run(tmp_path, "-S")  # without what is installed: an editable install of ours would supply the rest
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "pip install --force-reinstall --no-deps optuna-sweeps" in line


@pytest.mark.parametrize("files", [(), ("RECORD",)])
def test_an_older_development_install_of_ours_is_no_alarm(tmp_path: Path, files: tuple[str, ...]) -> None:
    information = tmp_path / "sweeps-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: sweeps\nVersion: 0.1.0\n")
    for file in files:
        (information / file).write_text("__editable__.sweeps-0.1.0.pth,,\n")
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
