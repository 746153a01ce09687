"""Does a worker leak? One process, one trial after another, every trial with other choices.

    python benchmarks/memory.py --trials 100

Prints the resident memory every tenth trial, then the growth per trial after the first ten, which hold the traces.
Expect less than 0.2 MiB per trial; a worker that builds a new Keras model each time grows by some 25 MiB per trial.
"""

import argparse
import random
from pathlib import Path
from typing import Any, get_args

import numpy as np

from sweeps import config
from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.data.arrays import Arrays
from sweeps.nn.train import train

CLASSES, SIZE = 10, 16
SETTLED = 10  # trials: by then both architectures have been traced


def resident_mib() -> float:
    """Memory of this process in RAM now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def draw(number: int) -> Config:
    """A trial whose choices come from its number; every fifth has batch normalisation, hence another architecture."""
    rng = random.Random(number)
    choices: dict[str, Any] = {
        "activation": rng.choice(get_args(config.Activation)),
        "initializer": rng.choice(get_args(config.Initializer)),
        "constraint": rng.choice(get_args(config.Constraint)),
        "optimizer": rng.choice(get_args(config.Optimizer)),
        "dropout": rng.choice(get_args(config.Dropout)),
        "learning_rate": 10 ** rng.uniform(-4, -2),
        "batch_size": rng.choice([16, 32, 48, 64]),
        "l2": rng.choice([0.0, 1e-4]),
        "batch_normalization": "before" if number % 5 == 4 else "none",
    }
    return Config(
        data=DataConfig(classes=CLASSES, images=512, image_size=SIZE),
        model=ModelConfig(convolutions=4, stages=2, width=4, dense=1, dense_units=16),
        seed=number,
        steps=20,
        report_interval=10,
        holdout_images=128,
        **choices,
    )


def noise(images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels without any meaning: memory does not depend on what is learnt."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (images, SIZE, SIZE, 1), np.uint8), rng.integers(0, CLASSES, images, np.int32)


def main() -> None:
    """Run the trials and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="trials in the one process, more than 10")
    trials = parser.parse_args().trials
    arrays = Arrays(*noise(512, seed=0), *noise(128, seed=1), CLASSES)
    settled = 0.0
    for number in range(1, trials + 1):
        for _ in train(draw(number), arrays):
            pass
        if number == SETTLED:
            settled = resident_mib()
        if number % 10 == 0:
            print(f"trial {number:4d}  {resident_mib():7.1f} MiB", flush=True)
    growth = resident_mib() - settled
    print(f"growth after trial {SETTLED}: {growth:.1f} MiB, {growth / (trials - SETTLED):.3f} MiB per trial")


if __name__ == "__main__":
    main()
