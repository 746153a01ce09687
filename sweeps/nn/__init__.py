"""The heavy room: all that imports TensorFlow and Keras. Nothing here knows of Optuna, verdicts or SQL.

TensorFlow is imported here, with its greetings hushed: a dozen lines per worker, written before it reads its own log
level, would drown what the workers say. Set TF_CPP_MIN_LOG_LEVEL=0 to see them. Errors are raised all the same.
Python's garbage collection rests meanwhile: it would visit the thousands of new objects again and again and free
nothing, which takes a sixth of the import's time.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hush_tensorflow() -> Iterator[None]:
    """Send what native code writes to standard error nowhere, unless the environment asks for TensorFlow's log."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _pause_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with hush_tensorflow(), _pause_garbage_collection():
    import keras  # noqa: F401
