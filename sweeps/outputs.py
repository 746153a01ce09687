"""Files that a user names for what a command writes: written whole or not at all, in the place of none but ours."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeps.errors import InputError, explain_failed_write
from sweeps.files import replacing

GENERATOR = "sweeps report"  # marks a page as one of ours
PICTURE_MARK = "picture of sweeps"  # in the metadata of each that we draw
MARKED = 4096  # bytes at the start and at the end of a file, in which a mark is looked for


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
        raise InputError(f"{option} {path}: {explain_failed_write(exc)}") from exc


def require_marked(path: Path, mark: str, option: str) -> None:
    """Check that the file to be replaced, if there is one, was made by us; of a link, what it leads to.

    Args:
        mark: what stands in the first or last bytes of our files of this kind, as in `report of sweeps`.
        option: names the path in the message.

    Raises:
        InputError: it is another file, or no file.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{option} {path}: is no ordinary file; name one")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            ends = file.read(MARKED)
            file.seek(max(0, size - MARKED))
            ends += file.read(MARKED)
    except OSError as exc:
        raise InputError(f"{option} {path}: cannot be read ({exc.strerror or exc}); name another file") from exc
    if ends and mark.encode() not in ends:
        raise InputError(f"{option} {path}: is there and no {mark}; name another file, or remove it")
