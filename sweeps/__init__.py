"""Hyperparameter sweeps for deep image classifiers that refuse to learn."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.version import __version__

if TYPE_CHECKING:
    from sweeps.nn.export import Loaded

__all__ = ["__version__", "load"]


def load(path: str | PathLike[str], *, as_trained: bool = False, images: Any = None) -> "Loaded":
    """Return the model, optimiser and loss of a recipe that `sweeps export` wrote; Keras is imported when this is
    called.

    `load("best.toml").compile()` is a Keras model, ready for `fit`.

    Args:
        path: of the .toml, .yaml or .json file.
        as_trained: the recipe at the size that the trial had, instead of the full size.
        images: training images, uint8, (n, height, width, channels), or rows of a table, (n, columns): where the
            recipe scales its inputs by what these are like, and its own data cannot be loaded here.

    Raises:
        sweeps.errors.InputError: the file is no recipe, or images are needed.
    """
    from sweeps.export.document import read_document  # noqa: PLC0415  `import sweeps` stays light

    document = read_document(Path(path))
    from sweeps.nn.export import load_recipe as build  # noqa: PLC0415

    return build(document.trained if as_trained else document.recipe, document.input_shape, images)
