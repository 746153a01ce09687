"""Image files -> an image store: decoded once, in parallel, resumable, never half-written under the final name.

Images are written to `STORE.partial`. Files that cannot be decoded leave holes. When all chunks are there, the holes
are filled with rows from the end, and the folder gets its name.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sweeps.data.arrays import evenly_spaced_indices
from sweeps.data.image_cache import StoreInfo
from sweeps.data.prepare.chunks import DecodingPlan, Progress, decode_all, digest_listing
from sweeps.data.prepare.decode import WHITE, find_depth, read_image_file
from sweeps.data.prepare.layouts import LAYOUTS, Layout
from sweeps.data.prepare.listing import Listing
from sweeps.data.prepare.publish import check_skipped, publish_store
from sweeps.errors import InputError

JPEG_SUFFIXES = {".jpg", ".jpeg", ".jpe"}  # of eight bits always
DEPTH_SAMPLE = 64  # files from which the depth of the others is told


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `prepare`; see `sweeps data prepare --help`."""

    layout: Layout
    size: int
    grey: bool
    classes: int | None = None
    images_per_class: int | None = None
    processes: int = 1
    skip_limit: float = 0.01
    background: str = WHITE


def prepare(source: Path, target: Path, options: Options, progress: Progress) -> StoreInfo:
    """Make a store, or go on with one that was interrupted.

    Args:
        progress: called after each chunk with the files done, the files in all, and how many of them were left out.

    Raises:
        InputError: the source is not of this layout, too much of it is damaged, or the target cannot be written.
    """
    if target.exists():
        raise InputError(f"{target}: is there already; remove it, or give --to another name")
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; give the folder that holds the images")
    listing = LAYOUTS[options.layout](source).take_subset(options.classes, options.images_per_class)
    plan = DecodingPlan(
        source=str(source.resolve()),
        layout=options.layout,
        size=options.size,
        grey=options.grey,
        classes=len(listing.classes),
        images_per_class=options.images_per_class,
        listing_sha256=digest_listing(listing),
        background=options.background,
        depth=_find_depth(source, listing),
    )
    partial = target.with_name(f"{target.name}.partial")
    try:
        with _lock_folder(partial):
            skipped = decode_all(listing, plan, partial, processes=options.processes, progress=progress)
            check_skipped(listing, skipped, partial, limit=options.skip_limit)
            return publish_store(listing, plan, skipped, partial=partial, target=target)
    except OSError as exc:
        path = exc.filename or partial
        raise InputError(
            f"{path}: {exc.strerror or exc}; correct that and run the same command: it goes on from here"
        ) from exc


def _find_depth(source: Path, listing: Listing) -> int:
    """Return the depth of a tree's deep files, from evenly spaced ones."""
    others = [path for path, _ in listing.train if Path(path).suffix.lower() not in JPEG_SUFFIXES]
    chosen = [others[index] for index in evenly_spaced_indices(len(others), DEPTH_SAMPLE)]
    return find_depth(_read_whole_files([source / path for path in chosen]))


def _read_whole_files(paths: Sequence[Path]) -> Iterator[bytes]:
    """Yield the contents of those files that can be read."""
    for path in paths:
        with suppress(OSError, ValueError):
            yield read_image_file(path)


@contextmanager
def _lock_folder(partial: Path) -> Iterator[None]:
    """Keep a second run away from the folder within the block.

    Raises:
        InputError: another run is at work in it.
    """
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise InputError(f"{partial}: another run is at work there; let it end") from exc
        yield
