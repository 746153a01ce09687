"""The last part of preparing an image store: holes filled, checksums taken, the folder given its name."""

import os
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sweeps.data.image_cache import SPLITS, SplitInfo, StoreInfo, file_sha256
from sweeps.data.prepare.chunks import HEADER, DecodingPlan, SkippedFile, write_header
from sweeps.data.prepare.layouts import Listing
from sweeps.errors import InputError
from sweeps.files import sync_file, sync_path
from sweeps.version import __version__


def check_skipped(listing: Listing, skipped: list[SkippedFile], partial: Path, limit: float) -> None:
    """Write the report of what was left out, and refuse a store that misses too much.

    Raises:
        InputError: a larger share than `limit` was left out, or all images of a split or a training class.
    """
    files = {"train": listing.train, "holdout": listing.holdout}
    with (partial / "skipped.tsv").open("w", encoding="utf-8", errors="surrogateescape") as report:
        report.write("split\tfile\treason\n")
        report.writelines(
            f"{own_skipped.split}\t{files[own_skipped.split][own_skipped.row][0]}\t{own_skipped.reason}\n"
            for own_skipped in skipped
        )
    total = len(listing.train) + len(listing.holdout)
    if len(skipped) > limit * total:
        raise InputError(
            f"{len(skipped)} of {total} files cannot be decoded, more than --skip-limit {limit:g}; "
            f"{partial / 'skipped.tsv'} lists them; mend the files' source, or raise the limit and run again"
        )
    for split in SPLITS:
        left = Counter(label for _, label in files[split])
        left.subtract(files[split][this_skipped.row][1] for this_skipped in skipped if this_skipped.split == split)
        if not left.total():
            raise InputError(f"no {split} image can be decoded; {partial / 'skipped.tsv'} says why")


def publish_store(listing: Listing, plan: DecodingPlan, skipped: list[SkippedFile], partial: Path, target: Path) -> StoreInfo:
    """Turn a folder in which all is decoded into a store. Interrupted, it can be run again.

    Raises:
        InputError: `target` came into being meanwhile.
    """
    splits = {}
    for split, files in zip(SPLITS, (listing.train, listing.holdout), strict=True):
        bad = {own_skipped.row for own_skipped in skipped if own_skipped.split == split}
        images = partial / f"{split}-images.npy"
        labels = partial / f"{split}-labels.npy"
        source = _fill_holes(images, len(files), bad, plan)
        np.save(labels, np.array([files[row][1] for row in source], np.int32))
        sync_path(labels)
        splits[split] = SplitInfo(len(source), file_sha256(images), file_sha256(labels))
    origin = {
        **asdict(plan),
        "skipped": len(skipped),
        "empty_classes": list(listing.empty),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sweeps": __version__,
    }
    info = StoreInfo(plan.shape, listing.classes, splits, origin)
    (partial / "store.json").write_text(info.to_json())
    sync_path(partial / "store.json")
    try:
        partial.rename(target)
    except OSError as exc:
        raise InputError(f"{target}: {exc.strerror or exc}; {partial} is complete, move it yourself") from exc
    for leftover in ("plan.json", "done.jsonl", "lock"):  # needed until now: a crash before the rename is gone on from
        (target / leftover).unlink()
    return info


def _fill_holes(path: Path, count: int, bad: set[int], plan: DecodingPlan) -> list[int]:
    """Move rows from the end into the holes and cut the file; which file's row each row now is.

    Sources lie beyond the new end and are not overwritten, so that doing it twice does no harm.
    """
    kept = count - len(bad)
    spare = [row for row in range(kept, count) if row not in bad]
    source = list(range(kept))
    row_bytes = int(np.prod(plan.shape))
    with path.open("r+b") as file:
        whole = os.fstat(file.fileno()).st_size == HEADER + count * row_bytes
        for hole, row in zip(sorted(hole for hole in bad if hole < kept), spare, strict=True):
            source[hole] = row
            if whole:  # else it was cut before, after all rows were moved
                moved = os.pread(file.fileno(), row_bytes, HEADER + row * row_bytes)
                os.pwrite(file.fileno(), moved, HEADER + hole * row_bytes)
        sync_file(file)
    write_header(path, (kept, *plan.shape))
    sync_path(path)
    return source
