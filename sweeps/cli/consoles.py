"""What commands print to: results to stdout, everything else to stderr; no text of others is obeyed by a terminal."""

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sweeps.surfaces import make_printable

PIPE_WIDTH = 200  # columns: wide enough for every line where a file or a pipe takes the output


class SafeConsole(Console):
    """A console of rich that writes escape codes of its own alone."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of an object, texts without what a terminal would obey."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(make_printable(segment.text), segment.style)


def stderr_console() -> Console:
    """Return the console for progress and remarks."""
    return SafeConsole(stderr=True)


def stdout_console() -> Console:
    """Return the console for results: as wide as the terminal, or `PIPE_WIDTH` where there is none."""
    if sys.stdout.isatty():
        return SafeConsole()
    return SafeConsole(width=PIPE_WIDTH)


def print_line(text: object, file: TextIO | None = None) -> None:
    """Print lines that may hold texts of others, to stdout unless a file is given."""
    print(make_printable(str(text)), file=file)
