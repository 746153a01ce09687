"""Programs that stand in for others where the tests run the manual's commands, each under the name of the other.

sweeps: itself, on a net that trains in a second, with one worker; a dashboard ends once it has answered, and what is
launched in Slurm waits there.
python: that of the tests. make, pip: they look whether what is asked for is there. kubectl: itself, where it needs no
cluster.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path

import commands

ROOT = Path(__file__).parents[1]
QUICKSTART = ["model.convolutions=1", "model.stages=1", "model.width=4", "model.dense=0"]
QUICKSTART += ["full.model.stages=1", "full.model.width=4", "full.data.image_size=16"]
QUICKSTART += ["data.images=512", "data.classes=4", "data.image_size=16", "budget.holdout_images=64", "budget.steps=20"]
OTHERS = ["budget.trials=1", "space.activation=tanh"]


def sweeps(server: str, *words: str) -> int:
    """The real command, in small; forked from a server, see commands.py, where it needs no TensorFlow itself."""
    command, rest = words[0], list(words[1:])
    if command == "dashboard":
        return _dashboard()
    if command in ("run", "create", "rehearse"):
        file = next(word for word in rest if word.endswith(".toml"))
        small = QUICKSTART if "quickstart" in file else OTHERS
        if {"SWEEPS_STORAGE", "SWEEPS_STORAGE_FILE"} & set(os.environ):
            small = [*small, "budget.trials=2"]
        rest = [*(word for setting in small for word in ("--set", setting)), *rest]
    if command in ("run", "confirm") and "--create" not in rest:
        rest += ["--workers", "1"]
    if command == "launch" and "--workers" in rest:
        rest[rest.index("--workers") + 1] = "1"
    if command == "launch" and rest[0] == "local":
        rest += ["--workers", "1"]
    if command == "launch" and rest[0] == "slurm" and "--cancel" not in rest:
        rest += ["--option=--hold"]  # it is in the queue when the page cancels it, however fast the machine
    if command in ("rehearse", "worker"):
        return subprocess.run([sys.executable, "-m", "sweeps", command, *rest], check=False).returncode
    return commands.run_in_fork(server, [command, *rest], Path.cwd(), os.environ, (0, 1, 2))


def _dashboard() -> int:
    """It answers at the address that it says, and ends with Ctrl-C."""
    command = [sys.executable, "-m", "sweeps", "dashboard", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        address = served.stdout.readline().strip()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(address, timeout=60) as answer:
            assert answer.status == 200
        served.send_signal(signal.SIGINT)
        served.communicate(timeout=60)
    return 0 if served.returncode in (0, 130) else served.returncode


def make(*targets: str) -> int:
    """The Makefile has the targets."""
    text = (ROOT / "Makefile").read_text()
    missing = [target for target in targets if not re.search(rf"^{target}:", text, re.MULTILINE)]
    print("make:", *missing, file=sys.stderr)
    return len(missing)


def pip(verb: str, *words: str) -> int:
    """The project has the extras that are to be installed."""
    assert verb == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = {extra for word in words for extra in re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*)\]", word)))}
    print("pip:", *(asked - extras.keys()), file=sys.stderr)
    return len(asked - extras.keys())


def kubectl(verb: str, option: str, what: str) -> int:
    """The real one reads the manifest, or makes it of the base."""
    assert verb == "apply"
    real = shutil.which("kubectl", path=os.environ["PATH"].partition(os.pathsep)[2])
    assert real, "kubectl is not installed"
    read = ["kustomize", what] if option == "-k" else ["label", "--local", "-f", what, "a=b", "-o", "json"]
    alone = {**os.environ, "KUBECONFIG": os.devnull}
    return subprocess.run([real, *read], env=alone, check=False, stdout=subprocess.DEVNULL).returncode


PROGRAMS: dict[str, Callable[..., int]] = {"sweeps": sweeps, "make": make, "pip": pip, "kubectl": kubectl}


def install(folder: Path) -> None:
    """The programs, in a new folder that is to be the first in PATH."""
    folder.mkdir()
    interpreter, this = shlex.quote(sys.executable), shlex.quote(__file__)
    for name in ("python", *PROGRAMS):
        words = [interpreter] if name == "python" else [interpreter, this, name]
        if name == "sweeps":
            words.append(shlex.quote(commands.server_socket()))
        (folder / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (folder / name).chmod(0o755)


if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
