"""Tables of numbers with a target to predict: CSV files, and scikit-learn's diabetes table."""

from pathlib import Path

import numpy as np

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.assemble import Raw, assemble_arrays
from sweeps.errors import InputError, one_line


def load_csv_table(config: DataConfig, holdout_images: int) -> Arrays:
    """Read rows of numbers separated by commas, the target in the last column; a first line with names is skipped.

    `config.seed` decides which rows are held out.

    Raises:
        InputError: no such file, something that is no number, or too few rows.
    """
    path = Path(config.path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        table = np.loadtxt(lines[_count_header_lines(lines) :], delimiter=",", ndmin=2)
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: not a table of numbers ({one_line(exc)}); write rows of numbers and commas") from exc
    if table.shape[1] < 2 or len(table) <= holdout_images:
        raise InputError(f"{path}: {table.shape[0]} rows of {table.shape[1]} columns; lower budget.holdout_images")
    target = table[:, -1]
    if config.task == "classification" and np.array_equal(target, target.astype(np.int64)):
        target = target.astype(np.int64)
    raw = Raw.split_at_random(table[:, :-1], target, holdout_images, seed=config.seed)
    return assemble_arrays(raw, config, holdout_images, source_name=str(path))


def _count_header_lines(lines: list[str]) -> int:
    """Return how many lines of names come first: 1 if the first line holds something that is no number."""
    try:
        for cell in lines[0].split(","):
            float(cell)
    except (ValueError, IndexError):
        return 1
    return 0


def load_diabetes_table(config: DataConfig, holdout_images: int) -> Arrays:
    """Return scikit-learn's diabetes data: 442 patients, 10 measures, and the progress of the disease in a year (Efron
    et al. 2004); nothing is downloaded.

    `config.seed` decides which rows are held out.

    Raises:
        InputError: fewer rows than asked for.
    """
    from sklearn.datasets import load_diabetes  # here, since only this source needs it and it takes a second

    rows, target = load_diabetes(return_X_y=True, scaled=False)
    raw = Raw.split_at_random(rows, target, holdout_images, seed=config.seed)
    return assemble_arrays(raw, config, holdout_images, source_name="diabetes")
