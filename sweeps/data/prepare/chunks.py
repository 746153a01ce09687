"""Decoding in chunks: each is decoded, written to its rows, and noted in `done.jsonl` once it is on the disk."""

import json
import os
import shutil
import signal
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

from sweeps.data.image_cache import SPLITS
from sweeps.data.prepare.decode import decode_image
from sweeps.data.prepare.layouts import LabelledFile, Layout, Listing
from sweeps.errors import InputError, one_line
from sweeps.files import sync_content, sync_file

CHUNK = 256  # files per task: a second of work for one process
POLL_S = 0.2  # how long a Ctrl-C may wait to be seen
AHEAD = 4  # tasks per process that wait; a million at once would fill the memory
HEADER = 128  # bytes of a .npy file before its data, for every shape that we write


@dataclass(frozen=True, slots=True)
class DecodingPlan:
    """What a store is made of; two runs with the same plan make the same store.

    Attributes:
        source: absolute path of the tree.
        size: pixels a side; grey: one channel of lightness, else three of sRGB.
        listing_sha256: of all paths, labels and class names.
    """

    source: str
    layout: Layout
    size: int
    grey: bool
    classes: int
    images_per_class: int | None
    listing_sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of one image."""
        return (self.size, self.size, 1 if self.grey else 3)


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
    for files in (listing.train, listing.holdout):
        state.update(b"\0")
        for path, label in files:
            state.update(f"{path}\0{label}\n".encode(errors="surrogateescape"))
    return state.hexdigest()


def decode_all(listing: Listing, plan: DecodingPlan, partial: Path, processes: int, progress: Progress) -> list[SkippedFile]:
    """Decode what is not decoded yet into `partial`, and say what had to be left out.

    Raises:
        InputError: `partial` belongs to another plan, the disk has no room, or a decoding process died.
    """
    _create_or_check_files(listing, plan, partial)
    finished, skipped = _read_journal(partial)
    chunks = [
        Chunk(split, start, files[start : start + CHUNK])
        for split, files in zip(SPLITS, (listing.train, listing.holdout), strict=True)
        for start in range(0, len(files), CHUNK)
    ]
    total = sum(len(chunk.files) for chunk in chunks)
    left = [chunk for chunk in chunks if (chunk.split, chunk.start) not in finished]
    done = total - sum(len(chunk.files) for chunk in left)
    progress(done, total, len(skipped))
    with (partial / "done.jsonl").open("a", encoding="utf-8") as journal:
        for chunk, bad in _decode_chunks(left, plan, partial, processes):
            record = {"split": chunk.split, "start": chunk.start, "bad": [(b.row, b.reason) for b in bad]}
            journal.write("\n" + json.dumps(record))  # the line break first: it ends a line that a crash tore
            sync_file(journal)
            done += len(chunk.files)
            skipped += bad
            progress(done, total, len(skipped))
    return sorted(skipped, key=lambda own_skipped: (own_skipped.split, own_skipped.row))


def _create_or_check_files(listing: Listing, plan: DecodingPlan, partial: Path) -> None:
    """Lay out the files, or find them as the same plan left them."""
    plan_file = partial / "plan.json"
    if plan_file.exists():
        before = json.loads(plan_file.read_text())
        different = [key for key, value in asdict(plan).items() if before.get(key) != value]
        if different:
            raise InputError(f"{partial}: begun with another {', '.join(different)}; remove it, or go on as begun")
        return
    counts = {"train": len(listing.train), "holdout": len(listing.holdout)}
    needed = sum(counts.values()) * int(np.prod(plan.shape))
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise InputError(f"{partial}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; make room")
    for split, count in counts.items():
        write_header(partial / f"{split}-images.npy", (count, *plan.shape))
    plan_file.with_suffix(".tmp").write_text(json.dumps(asdict(plan)))
    plan_file.with_suffix(".tmp").rename(plan_file)  # last: without it the folder has no beginning


def write_header(path: Path, shape: tuple[int, ...]) -> None:
    """Give a file of bytes the header of a .npy file of this shape, and its size."""
    with path.open("r+b" if path.exists() else "wb") as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        assert file.tell() == HEADER, "NumPy pads headers to 64 bytes and leaves room for the first axis to grow"
        file.truncate(HEADER + int(np.prod(shape)))


def _read_journal(partial: Path) -> tuple[set[tuple[str, int]], list[SkippedFile]]:
    chunks: set[tuple[str, int]] = set()
    skipped: list[SkippedFile] = []
    journal = partial / "done.jsonl"
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
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
    if processes == 1:
        yield from ((chunk, _decode_chunk(chunk, plan, partial)) for chunk in chunks)
        return
    waiting = iter(chunks)
    running: dict[Future[list[SkippedFile]], Chunk] = {}
    with _ctrl_c_between_chunks() as asked, ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        try:
            while not asked:
                while len(running) < AHEAD * processes and (chunk := next(waiting, None)) is not None:
                    with _deaf_to_ctrl_c():  # a submission may start a process, which inherits that
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
def _ctrl_c_between_chunks() -> Iterator[list[int]]:
    """Give a list that fills when Ctrl-C is pressed. An exception inside the pool's own code would hang it."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C for later, and from processes that are started meanwhile: those for good; they end with the pool."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _decode_chunk(chunk: Chunk, plan: DecodingPlan, partial: Path) -> list[SkippedFile]:
    """Decode some files to their rows; they are on the disk when this returns."""
    row_bytes = int(np.prod(plan.shape))
    rows = np.zeros((len(chunk.files), *plan.shape), np.uint8)
    skipped = []
    for index, (path, _) in enumerate(chunk.files):
        try:
            rows[index] = decode_image(Path(plan.source, path).read_bytes(), plan.size, plan.grey)
        except (OSError, ValueError) as exc:
            skipped.append(SkippedFile(chunk.split, chunk.start + index, one_line(exc)[:200]))
    with (partial / f"{chunk.split}-images.npy").open("r+b") as file:
        os.pwrite(file.fileno(), rows.data, HEADER + chunk.start * row_bytes)
        sync_content(file)
    return skipped
