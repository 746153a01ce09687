"""Small trees of real image files in the layouts that data sets are downloaded in."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sweeps.config import DataConfig
from sweeps.data.procedural import make_procedural_images


def pictures(classes: int, per_class: int, size: int = 40) -> list[list[Image.Image]]:
    """Colour pictures that a net can learn: procedural scenes, tinted."""
    config = DataConfig(classes=classes, images=classes * per_class, image_size=size)
    arrays = make_procedural_images(config, 64)
    assert isinstance(arrays.train_images, np.ndarray)
    tinted = np.concatenate([arrays.train_images, 255 - arrays.train_images, arrays.train_images // 2], axis=-1)
    return [[Image.fromarray(image) for image in tinted[arrays.train_labels == label]] for label in range(classes)]


def class_folders(root: Path, classes: int = 3, train: int = 8, holdout: int = 4, suffix: str = ".jpg") -> Path:
    """root/train/CLASS/N.jpg and root/val/CLASS/N.jpg, as in ImageNet and the easy format of Places365."""
    options: dict[str, Any] = {"quality": 95} if suffix == ".jpg" else {}
    for label, images in enumerate(pictures(classes, train + holdout)):
        for number, image in enumerate(images):
            folder = root / ("train" if number < train else "val") / f"class_{label:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number:05d}{suffix}", **options)
    return root


def places365_lists(root: Path, classes: int = 3, train: int = 8, holdout: int = 4) -> Path:
    """data_256 and val_256 beside a folder with the three lists, as Places365-Standard comes."""
    names = [f"/{'abc'[label % 3]}/place_{label:02d}/indoor" for label in range(classes)]
    lists = root / "filelist_places365-standard"
    lists.mkdir(parents=True)
    rows: dict[str, list[str]] = {"train": [], "val": []}
    for label, images in enumerate(pictures(classes, train + holdout)):
        for number, image in enumerate(images):
            if number < train:
                path, row = (
                    root / f"data_256{names[label]}/{number + 1:08d}.jpg",
                    f"{names[label]}/{number + 1:08d}.jpg",
                )
            else:
                row = f"Places365_val_{label * holdout + number - train + 1:08d}.jpg"
                path = root / "val_256" / row
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, quality=95)
            rows["train" if number < train else "val"].append(f"{row} {label}")
    (lists / "categories_places365.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
    (lists / "places365_train_standard.txt").write_text("\n".join(rows["train"]) + "\n")
    (lists / "places365_val.txt").write_text("\n".join(rows["val"]) + "\n")
    return root
