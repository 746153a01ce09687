"""Files that are written whole or not at all, also by processes that are killed."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sweeps.errors import InputError
from sweeps.files import creating_folder, replacing, temporary_folder
from sweeps.outputs import require_marked

KILLED = """
import os, signal, sys
from pathlib import Path
from sweeps.files import creating_folder, replacing, temporary_folder

target = Path(sys.argv[1])
if sys.argv[2] == "file":
    with replacing(target) as partial:
        partial.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "temporary":
    with temporary_folder(target.name) as folder:
        (folder / "first").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
with creating_folder(target) as partial:
    (partial / "first").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder", "temporary"])
def test_what_a_killed_process_left_is_cleared_by_the_next(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    target = tmp_path / "page"
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(target), kind], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1, "the second cleared what the first left"
    other = tmp_path / "other"
    with replacing(other) as partial:
        partial.write_text("whole")
    assert len(list(tmp_path.iterdir())) == 2, "what others left of other files is theirs"
    if kind == "file":
        with replacing(target) as partial:
            partial.write_text("whole")
        assert target.read_text() == "whole"
    elif kind == "temporary":
        with temporary_folder("page") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            target.write_text("whole")
    else:
        with creating_folder(target) as partial:
            (partial / "first").write_text("whole")
        assert (target / "first").read_text() == "whole"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other", "page"]


def test_what_a_living_process_writes_stays(tmp_path: Path) -> None:
    target = tmp_path / "page"
    with replacing(target) as first:
        first.write_text("first")
        with replacing(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"


def test_a_mark_at_either_end_says_whose_a_file_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    require_marked(path, "ours", "--to")
    for content in (b"", b"ours" + b"x" * 10_000, b"x" * 10_000 + b"ours"):
        path.write_bytes(content)
        require_marked(path, "ours", "--to")
    path.write_bytes(b"x" * 10_000 + b"ours" + b"x" * 10_000)
    with pytest.raises(InputError, match="no ours"):
        require_marked(path, "ours", "--to")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no ordinary file"):
        require_marked(tmp_path / "pipe", "ours", "--to")
