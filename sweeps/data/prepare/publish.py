"""The last part of preparing an image store: holes filled, checksums taken, the folder given its name."""

import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sweeps.data.image_cache import SplitInfo, StoreInfo, file_sha256
from sweeps.data.prepare.chunks import HEADER, DecodingPlan, SkippedFile, write_header
from sweeps.data.prepare.listing import Listing
from sweeps.errors import InputError
from sweeps.files import sync_file, sync_path
from sweeps.version import __version__


def check_skipped(listing: Listing, skipped: list[SkippedFile], partial: Path, limit: float) -> None:
    """Write the report of what was left out, and refuse a store that misses too much.

    Raises:
        InputError: a larger share than `limit` was left out, or all images of a split.
    """
    with (partial / "skipped.tsv").open("w", encoding="utf-8", errors="surrogateescape") as report:
        report.write("split\tfile\treason\n")
        for file in skipped:
            path, _ = listing.by_split[file.split][file.row]
            report.write(f"{file.split}\t{path}\t{file.reason}\n")
    total = len(listing.train) + len(listing.holdout)
    if len(skipped) > limit * total:
        raise InputError(
            f"{len(skipped)} of {total} files cannot be decoded, more than --skip-limit {limit:g}; "
            f"{partial / 'skipped.tsv'} lists them; repair the files, or raise the limit, and run again"
        )
    for split, files in listing.by_split.items():
        if sum(file.split == split for file in skipped) == len(files):
            raise InputError(f"no {split} image can be decoded; {partial / 'skipped.tsv'} says why")


def publish_store(
    listing: Listing, plan: DecodingPlan, skipped: list[SkippedFile], partial: Path, target: Path
) -> StoreInfo:
    """Turn a folder in which all is decoded into a store. Interrupted, it can be run again.

    Raises:
        InputError: `target` came into being meanwhile.
    """
    splits = {}
    for split, files in listing.by_split.items():
        holes = {file.row for file in skipped if file.split == split}
        images = partial / f"{split}-images.npy"
        labels = partial / f"{split}-labels.npy"
        file_rows = _fill_holes(images, len(files), holes, plan)
        np.save(labels, np.array([files[row][1] for row in file_rows], np.int32))
        sync_path(labels)
        splits[split] = SplitInfo(len(file_rows), file_sha256(images), file_sha256(labels))
    origin = asdict(plan) | {
        "skipped": len(skipped),
        "empty_classes": list(listing.empty),
        "without_holdout": list(listing.without_holdout),
        "other_files": dict(listing.other_files),
        "left_out": list(listing.left_out),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sweeps": __version__,
    }
    info = StoreInfo(shape=plan.shape, classes=listing.classes, splits=splits, origin=origin)
    (partial / "store.json").write_text(info.to_json())
    sync_path(partial / "store.json")
    try:
        partial.rename(target)
    except OSError as exc:
        raise InputError(f"{target}: {exc.strerror or exc}; {partial} is complete, move it yourself") from exc
    for leftover in ("plan.json", "done.jsonl", "lock"):  # after a crash before the rename, the next run needs them
        (target / leftover).unlink()
    return info


def _fill_holes(path: Path, count: int, holes: set[int], plan: DecodingPlan) -> list[int]:
    """Move rows from the end into the holes and cut the file; return for each row that is left where it came from.

    Rows that are moved lie beyond the new end and are not overwritten, so that doing it twice does no harm.
    """
    new_count = count - len(holes)
    holes_to_fill = sorted(hole for hole in holes if hole < new_count)
    rows_to_move = [row for row in range(new_count, count) if row not in holes]
    file_rows = list(range(new_count))
    row_bytes = int(np.prod(plan.shape))
    with path.open("r+b") as file:
        is_whole = os.fstat(file.fileno()).st_size == HEADER + count * row_bytes
        for hole, row in zip(holes_to_fill, rows_to_move, strict=True):
            file_rows[hole] = row
            if is_whole:  # else it was cut before, after all rows were moved
                content = os.pread(file.fileno(), row_bytes, HEADER + row * row_bytes)
                os.pwrite(file.fileno(), content, HEADER + hole * row_bytes)
        sync_file(file)
    write_header(path, (new_count, *plan.shape))
    sync_path(path)
    return file_rows
