"""Short trials, each twice: a fresh Keras model compiled and fitted, and our trainer, which traces once for all.

    python benchmarks/reuse.py --trials 8 --steps 40

Both train the quickstart's net on the same batches with one thread, and look at the same hold-out images as often.
Prints the seconds of each trial and the ratio of the sums; our first trial holds the tracing.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from sweeps import data
from sweeps.config import Config
from sweeps.data.arrays import Arrays, batch_indices
from sweeps.nn import device, models, optimizers
from sweeps.nn.train import train
from sweeps.space import file

CHOICES = [
    {"activation": "relu", "constraint": "none", "optimizer": "adam"},
    {"activation": "selu", "constraint": "standardize_unit", "optimizer": "adam"},
    {"activation": "elu", "constraint": "none", "optimizer": "sgd"},
    {"activation": "tanh", "constraint": "centralize_unit", "optimizer": "nadam"},
    {"activation": "gelu", "constraint": "max_norm", "optimizer": "rmsprop"},
]


def fresh(config: Config, arrays: Arrays) -> None:
    """One trial as most sweeps train it."""
    import keras

    model = models.build_model(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=config.output == "logits")
    model.compile(optimizers.build_optimizer(config), loss, metrics=["accuracy"], jit_compile=False)
    model.evaluate(arrays.holdout_images, arrays.holdout_labels, batch_size=64, verbose=0)
    for start in range(0, config.steps, config.report_interval):
        stop = min(start + config.report_interval, config.steps)
        for indices in batch_indices(config.seed, len(arrays.train_images), config.batch_size, start, stop):
            model.train_on_batch(arrays.train_images[indices], arrays.train_labels[indices])
        model.evaluate(arrays.holdout_images, arrays.holdout_labels, batch_size=64, verbose=0)


def ours(config: Config, arrays: Arrays) -> None:
    """The same trial, with vital signs of every layer at each look."""
    for _ in train(config, arrays):
        pass


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=8, help="at least 2")
    parser.add_argument("--steps", type=int, default=40, help="steps per trial")
    args = parser.parse_args()
    device.prepare_device()
    space, _ = file.read_space(Path("search_spaces/quickstart.toml"), [f"budget.steps={args.steps}"])
    seconds: dict[Callable[[Config, Arrays], None], list[float]] = {fresh: [], ours: []}
    for number in range(args.trials):
        config = space.make_config(dict(CHOICES[number % len(CHOICES)]), number)
        arrays = data.load_arrays(config.data, config.holdout_images)
        for way, taken in seconds.items():
            started = time.perf_counter()
            way(config, arrays)
            taken.append(time.perf_counter() - started)
        print(f"trial {number:3d}  fresh {seconds[fresh][-1]:6.2f} s  ours {seconds[ours][-1]:6.2f} s", flush=True)
    for name, start in (("all", 0), ("all but the first", 1)):
        slow, fast = sum(seconds[fresh][start:]), sum(seconds[ours][start:])
        print(f"{name}: fresh {slow:.1f} s, ours {fast:.1f} s, ratio {slow / fast:.2f}")


if __name__ == "__main__":
    main()
