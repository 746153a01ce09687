"""What users name by import path: `package.module:function`, found in the working directory or installed."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.errors import InputError, one_line


def load_function(path: str) -> Callable[..., Any]:
    """The function at `package.module:name`.

    Raises:
        InputError: no such module or function, or the module fails when it is imported.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it; the console script does not
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), name)
    except AttributeError as exc:
        raise InputError(f"{path}: {module_name} has no {name}; write package.module:function") from exc
    except Exception as exc:
        raise InputError(f"{path}: cannot be imported from {here} ({type(exc).__name__}: {one_line(exc)})") from exc
    if not callable(found):
        raise InputError(f"{path}: is no function; write package.module:function")
    function: Callable[..., Any] = found
    return function
