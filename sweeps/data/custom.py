"""Users' own data: arrays in .npz or .npy files, or a function of theirs that returns them."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.assemble import assemble_arrays
from sweeps.data.raw import Raw
from sweeps.errors import InputError
from sweeps.imports import load_function

NAMES = ("train_images", "train_labels", "holdout_images", "holdout_labels")
# As others call them; of several hold-out sets the first of these is taken.
INPUT_WORDS = ("images", "x", "X", "data", "inputs", "features")
LABEL_WORDS = ("labels", "y", "Y", "targets", "target")
HOLDOUT_WORDS = ("holdout", "val", "valid", "validation", "dev", "test", "eval")


def load_array_files(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the arrays of an .npz file, or of a folder with `train_images.npy` and so on, which are mapped; see `Raw`.

    They may have other usual names, such as `x_train` and `y_test`. Where there are `x` and `y` alone, the
    config's seed decides which are held out.

    Raises:
        InputError: a file or an array is missing or of another kind.
    """
    path = Path(config.path)
    try:
        if path.is_dir():
            names = [file.stem for file in path.glob("*.npy")]
            arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in _choose_names(names, path)}
        else:
            arrays = _load_archive(path)
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as exc:
        raise InputError(f"{path}: cannot be read ({exc}); give an .npz file or a folder of .npy files") from exc
    parts = list(arrays.values())
    if len(parts) == len(NAMES):
        raw = Raw(*parts)
    elif len(parts[0]) != len(parts[1]):
        raise InputError(f"{path}: {len(parts[0])} inputs and {len(parts[1])} labels; give one label for each")
    else:
        raw = Raw.split_at_random(parts[0], parts[1], holdout_images, config.seed)
    return assemble_arrays(raw, config, holdout_images, source_name=str(path))


def _load_archive(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:  # NumPy leaves it open where it is no archive
        archive = np.load(file)
        if not isinstance(archive, NpzFile):
            raise InputError(f"{path}: one array; give an .npz file with {', '.join(NAMES)}, or a folder of .npy files")
        return {name: archive[name] for name in _choose_names(archive.files, path)}


def _choose_names(there: Sequence[str], path: Path) -> list[str]:
    """Return the names of the arrays to take: four, as `NAMES` has them, or inputs and labels alone.

    Raises:
        InputError: there are no such arrays.
    """
    holdout = [part for part in HOLDOUT_WORDS if _find_name(there, INPUT_WORDS, part)]
    parts = ["train", *holdout[:1]] if holdout else [""]
    chosen = [_find_name(there, words, part) for part in parts for words in (INPUT_WORDS, LABEL_WORDS)]
    if all(chosen):
        return chosen
    raise InputError(
        f"{path}: holds {', '.join(sorted(there)) or 'no array'}; it must hold {', '.join(NAMES)}, or x_train, "
        "y_train, x_test, y_test, or x and y"
    )


def _find_name(there: Sequence[str], words: Sequence[str], part: str) -> str:
    """Return the first of the names that say these inputs or labels of this part; empty without one."""
    for word in words:
        for name in (f"{part}_{word}", f"{word}_{part}") if part else (word,):
            if name in there:
                return name
    return ""


def call_user_function(config: DataConfig, holdout_images: int) -> Arrays:
    """Return what the user's function at `config.source` makes of this table: a `Raw`, or four arrays in its order.

    Raises:
        InputError: it cannot be found, or returns something else.
    """
    result = load_function(config.source)(config, holdout_images)
    if not isinstance(result, Raw):
        if not isinstance(result, tuple) or len(result) != len(NAMES):
            raise InputError(f"{config.source}: returned {type(result).__name__}; return {', '.join(NAMES)}")
        arrays: dict[str, Any] = {name: np.asarray(array) for name, array in zip(NAMES, result, strict=True)}
        result = Raw(**arrays)
    return assemble_arrays(result, config, holdout_images, source_name=config.source)
