"""What does watching a run cost? Probe, statistics and judgement as a share of a trial's time.

    python benchmarks/overhead.py                 # the quickstart's net and data

The probe batch is the first batch of the hold-out set, which is scored anyway: what it costs is the difference between
examining that batch and scoring it, measured in turns. Judgement is asked at each reading as a worker asks it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps import data
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.probe import PROBE_IMAGES
from sweeps.nn.train import train
from sweeps.nn.trainer import trainer_for
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.verdict import Chance, Limit, judge


def seconds(what: Callable[[], Any]) -> float:
    """Of one call."""
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def main() -> None:
    """Train, measure, print shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", type=Path, default=Path("search_spaces/quickstart.toml"))
    parser.add_argument("--interval", type=int, default=10, help="steps between readings")
    parser.add_argument("--rounds", type=int, default=40, help="calls that a median is taken of")
    args = parser.parse_args()
    space, _ = file.read_space(args.space, [f"budget.report_interval={args.interval}"])
    values = {"activation": "selu", "optimizer": "adam", "constraint": "standardize_unit"}
    config = space.make_config({**values, "learning_rate": 1e-3, "batch_size": 64}, 0)
    arrays = data.load_arrays(config.data, config.holdout_images)
    chance = Chance.of(arrays.train_labels, arrays.holdout_labels, arrays.classes)
    list(train(config.model_copy(update={"steps": 20}), arrays))  # traces
    readings: list[Reading] = []
    total = seconds(lambda: readings.extend(reading for reading in train(config, arrays) if reading is not None))
    count = len(readings)
    trainer = trainer_for(config, Architecture.from_config(config, arrays.input_shape))
    batch = (arrays.holdout_images[:PROBE_IMAGES], arrays.holdout_labels[:PROBE_IMAGES])
    pairs = [
        (seconds(lambda: trainer.examine(*batch)), seconds(lambda: [each.numpy() for each in trainer.evaluate(*batch)]))
        for _ in range(args.rounds)
    ]
    probe = count * statistics.median(with_signs - without for with_signs, without in pairs)
    limit = Limit(-50.0, "a limit that stops nobody")
    judging = sum(
        seconds(lambda end=end: judge(readings[:end], chance, config.steps, limit))  # type: ignore[misc]
        for end in range(1, count + 1)
    )
    print(f"trial of {config.steps} steps with {count} readings: {total:.2f} s")
    print(f"probe      {probe:.3f} s  {probe / total:.2%}")
    print(f"judgement  {judging:.3f} s  {judging / total:.2%}")
    print(f"together   {probe + judging:.3f} s  {(probe + judging) / total:.2%}")


if __name__ == "__main__":
    main()
