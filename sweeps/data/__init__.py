"""Images to arrays, without TensorFlow; one file per source. A source is a function and a line in `SOURCES`."""

from collections.abc import Callable
from functools import lru_cache

from sweeps.config import DataConfig
from sweeps.data import custom
from sweeps.data.arrays import Arrays
from sweeps.data.digits import digits
from sweeps.data.image_cache import store
from sweeps.data.procedural import procedural
from sweeps.data.tables import csv, diabetes

SOURCES: dict[str, Callable[[DataConfig, int], Arrays]] = {
    "procedural": procedural,
    "digits": digits,
    "store": store,
    "arrays": custom.arrays,
    "diabetes": diabetes,
    "csv": csv,
}


@lru_cache(maxsize=2)
def load(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the data set of a study; the last two stay in memory, since the trials of a study share theirs.

    Raises:
        InputError, TrialError: the source is not there, of another kind, or has too few images.
    """
    return SOURCES.get(config.source, custom.function)(config, holdout_images)
