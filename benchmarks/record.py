"""Records runs to their full horizon, none stopped early, for rules to be tried on.

    python benchmarks/record.py benchmarks/recordings/*.toml        # all that docs/verdict.md speaks of; hours
    python benchmarks/record.py my_space.toml --trials 20 --to .    # of a space of yours

Configurations are drawn at random, not by the file's sampler. Writes NAME.jsonl.gz for each NAME.toml, beside it unless
told otherwise; the form of a line is described in sweeps/verdict/recorded.py.
"""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import optuna

from sweeps.config import Config
from sweeps.errors import SweepsError
from sweeps.launch.local.devices import default_worker_count, visible_gpus
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.verdict import Chance, recorded


def run(config: Config) -> dict[str, Any]:
    """One run's record."""
    from sweeps.nn.datasets import load_dataset
    from sweeps.nn.train import train

    arrays = load_dataset(config.data, config.holdout_images)
    chance = Chance.of(arrays.train_labels, arrays.holdout_labels, arrays.classes)
    readings = [look for look in train(config, arrays) if look is not None]
    shown = config.model_dump(exclude={"version", "data"}, exclude_defaults=True)
    return recorded.run_to_record(f"{config.seed}", shown, readings, chance)


def configs(space: Space, trials: int) -> list[Config]:
    """What is drawn at random from a space; the study lives in memory only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=space.budget.seed))
    return [space.make_config(space.draw_values(study.ask()), number) for number in range(trials)]


def main() -> None:
    """Record every file named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("spaces", type=Path, nargs="+", metavar="SPACE.toml")
    parser.add_argument("--trials", type=int, help="runs per file; default: the file's budget")
    parser.add_argument("--to", type=Path, help="folder; default: beside each file")
    args = parser.parse_args()
    if args.trials is not None and args.trials < 1:
        parser.error(f"--trials is {args.trials}; give 1 or more")
    if args.to is not None:
        args.to.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(default_worker_count(visible_gpus()), multiprocessing.get_context("spawn")) as pool:
        for path in args.spaces:
            try:
                space, _ = file.read_space(path, [])
            except SweepsError as exc:
                sys.exit(str(exc))
            drawn, records = configs(space, args.trials or space.budget.trials), []
            target = (args.to or path.parent) / f"{path.stem}.jsonl.gz"
            partial = target.with_name(f"partial_{target.name}")
            for done in pool.map(run, drawn):
                records.append(done)
                recorded.write_runs(partial, records)  # whatever happens, the runs so far are there
                print(f"\r{space.name}: {len(records)}/{len(drawn)} runs", end="", file=sys.stderr, flush=True)
            partial.replace(target)
            print(f"\n{target}", file=sys.stderr)


if __name__ == "__main__":
    main()
