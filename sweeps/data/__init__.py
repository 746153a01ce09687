"""Images to arrays, without TensorFlow; one file per source. A source is a function and a line in `SOURCES`."""

from collections.abc import Callable
from functools import lru_cache

from sweeps.config import DataConfig
from sweeps.data import custom
from sweeps.data.arrays import Arrays
from sweeps.data.digits import make_digit_images
from sweeps.data.image_cache import load_image_cache
from sweeps.data.procedural import make_procedural_images
from sweeps.data.tables import load_csv_table, load_diabetes_table

SOURCES: dict[str, Callable[[DataConfig, int], Arrays]] = {
    "procedural": make_procedural_images,
    "digits": make_digit_images,
    "store": load_image_cache,
    "arrays": custom.load_array_files,
    "diabetes": load_diabetes_table,
    "csv": load_csv_table,
}


@lru_cache(maxsize=2)
def load_arrays(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the data set of a study; the last two stay in memory, since the trials of a study share theirs.

    Raises:
        InputError, TrialError: the source is not there, of another kind, or has too few images.
    """
    return SOURCES.get(config.source, custom.call_user_function)(config, holdout_images)
