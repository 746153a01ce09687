"""With this folder in PYTHONPATH no process of the tests has what only Linux has: as it is on macOS."""

import ctypes
import os
import pathlib
from typing import Any

for name in ("sched_getaffinity", "sched_setaffinity", "fdatasync", "pidfd_open", "memfd_create"):
    if hasattr(os, name):
        delattr(os, name)

_get_symbol = ctypes.CDLL.__getattr__
_read_text = pathlib.Path.read_text


def _get_symbol_of_macos(library: ctypes.CDLL, name: str) -> Any:
    if name == "prctl":
        raise AttributeError(name)
    return _get_symbol(library, name)


def _read_text_of_macos(path: pathlib.Path, *arguments: Any, **options: Any) -> str:
    if path.as_posix().startswith("/proc/"):
        raise FileNotFoundError(path)
    return _read_text(path, *arguments, **options)


ctypes.CDLL.__getattr__ = _get_symbol_of_macos  # type: ignore[method-assign]
pathlib.Path.read_text = _read_text_of_macos  # type: ignore[method-assign,assignment]
