"""`sweeps rehearse`: train every choice of a search-space file for one step."""

import sys
import time

from sweeps.cli.options import OverridesOption, SpaceArgument
from sweeps.cli.training import import_training
from sweeps.space import file
from sweeps.worker import rehearsal


def rehearse(path: SpaceArgument, overrides: OverridesOption = None) -> None:
    """Check a file: train every choice in it for one step, without a store."""
    space, _ = file.read_space(path, overrides or [])
    started = time.monotonic()
    train, load = import_training()
    count = rehearsal.rehearse(space, train, load, str(path))
    seconds = time.monotonic() - started
    print(f"rehearsed {count} configurations that cover every choice: {seconds:.0f} s", file=sys.stderr)
