"""Users' own data: arrays in .npz or .npy files, or a function of theirs that returns them."""

import zlib
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


def load_array_files(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the four arrays of an .npz file, or of a folder with `train_images.npy` and so on, which are mapped; see
    `Raw`.

    Raises:
        InputError: a file or an array is missing or of another kind.
    """
    path = Path(config.path)
    try:
        if path.is_dir():
            arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r") for name in NAMES}
        else:
            arrays = _load_archive(path)
    except KeyError as exc:
        raise InputError(f"{path}: {exc.args[0]}; it must hold {', '.join(NAMES)}") from exc
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as exc:
        raise InputError(f"{path}: cannot be read ({exc}); give an .npz file or a folder of .npy files") from exc
    return assemble_arrays(Raw(**arrays), config, holdout_images, source_name=str(path))


def _load_archive(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:  # NumPy leaves it open where it is no archive
        archive = np.load(file)
        if not isinstance(archive, NpzFile):
            raise InputError(f"{path}: one array; give an .npz file with {', '.join(NAMES)}, or a folder of .npy files")
        return {name: archive[name] for name in NAMES}


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
