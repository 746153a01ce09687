"""Seeds of a trial's layers, all derived from the one seed of its Config."""

from typing import Literal

import numpy as np

# Numbers of the streams; a new use gets a new number, so that the old ones keep what they draw.
STREAMS = {"kernel": 0, "dropout": 1, "gate": 2}


def layer_seed(seed: int, index: int, stream: Literal["kernel", "dropout", "gate"]) -> int:
    """Seed in [0, 2**31) of the layer that holds the kernel `index` (0 is nearest to the input)."""
    return int(np.random.SeedSequence((seed, index, STREAMS[stream])).generate_state(1)[0] >> 1)
