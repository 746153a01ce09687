"""Where a study's files lie: a folder, or a bucket of an object store, named by one string."""

import fcntl
import io
import os
import re
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from sweeps.artifacts.buckets import BUCKETS, BucketStore
from sweeps.errors import InputError, NoSpaceError, is_full, one_line
from sweeps.files import sync_file, sync_folder

if TYPE_CHECKING:
    from sweeps.optuna_private import ArtifactStore

BESIDE = ".artifacts"  # how the folder beside a SQLite file ends
OF_OTHERS = 0o077  # rights of a file that are not its owner's
PARTIAL = ".partial-"  # how the name of a file starts that is being written
WRITTEN = "write a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"


class ArtifactLocation(Protocol):
    """Files by name; a name may have folders, separated by `/`."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or put it in the place of the one that is there: whole or not at all.

        Raises:
            OSError: it cannot be written; what was there is as it was.
            ValueError: no name of a file in this place.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """Return the content as it was last written; None where there is none.

        Raises:
            OSError: it cannot be read.
            ValueError: no name of a file in this place.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if there is one.

        Raises:
            OSError: it cannot be removed.
            ValueError: no name of a file in this place.
        """
        ...


def artifact_location(where: str) -> ArtifactLocation:
    """Return the place at a path, `file:///PATH`, `s3://BUCKET[/PREFIX]` or `gs://BUCKET[/PREFIX]`.

    Nothing is made, nor is a bucket asked, before something is written or read.

    Raises:
        InputError: no such notation, a file instead of a folder, the bucket's client is not installed or not set up.
    """
    scheme, rest = _split_scheme(where)
    if scheme in BUCKETS:
        return Bucket(_bucket_location(scheme, rest))
    return Folder(_folder_location(rest))


def artifact_store(where: str) -> "ArtifactStore":
    """Return the same place for Optuna's artifacts, such as the pictures that optuna-dashboard shows; a folder is
    made.

    Raises:
        InputError: as `artifact_location`.
        OSError: the folder cannot be made.
    """
    scheme, rest = _split_scheme(where)
    if scheme in BUCKETS:
        return _bucket_location(scheme, rest)
    from optuna.artifacts import FileSystemArtifactStore  # noqa: PLC0415  imports every client that is installed

    folder = _folder_location(rest)
    _make_root(folder)
    return FileSystemArtifactStore(folder)


def require_writable_location(where: str) -> None:
    """Make sure that a checkpoint could be written and removed there; nothing is left but the folder.

    Raises:
        InputError: it could not; or as `artifact_location`.
        NoSpaceError: its disk is full, which goes away by itself.
    """
    found = artifact_location(where)
    name = f"checkpoints/probe-{uuid4().hex}"
    try:
        found.write(name, b"probe")
        found.remove(name)
    except OSError as exc:
        if is_full(exc):
            raise NoSpaceError(f"{where}: no space is left there for checkpoints; make some") from exc
        raise InputError(
            f"{where}: no checkpoint can be kept there ({one_line(exc)}); name another place with --artifacts"
        ) from exc


class Folder:
    """A place in the file system; several processes, also of several machines, may use it at the same time.

    A file that is being written is locked until it has its name, so that whoever writes that name next knows what a
    killed process left, and clears it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: bytes) -> None:
        """Write a file as a whole; when this returns, the content has reached the disk."""
        path = self._path_of(name)
        self._make_folder(path.parent)
        _clear_partials(path)
        file, partial = _begin_partial(path)
        with file:
            try:
                file.write(content)
                sync_file(file)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        sync_folder(path.parent)

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None where there is no such file."""
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return self._path_of(name).read_bytes()
        return None

    def remove(self, name: str) -> None:
        """Remove a file, and what killed writers left of it."""
        path = self._path_of(name)
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
        _clear_partials(path)

    def _path_of(self, name: str) -> Path:
        return self.path.joinpath(*_checked_name(name).split("/"))

    def _make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
        _make_root(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            sync_folder(path.parent)


def _make_root(folder: Path) -> None:
    """Make the folder of a store's artifacts, if it is not there; beside a SQLite file that its owner alone may read it
    is as private.
    """
    mode = 0o777
    store_file = folder.with_suffix("")
    if folder.suffix == BESIDE and store_file.is_file() and not store_file.stat().st_mode & OF_OTHERS:
        mode = 0o700
    folder.mkdir(mode, parents=True, exist_ok=True)


class Bucket:
    """A place in an object store, where writing is whole or not at all by itself."""

    def __init__(self, store: "ArtifactStore") -> None:
        self._store = store

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        self._store.write(_checked_name(name), io.BytesIO(content))

    def read(self, name: str) -> bytes | None:
        """Return an object's content; None where there is no such object."""
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        with suppress(ArtifactNotFound), self._store.open_reader(_checked_name(name)) as file:
            return file.read()
        return None

    def remove(self, name: str) -> None:
        """Remove an object."""
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        with suppress(ArtifactNotFound):
            self._store.remove(_checked_name(name))


def _split_scheme(where: str) -> tuple[str, str]:
    """Scheme and the rest; `file` where there is no scheme.

    What is wrong is not quoted: people write passwords into URLs.
    """
    if not where.strip() or "\0" in where or "%00" in where:
        raise InputError(f"no place for files; {WRITTEN}")
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", where)
    if match is None:
        return "file", where
    scheme = match[1].lower()
    rest = where[match.end() :]
    if scheme not in BUCKETS and scheme != "file":
        raise InputError(f"{scheme}:// is no place for files; {WRITTEN}")
    if scheme != "file":
        return scheme, rest
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise InputError("file:// of another machine, or of no full path; write file:///FULL/PATH or the path alone")
    return scheme, os.fsdecode(unquote_to_bytes(f"/{path}"))


def _folder_location(text: str) -> Path:
    path = Path(text).absolute()  # the user's code may change the working directory
    try:
        usable = path.is_dir() or not path.exists()
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: no folder that can be used ({type(exc).__name__}); name another") from exc
    if not usable:
        raise InputError(f"{path}: a file, not a folder; name a folder")
    return path


def _bucket_location(scheme: str, rest: str) -> BucketStore:
    bucket, _, prefix = rest.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]+", bucket) or re.search(r"[?#]", prefix):
        raise InputError(f"{scheme}://: no bucket, or more than a bucket and a prefix; {WRITTEN}")
    return BucketStore(scheme, bucket, _checked_prefix(scheme, prefix) if prefix.strip("/") else "")


def _checked_prefix(scheme: str, prefix: str) -> str:
    try:
        return _checked_name(prefix.strip("/"))
    except ValueError as exc:
        raise InputError(f"{scheme}://: {exc} as a prefix; {WRITTEN}") from exc


def _checked_name(name: str) -> str:
    """Return a name that stays inside its place.

    Raises:
        ValueError: it does not, or is kept for files that are being written.
    """
    for part in name.split("/"):
        if part in ("", ".", "..") or "\0" in part or part.startswith(PARTIAL):
            raise ValueError(f"{name!r} is no name of a file in a place")
    return name


def _partial_pattern(path: Path) -> str:
    """Return how the partial files of this one start: of a length that any file system takes."""
    return f"{PARTIAL}{blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}-"


def _begin_partial(path: Path) -> tuple[BinaryIO, Path]:
    """Return a new partial file, locked while it is open wherever the file system has locks."""
    while True:
        partial = path.with_name(f"{_partial_pattern(path)}{uuid4().hex}")
        file = partial.open("xb")
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file, partial
        file.close()  # cleared by another writer between its making and its lock


def _clear_partials(path: Path) -> None:
    """Remove the partial files that nobody is writing: those whose lock is free."""
    for partial in path.parent.glob(f"{_partial_pattern(path)}*"):
        with suppress(OSError), partial.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()
