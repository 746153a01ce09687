"""Imports: of what users name by path, `package.module:function`; and of Keras, quicker than it imports itself."""

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweeps.environment import TRUST_VARIABLE
from sweeps.errors import InputError, describe_place, one_line

HERE = "."  # among the trusted packages: whatever lies in the working directory


def load_function(path: str) -> Callable[..., Any]:
    """Return the function at `package.module:name`.

    Where SWEEPS_TRUST names packages, separated by commas, nothing is imported but these. The working directory is
    looked in where it is unset, or has `.` among the names, which trusts whatever lies there.

    Raises:
        InputError: no such module or function, it is not trusted, or the module fails when it is imported.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    trusted = list_trusted()
    if trusted and HERE not in trusted:
        sys.path[:] = [folder for folder in sys.path if folder not in ("", here)]
    elif here not in sys.path:  # as `python -m` has it; the console script does not
        sys.path.insert(0, here)
    if trusted:
        _require_trust(path, trusted, here)
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


def list_trusted() -> list[str]:
    """Return the packages that SWEEPS_TRUST names; none where it is unset, which limits nothing."""
    return [package.strip() for package in os.environ.get(TRUST_VARIABLE, "").split(",") if package.strip()]


def join_trusted(packages: Sequence[str] | None) -> str:
    """Return the value of SWEEPS_TRUST for packages that options named; where there are none, that which it has.

    Raises:
        InputError: one is no name of a package.
    """
    if not packages:
        return ",".join(list_trusted())
    for package in packages:
        if package != HERE and not package.isidentifier():
            raise InputError(
                f"--trust {package}: is no package; give the first part of a function's path, such as my_nets of "
                "my_nets.small:build, and each package with an option of its own"
            )
    return ",".join(packages)


def _require_trust(path: str, trusted: Sequence[str], here: str) -> None:
    """Check, without running anything of it, that a function is of a trusted package.

    Raises:
        InputError: it is not.
    """
    package = path.partition(":")[0].partition(".")[0]
    if package in trusted:
        return
    if HERE in trusted:
        found = importlib.util.find_spec(package)  # runs nothing: the name has no dots
        if found is not None and found.origin is not None and Path(found.origin).is_relative_to(here):
            return
    raise InputError(
        f"{path}: the package {package} is not among those that are trusted ({', '.join(trusted)}); if its "
        f"code may run here, add it with --trust {package} of the workers, or to the variable {TRUST_VARIABLE}"
    )


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
