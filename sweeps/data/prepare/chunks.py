"""Decoding in chunks: each is decoded, written to its rows, and noted in `done.jsonl` once it is on the disk."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from sweeps.data.prepare.decode import DEPTHS, WHITE, decode_image, read_image_file
from sweeps.data.prepare.layouts import Layout
from sweeps.data.prepare.listing import LabelledFile, Listing
from sweeps.errors import InputError, one_line
from sweeps.files import replacing, sync_content, sync_file, write_new

CHUNK = 256  # files per task: a second of work for one process
PARENT_POLL_S = 1.0  # how often a process looks for the one that started it
POLL_S = 0.2  # how long a Ctrl-C may wait to be seen
AHEAD = 4  # tasks per process that wait; a million at once would fill the memory
HEADER = 128  # bytes of a .npy file before its data, for every shape that we write


@dataclass(frozen=True, slots=True)
class DecodingPlan:
    """The inputs and options that a store is made from; two runs with the same plan make the same store.

    Attributes:
        source: absolute path of the tree.
        size: pixels a side; grey: one channel of lightness, else three of sRGB.
        listing_sha256: of all paths, labels and class names.
        background: colour behind transparent pixels.
        depth: bits of a pixel in files of 16 bits and more.
    """

    source: str
    layout: Layout
    size: int
    grey: bool
    classes: int
    images_per_class: int | None
    listing_sha256: str
    background: str = WHITE
    depth: int = DEPTHS[-1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of one image."""
        channels = 3
        if self.grey:
            channels = 1
        return (self.size, self.size, channels)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some files of a split, from row `start` on."""

    split: str
    start: int
    files: tuple[LabelledFile, ...]


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that cannot be decoded."""

    split: str
    row: int
    reason: str


Progress = Callable[[int, int, int], None]  # files done, files in all, files left out


def digest_listing(listing: Listing) -> str:
    """Return the sha256 of a listing."""
    state = sha256(json.dumps(listing.classes).encode())
    for files in listing.by_split.values():
        state.update(b"\0")
        for path, label in files:
            state.update(f"{path}\0{label}\n".encode(errors="surrogateescape"))
    return state.hexdigest()


def decode_all(
    listing: Listing, plan: DecodingPlan, partial: Path, processes: int, progress: Progress
) -> list[SkippedFile]:
    """Decode what is not decoded yet into `partial`; return the files that had to be left out.

    Raises:
        InputError: `partial` belongs to another plan, the disk has no room, or a decoding process died.
    """
    _create_or_check_files(listing, plan, partial)
    finished, skipped = _read_journal(partial)
    total = len(listing.train) + len(listing.holdout)
    chunks = [chunk for chunk in _split_into_chunks(listing) if (chunk.split, chunk.start) not in finished]
    done = total - sum(len(chunk.files) for chunk in chunks)
    progress(done, total, len(skipped))
    with (partial / "done.jsonl").open("a", encoding="utf-8") as journal:
        for chunk, damaged in _decode_chunks(chunks, plan, partial, processes):
            rows = [(file.row, file.reason) for file in damaged]
            record = {"split": chunk.split, "start": chunk.start, "bad": rows}
            journal.write("\n" + json.dumps(record))  # the line break first: it ends a line that a crash tore
            sync_file(journal)
            done += len(chunk.files)
            skipped += damaged
            progress(done, total, len(skipped))
    return sorted(skipped, key=lambda file: (file.split, file.row))


def _split_into_chunks(listing: Listing) -> Iterator[Chunk]:
    for split, files in listing.by_split.items():
        for start in range(0, len(files), CHUNK):
            yield Chunk(split, start, files[start : start + CHUNK])


def _create_or_check_files(listing: Listing, plan: DecodingPlan, partial: Path) -> None:
    """Create the files of the images; or check that those in `partial` are of the same plan.

    Raises:
        InputError: they are of another plan, or the disk has no room.
    """
    plan_file = partial / "plan.json"
    if plan_file.exists():
        previous = {
            "background": WHITE,
            "depth": DEPTHS[-1],
            **json.loads(plan_file.read_text()),
        }  # an early version had no other
        different = [key for key, value in asdict(plan).items() if previous.get(key) != value]
        if different:
            raise InputError(f"{partial}: begun with another {', '.join(different)}; remove it, or go on as begun")
        return
    needed = (len(listing.train) + len(listing.holdout)) * int(np.prod(plan.shape))
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise InputError(f"{partial}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; make room")
    for split, files in listing.by_split.items():
        write_header(partial / f"{split}-images.npy", (len(files), *plan.shape))
    with replacing(plan_file) as new_plan_file:  # last: where it is, the other files are too
        write_new(new_plan_file, json.dumps(asdict(plan)).encode())


def write_header(path: Path, shape: tuple[int, ...]) -> None:
    """Give a file of bytes the header of a .npy file of this shape, and its size."""
    mode = "wb"
    if path.exists():
        mode = "r+b"
    with path.open(mode) as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        assert file.tell() == HEADER, "NumPy pads headers to 64 bytes and leaves room for the first axis to grow"
        file.truncate(HEADER + int(np.prod(shape)))


def _read_journal(partial: Path) -> tuple[set[tuple[str, int]], list[SkippedFile]]:
    """Return which chunks are decoded, each by its split and first row, and the files that were left out of them."""
    chunks: set[tuple[str, int]] = set()
    skipped: list[SkippedFile] = []
    journal = partial / "done.jsonl"
    if not journal.exists():
        return chunks, skipped
    for line in journal.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn by a crash: its chunk is decoded again
        chunks.add((record["split"], record["start"]))
        skipped += [SkippedFile(record["split"], row, reason) for row, reason in record["bad"]]
    return chunks, skipped


def _decode_chunks(
    chunks: Iterable[Chunk], plan: DecodingPlan, partial: Path, processes: int
) -> Iterator[tuple[Chunk, list[SkippedFile]]]:
    """Yield each chunk once it is decoded, with its files that had to be left out.

    Raises:
        InputError: a decoding process died.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if processes == 1:
        for chunk in chunks:
            yield chunk, _decode_chunk(chunk, plan, partial)
    else:
        yield from _decode_in_parallel(chunks, plan, partial, processes)


def _decode_in_parallel(
    chunks: Iterable[Chunk], plan: DecodingPlan, partial: Path, processes: int
) -> Iterator[tuple[Chunk, list[SkippedFile]]]:
    waiting = iter(chunks)
    running: dict[Future[list[SkippedFile]], Chunk] = {}
    with _count_interrupts() as interrupts, _start_pool(processes) as pool:
        try:
            while not interrupts:
                while len(running) < AHEAD * processes and (chunk := next(waiting, None)) is not None:
                    with _interrupts_blocked():  # a submission may start a process, which inherits that
                        running[pool.submit(_decode_chunk, chunk, plan, partial)] = chunk
                if not running:
                    return
                for future in wait(running, POLL_S, FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as exc:
            raise InputError("a decoding process died (out of memory?); the same command goes on from here") from exc
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    raise KeyboardInterrupt


@contextmanager
def _count_interrupts() -> Iterator[list[int]]:
    """Give a list to which each Ctrl-C appends, in place of an exception: one inside the pool's code would hang it."""
    interrupts: list[int] = []
    previous_handler = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, previous_handler)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C within the block; processes that are started there never get it, and end with the pool."""
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def _start_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of processes that end with this one, however it ends."""
    return ProcessPoolExecutor(processes, get_context("spawn"), _end_with_parent, (os.getpid(),))


def _end_with_parent(parent: int) -> None:
    """Watch from a thread whether the process that started this one is still its parent; if not, end."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _decode_chunk(chunk: Chunk, plan: DecodingPlan, partial: Path) -> list[SkippedFile]:
    """Decode the files of a chunk to their rows, which are on the disk when this returns; return those left out."""
    row_bytes = int(np.prod(plan.shape))
    rows = np.zeros((len(chunk.files), *plan.shape), np.uint8)
    skipped = []
    for index, (path, _) in enumerate(chunk.files):
        try:
            content = read_image_file(Path(plan.source, path))
            rows[index] = decode_image(content, plan.size, plan.grey, plan.background, plan.depth)
        except (OSError, ValueError) as exc:
            skipped.append(SkippedFile(chunk.split, chunk.start + index, one_line(exc)[:200]))
    with (partial / f"{chunk.split}-images.npy").open("r+b") as file:
        os.pwrite(file.fileno(), rows.data, HEADER + chunk.start * row_bytes)
        sync_content(file)
    return skipped
