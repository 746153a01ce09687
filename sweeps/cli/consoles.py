"""The consoles that commands print to: results to stdout, everything else to stderr."""

import sys

from rich.console import Console

PIPE_WIDTH = 200  # columns: wide enough for every line where a file or a pipe takes the output


def stderr_console() -> Console:
    """Return the console for progress and remarks."""
    return Console(stderr=True)


def stdout_console() -> Console:
    """Return the console for results: as wide as the terminal, or `PIPE_WIDTH` where there is none."""
    if sys.stdout.isatty():
        return Console()
    return Console(width=PIPE_WIDTH)
