"""Output files of a report, which are written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.errors import InputError
from sweeps.files import replacing

GENERATOR = "sweeps report"  # marks a page as one of ours
HEAD = 4096  # bytes at the start of a page, in which the mark is


def require_writable(path: Path, option: str) -> None:
    """Check, before anything is read, that a file can be created or replaced at `path`.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"{option} {path}: is no ordinary file; name one")
    with replace_file(path, option) as partial:
        partial.touch()
        partial.unlink()


@contextmanager
def replace_file(path: Path, option: str) -> Iterator[Path]:
    """Yield a path beside `path` to write a file to; at the end that file replaces the one at `path`.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with replacing(path) as partial:
            yield partial
    except OSError as exc:
        raise InputError(f"{option} {path}: cannot be written ({exc.strerror or exc}); name another file") from exc


def require_ours(path: Path, option: str) -> None:
    """Check that the file to be replaced, if there is one, is a report.

    Raises:
        InputError: it is another file.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head and GENERATOR.encode() not in head:
        raise InputError(f"{option} {path}: is there and no report of sweeps; name another file, or remove it")
