"""The `sweeps` program: check that the package `sweeps` is ours before it is imported.

The distribution `sweeps` on PyPI, the sweep engine of Weights & Biases, installs into the same folder as this one does.
Where both are installed, one has overwritten files of the other.
"""

import importlib.metadata
import sys

DISTRIBUTION = "optuna-sweeps"
OTHER = "sweeps"
OTHERS_FILE = "sweeps/bayes_search.py"  # theirs alone


def main() -> None:
    """Run the command line, or say in one line that another package lies under its import name."""
    if other_is_installed():
        print(
            f"sweeps: the package {OTHER!r} of Weights & Biases lies in the folder of {DISTRIBUTION!r}; "
            f"pip uninstall -y {OTHER}, then pip install --force-reinstall --no-deps {DISTRIBUTION}",
            file=sys.stderr,
        )
        sys.exit(2)
    try:
        from sweeps.cli.app import main as run_command_line  # noqa: PLC0415  after the check
    except ModuleNotFoundError as exc:
        if exc.name not in ("sweeps.cli", "sweeps.cli.app"):
            raise
        print(
            f"sweeps: files of {DISTRIBUTION!r} are missing; pip install --force-reinstall --no-deps {DISTRIBUTION}",
            file=sys.stderr,
        )
        sys.exit(2)
    run_command_line()


def other_is_installed() -> bool:
    """Return whether the other distribution is installed; an old development install of ours has the same name."""
    files = (file for other in importlib.metadata.distributions(name=OTHER) for file in other.files or ())
    return any(file.as_posix() == OTHERS_FILE for file in files)
