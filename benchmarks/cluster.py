"""How busy workers are that Slurm started: a study of short trials that nap, so that only what is ours takes time.

    SWEEPS_STORAGE=postgresql+psycopg://... python benchmarks/cluster.py --workers 16 --trials 500

A worker is busy from a trial's claim to its end as the store has them. Idle are the gaps between two of its trials:
claim, sampler, and waiting for others. Measured from the moment when all workers have begun until the first has nothing
left to do. Needs Slurm's commands; a small cluster on one machine will do.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from sweeps import store
from sweeps.launch import slurm
from sweeps.launch.job import Job

SPACE = """
[study]
name = "{name}"
question = "How busy are the workers?"
[budget]
trials = {trials}
steps = {steps}
report_interval = {steps}
holdout_images = 64
[data]
classes = 10
images = 64
image_size = 8
[model]
build = "napping:build"
[sampler]
name = "RandomSampler"
[space]
learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
batch_size = 8
"""


def main() -> None:
    args = _arguments()
    name = f"busy-{time.strftime('%H%M%S')}"
    here = Path(__file__).resolve().parent
    environment = {
        **os.environ,
        "PYTHONPATH": f"{here}:{os.environ.get('PYTHONPATH', '')}",
        "NAP_S": str(args.seconds / args.steps),
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "busy.toml").write_text(SPACE.format(name=name, trials=args.trials, steps=args.steps))
        sweeps = [sys.executable, "-m", "sweeps"]
        subprocess.run([*sweeps, "create", "busy.toml"], cwd=folder, env=environment, check=True)
        words = ["launch", "slurm", name, "--workers", str(args.workers), "--gpus-per-worker", args.share]
        subprocess.run([*sweeps, *words], cwd=folder, env=environment, check=True)
        job = Job((name,), store.absolute(store.url(None)), args.workers, 1).name
        while slurm.list_tasks([job]):
            time.sleep(1)
    _report(name, args.workers, args.seconds)


def _report(name: str, workers: int, seconds: float) -> None:
    """Print the share of time that workers spent in trials, and in their naps, which stand for useful work."""
    trials = store.load_study(store.connect(store.url(None)), name).trials
    spans = defaultdict(list)
    for trial in trials:
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        who = trial.user_attrs["host"], trial.user_attrs["pid"]
        spans[who].append((trial.datetime_start.timestamp(), trial.datetime_complete.timestamp()))
    begin = max(min(start for start, _ in each) for each in spans.values())
    end = min(max(stop for _, stop in each) for each in spans.values())
    within = [
        sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in each) / (end - begin)
        for each in spans.values()
    ]
    lengths = [stop - start for each in spans.values() for start, stop in each]
    print(f"{len(trials)} trials by {len(spans)} of {workers} workers, median {np.median(lengths):.2f} s")
    print(f"all at work for {end - begin:.1f} s: busy {np.mean(within):.1%} of it, the least busy {min(within):.1%}")
    napped = sum(seconds / (stop - start) for each in spans.values() for start, stop in each) / len(lengths)
    print(f"napping {napped * np.mean(within):.1%} of it")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a trial's naps")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--share", default=".25", help="of a GPU, per worker")
    return parser.parse_args()


if __name__ == "__main__":
    main()
