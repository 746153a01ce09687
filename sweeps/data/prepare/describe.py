"""The description of an image store: counts, balance, mean and spread, sample pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sweeps.data.arrays import evenly_spaced_indices
from sweeps.data.image_cache import SPLITS, StoreInfo, file_sha256, open_split

SAMPLED = 10_000  # images, evenly spaced, for mean and spread: all of Places365 would take minutes
PICTURE_CLASSES = 12
PICTURE_IMAGES = 8


def describe_store(store: Path) -> dict[str, Any]:
    """Return a store in numbers, for a table or as JSON; mean and spread with black as 0 and white as 1.

    Raises:
        InputError: there is no whole store.
    """
    info = StoreInfo.read_from(store)
    description: dict[str, Any] = {
        "path": str(store),
        "height": info.shape[0],
        "width": info.shape[1],
        "channels": info.shape[2],
        "classes": len(info.classes),
        "bytes": sum(path.stat().st_size for path in store.glob("*.npy")),
    }
    for split in SPLITS:
        description[split] = _describe_split(store, info, split)
    description["origin"] = info.origin
    return description


def _describe_split(store: Path, info: StoreInfo, split: str) -> dict[str, Any]:
    images, labels = open_split(store, info, split)
    counts = np.bincount(labels, minlength=len(info.classes))
    shares = counts[counts > 0] / counts.sum()
    sample = images[evenly_spaced_indices(len(images), SAMPLED)]
    channels = sample.reshape(-1, info.shape[2])
    return {
        "images": len(images),
        "fewest_of_a_class": int(counts.min()),
        "fewest_class": info.classes[int(counts.argmin())],
        "most_of_a_class": int(counts.max()),
        "most_class": info.classes[int(counts.argmax())],
        "chance_top1": float(shares.max()),
        "entropy": float(-(shares * np.log(shares)).sum()),
        "mean": [round(float(value) / 255, 4) for value in channels.mean(axis=0)],
        "spread": [round(float(value) / 255, 4) for value in channels.std(axis=0)],
    }


def damaged_files(store: Path) -> list[str]:
    """Return the files whose checksum is not the one in `store.json`."""
    info = StoreInfo.read_from(store)
    checksums = {}
    for name, split in info.splits.items():
        checksums[f"{name}-images.npy"] = split.sha256_images
        checksums[f"{name}-labels.npy"] = split.sha256_labels
    return [name for name, checksum in checksums.items() if file_sha256(store / name) != checksum]


def draw_samples(store: Path) -> Image.Image:
    """Return a sheet of training images: a row per class, classes evenly spaced over the store."""
    info = StoreInfo.read_from(store)
    images, labels = open_split(store, info, "train")
    rows = []
    for label in evenly_spaced_indices(len(info.classes), PICTURE_CLASSES):
        members = np.flatnonzero(labels == label)[:PICTURE_IMAGES]
        rows.append(_draw_row(images[members], info.shape))
    sheet = np.concatenate(rows, axis=0)
    if sheet.shape[-1] == 1:
        sheet = sheet[..., 0]
    return Image.fromarray(sheet)


def _draw_row(images: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Place images side by side, with a white line around each; missing ones are white."""
    row = np.full((PICTURE_IMAGES, shape[0] + 2, shape[1] + 2, shape[2]), 255, np.uint8)
    row[: len(images), 1:-1, 1:-1] = images
    return row.transpose(1, 0, 2, 3).reshape(shape[0] + 2, -1, shape[2])
