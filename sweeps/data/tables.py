"""Tables of numbers with a target to predict: CSV files, and scikit-learn's diabetes table."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.assemble import advise_holdout, assemble_arrays
from sweeps.data.csv_files import read_number_table
from sweeps.data.raw import Raw
from sweeps.errors import InputError


def load_csv_table(config: DataConfig, holdout_images: int) -> Arrays:
    """Read rows of numbers, the target in the last column; see `read_number_table` for the forms that are understood.

    Of a classification the last column may hold the names of the classes.

    `config.seed` decides which rows are held out.

    Raises:
        InputError: no such file, something that is no number, or too few rows or columns.
    """
    path = Path(config.path)
    table = read_number_table(path, may_end_in_words=config.task == "classification")
    columns = table.numbers.shape[1] + bool(table.words)
    if columns < 2:
        raise InputError(f"{path}: one column; write the features and, in the last column, the target of each row")
    count = len(table.numbers)
    if count <= holdout_images:
        advice = advise_holdout(count // 2)
        raise InputError(f"{path}: {count} rows, of which {holdout_images} are to be held out; {advice}")
    rows = table.numbers
    target: NDArray[Any] = np.array(table.words)
    names = table.names
    if not table.words:
        target = rows[:, -1]
        rows = rows[:, :-1]
        names = names[:-1]
    raw = Raw.split_at_random(rows, target, holdout_images, seed=config.seed, columns=names)
    return assemble_arrays(raw, config, holdout_images, source_name=str(path))


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
