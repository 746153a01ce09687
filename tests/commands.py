"""The processes that tests start: what they find in PYTHONPATH, and the `sweeps` command as a person types it.

A command that needs no TensorFlow takes a second to import and a tenth of it to run. A server that has imported all
commands therefore forks a process for each that tests run; it ends with the process that started it.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
HIDDEN_PACKAGES = TESTS / "hidden_packages"
# Light commands never import these.
HEAVY = {"tensorflow", "keras", "sklearn", "optuna_dashboard"}
IMPORTED_HEAVY = 99  # the exit code of a command that did


def python_path(*folders: Path) -> str:
    """Return the PYTHONPATH of a process: these folders, then what the tests themselves have."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(HIDDEN_PACKAGES) not in inherited:
        inherited.append(str(HIDDEN_PACKAGES))
    return os.pathsep.join([*map(str, folders), *(folder for folder in inherited if folder)])


def run_sweeps(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a `sweeps` command that needs no TensorFlow, as a process of its own.

    Args:
        cwd: the folder to run it in; this process's unless given.
        environment: all of its environment; this process's unless given.
    """
    whole = dict(os.environ) if environment is None else dict(environment)
    with (
        Path(os.devnull).open() as stdin,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        files = (stdin.fileno(), stdout.fileno(), stderr.fileno())
        code = run_in_fork(server_socket(), arguments, cwd or Path.cwd(), whole, files)
        for file in (stdout, stderr):
            file.seek(0)
        done = subprocess.CompletedProcess(["sweeps", *arguments], code, stdout.read(), stderr.read())
    assert done.returncode != IMPORTED_HEAVY, done.stderr
    return done


def run_in_fork(
    path: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], files: Sequence[int]
) -> int:
    """Have the server run a command; return its exit code.

    Args:
        path: of the server's socket.
        arguments: of `sweeps`.
        cwd: the folder to run it in.
        environment: all of its environment.
        files: its standard input, output and error.
    """
    request = json.dumps([list(arguments), str(cwd), dict(environment)]).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], files)
        connection.sendall(request)
        answer = connection.recv(1)
    assert answer, "the command was killed"
    return answer[0]


@cache
def server_socket() -> str:
    """Start the server of this process, which ends with it; return the path of its socket."""
    path = f"{tempfile.mkdtemp(prefix='commands-')}/socket"
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, path],
        env={**os.environ, "PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,  # its end tells the server that this process has ended
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    atexit.register(_end, server)
    return path


def _end(server: subprocess.Popen[bytes]) -> None:
    server.communicate(timeout=10)


def _serve(path: str) -> None:
    """Answer each connection from a fork of this process, until standard input ends."""
    from sweeps.cli import app, launch

    for source in (*app.COMMANDS.values(), *launch.LaunchCommands.sources.values()):
        importlib.import_module(source.path.partition(":")[0])
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                _answer(connection)
            connection.close()
    shutil.rmtree(Path(path).parent)


def _reap() -> None:
    """Wait for the forks that have ended, so that their processor time counts as this process's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> None:
    """Run the command that a connection asks for, and end this process."""
    length, files, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as stream:
        arguments, cwd, environment = json.loads(stream.read(int.from_bytes(length, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["sweeps", *arguments]
    code = _run(cwd)
    connection.sendall(bytes([code]))
    os._exit(code)


def _run(cwd: str) -> int:
    code = 0
    try:
        os.chdir(cwd)
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
        print("a light command imported", *sorted(imported), file=sys.stderr, flush=True)
        return IMPORTED_HEAVY
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])
