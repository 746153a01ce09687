"""Imports: of what users name by path, `package.module:function`; and of Keras, quicker than it imports itself."""

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweeps.errors import InputError, describe_place, one_line


def load_function(path: str) -> Callable[..., Any]:
    """Return the function at `package.module:name`.

    Raises:
        InputError: no such module or function, or the module fails when it is imported.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it; the console script does not
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise _explain_import(path, here, exc) from exc
        raise InputError(
            f"{path}: there is no module {exc.name!r} in {here} or among the installed packages; run this where its "
            "file lies, or put it there"
        ) from exc
    except Exception as exc:
        raise _explain_import(path, here, exc) from exc
    value = getattr(module, name, None)
    if value is None:
        raise InputError(f"{path}: {module_name} has no {name}; write package.module:function")
    if not callable(value):
        raise InputError(f"{path}: is no function; write package.module:function")
    function: Callable[..., Any] = value
    return function


def _explain_import(path: str, here: str, exc: Exception) -> InputError:
    reason = f"{type(exc).__name__}: {one_line(exc)}{describe_place(exc)}"
    return InputError(f"{path}: cannot be imported from {here}: {reason}")


@contextmanager
def quickly() -> Iterator[None]:
    """Import Keras in 0.6 of its usual time, for processes that live to train. Meanwhile garbage is not collected, and
    scikit-learn and matplotlib seem not to be installed: Keras imports them for its wrappers and plots alone.

    `keras.wrappers` and `keras.visualization` then say that these are missing; who imports them later gets them.
    """
    hidden = [name for name in ("sklearn", "matplotlib") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        if looked:
            gc.enable()
