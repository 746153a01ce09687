"""The processes that tests start: what they find in PYTHONPATH, and the `sweeps` command as a person types it.

A command that needs no TensorFlow takes a second to import and a tenth of it to run. `run_sweeps` therefore forks it
from a process that has imported the commands already, once for all tests of this process.
"""

import atexit
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
FAST_START = TESTS / "fast_start"
# Light commands never import these.
HEAVY = {"tensorflow", "keras", "sklearn", "optuna_dashboard"}
IMPORTED_HEAVY = 99  # the exit code of a command that did


def python_path(*folders: Path) -> str:
    """Return the PYTHONPATH of a process: these folders, then what the tests themselves have."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(FAST_START) not in inherited:
        inherited.append(str(FAST_START))
    return os.pathsep.join([*map(str, folders), *(folder for folder in inherited if folder)])


def run_sweeps(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `sweeps` command that needs no TensorFlow, as a process of its own.

    Args:
        cwd: the folder to run it in; this process's unless given.
        environment: all of its environment; this process's unless given.
    """
    with tempfile.TemporaryDirectory(prefix="command-") as folder:
        stdout = Path(folder, "stdout")
        stderr = Path(folder, "stderr")
        request = {
            "arguments": arguments,
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ if environment is None else environment),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps(request), file=server.stdin, flush=True)
        answer = server.stdout.readline()
        assert answer, "the process that runs commands has ended"
        done = subprocess.CompletedProcess(["sweeps", *arguments], int(answer), stdout.read_text(), stderr.read_text())
    assert done.returncode != IMPORTED_HEAVY, done.stderr
    return done


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        env={**os.environ, "PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.terminate)
    return server


def _serve() -> None:
    """Run what each line of standard input asks for in a fork; answer with its exit code."""
    from sweeps.cli import app, launch

    for source in (*app.COMMANDS.values(), *launch.LaunchCommands.sources.values()):
        importlib.import_module(source.path.partition(":")[0])
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_run(request))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(request: dict[str, Any]) -> int:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["sweeps", *request["arguments"]]
    code = 0
    try:
        os.chdir(request["cwd"])
        from sweeps_command import main

        main()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:  # noqa: BLE001  a bug of ours, shown as Python shows it
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if imported := HEAVY & set(sys.modules):
        print("a light command imported", *sorted(imported), file=sys.stderr)
        return IMPORTED_HEAVY
    return code


if __name__ == "__main__":
    _serve()
