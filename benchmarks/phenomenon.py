"""Who learns and who stays at chance: activation x constraint x learning rate x seed, each run to its full horizon.

    python benchmarks/phenomenon.py                        # the quickstart's net and data; prints a Markdown table
    python benchmarks/phenomenon.py --rates 3e-3 --seeds 5

No run is stopped early: the table does not depend on the verdicts' rules. Each cell is learned/tried, then the median
of the hold-out top-1 and of the hold-out loss (nats) at the last step.
"""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

from sweeps import data
from sweeps.config import Config
from sweeps.launch.local.devices import default_worker_count, visible_gpus
from sweeps.space import file
from sweeps.space.parameters import Scalar
from sweeps.verdict import Chance, Fate, final_verdict

ROWS = [
    ("relu", "none"),
    ("relu", "centralize_unit"),
    ("relu", "standardize_unit"),
    ("selu", "none"),
    ("selu", "centralize_layer"),
    ("selu", "centralize_unit"),
    ("selu", "standardize_unit"),
    ("selu", "selu_domain"),
    ("selu", "unit_norm"),
    ("selu", "max_norm"),
]


def run(config: Config) -> tuple[bool, float, float]:
    """Whether it learned; top-1 and loss at the end."""
    from sweeps.nn.train import train

    arrays = data.load_arrays(config.data, config.holdout_images)
    readings = [reading for reading in train(config, arrays) if reading is not None]
    chance = Chance.of(arrays.train_labels, arrays.holdout_labels, arrays.classes)
    return final_verdict(readings, chance).fate == Fate.LEARNED, readings[-1].top1, readings[-1].loss


def main() -> None:
    """Train all cells, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", type=Path, default=Path("search_spaces/quickstart.toml"), help="net, data, steps")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3, 1e-2], help="Adam's learning rates")
    parser.add_argument("--seeds", type=int, default=3, help="runs per cell")
    args = parser.parse_args()
    space, _ = file.read_space(args.space)
    cells = [(row, rate) for row in ROWS for rate in args.rates]
    fixed: dict[str, Scalar] = {"optimizer": "adam", "epsilon": 1e-7, "batch_size": 64}
    configs = [
        space.make_config({**fixed, "activation": activation, "constraint": constraint, "learning_rate": rate}, seed)
        for (activation, constraint), rate in cells
        for seed in range(args.seeds)
    ]
    ends = []
    with ProcessPoolExecutor(default_worker_count(visible_gpus()), multiprocessing.get_context("spawn")) as pool:
        for end in pool.map(run, configs):
            ends.append(end)
            print(f"\r{len(ends)}/{len(configs)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("| activation | constraint | " + " | ".join(f"Adam {rate:g}" for rate in args.rates) + " |")
    print("|---|---|" + "---|" * len(args.rates))
    for index, (activation, constraint) in enumerate(ROWS):
        shown = []
        for column in range(len(args.rates)):
            start = (index * len(args.rates) + column) * args.seeds
            learned, top1, loss = zip(*ends[start : start + args.seeds], strict=True)
            shown.append(f"{sum(learned)}/{args.seeds}, {median(top1):.1%}, {median(loss):.2f}")
        print(f"| {activation} | {constraint} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
