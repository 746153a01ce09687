"""`sweeps confirm`: run the best configurations again, longer and with several seeds."""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from optuna import Study
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.analysis import candidates, confirmation, ranking
from sweeps.cli import suggestions
from sweeps.cli.consoles import print_line, stderr_console, stdout_console
from sweeps.cli.create import open_study_of_file
from sweeps.cli.follow import follow_study
from sweeps.cli.options import ArtifactsOption, StorageOption, StudyArgument
from sweeps.errors import InputError
from sweeps.files import temporary_folder
from sweeps.launch.local.devices import default_worker_count, visible_gpus
from sweeps.launch.local.worker_processes import LocalWorkers
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.wording import count_noun

ScaleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help="How much less truncated: a factor on the steps (1: with other seeds only), full (the file's full "
        'size), or values such as "budget.steps=800 model.width=32". Repeatable: a study for each. Default: 4.',
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes. Default: as of sweeps run.", show_default=False)
]


def confirm(
    study: StudyArgument,
    top: Annotated[int, typer.Option(min=1, help="How many of the best.")] = 5,
    middle: Annotated[int, typer.Option(min=0, help="How many others, spaced over the ranks, to compare ranks.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, with other seeds than the study's.")] = 3,
    scale: ScaleOption = None,
    create: Annotated[
        bool, typer.Option("--create", help="Only make the studies: workers elsewhere run them.")
    ] = False,
    workers: WorkersOption = None,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Run a study's best configurations again, longer and with several seeds, as studies of their own; say what holds.

    The same command goes on with what is not finished, and shows what is.
    """
    storage_url = store.url(storage)
    opened_storage = store.connect(storage_url)
    loaded_study = store.load_study(opened_storage, study)
    plan = _plan_confirmation(loaded_study, scale or ["4"], top=top, middle=middle, seeds=seeds)
    studies = [_open_confirming_study(opened_storage, text, storage_url, plan.cost) for text in plan.texts]
    progress_console = stderr_console()
    for confirming, space in studies:
        if create:
            print_line(f"next: {suggestions.worker_command(storage_url, space.name)}")
            continue
        count = min(workers or default_worker_count(visible_gpus()), space.budget.trials)
        local_workers = LocalWorkers(study=space.name, storage_url=storage_url, count=count, artifacts=artifacts)
        follow_study(opened_storage, confirming, local_workers, progress_console)
    if create:
        return
    result = confirmation.read_confirmation(opened_storage, loaded_study)
    if result is not None:
        stdout_console().print(confirmation.render_confirmation(result), soft_wrap=False)


@dataclass(frozen=True, slots=True)
class ConfirmationPlan:
    """The studies of a confirmation.

    Attributes:
        texts: search-space files, one per scale.
        cost: how long one run of the candidates took in the study that is confirmed, as a remark.
    """

    texts: list[str]
    cost: str


def _plan_confirmation(
    study: Study, scale_options: list[str], *, top: int, middle: int, seeds: int
) -> ConfirmationPlan:
    """Choose the candidates and write a search-space file for each scale.

    Raises:
        InputError: the study confirms another one itself, nothing learned, or a scale cannot be used.
    """
    space = store.space_of(study)
    if space.confirms:
        raise InputError(f"{space.name!r} confirms {space.confirms!r}; confirm that one, with another --scale")
    scales = [candidates.apply_scale(option, space) for option in scale_options]
    chosen = candidates.choose_candidates(space.name, ranking.rank_study(study, space), top, middle)
    texts = [candidates.study_text(space, chosen, seeds, scale) for scale in scales]
    trials = [trial for configuration in chosen for trial in configuration.trials]
    seconds = ranking.mean_seconds(trials)
    return ConfirmationPlan(texts, cost=f"one of {space.budget.length} took {seconds:.3g} s")


def _open_confirming_study(opened_storage: RDBStorage, text: str, storage_url: str, cost: str) -> tuple[Study, Space]:
    """Return the study of a search-space file: the one that is there, or a new one, rehearsed first.

    Args:
        cost: see `ConfirmationPlan`.

    Raises:
        InputError: the one that is there has another number of candidates or seeds.
    """
    space = file.parse_space(text)
    existing = store.find_study(opened_storage, space.name)
    if existing is None:
        existing = _create_confirming_study(text, storage_url)
    else:
        wanted_labels, wanted_seeds = candidates.count_candidates(space)
        space = store.space_of(existing)
        labels, seeds = candidates.count_candidates(space)
        if len(wanted_labels) != len(labels) or wanted_seeds != seeds:
            raise InputError(
                f"study {space.name!r} is there, with {len(labels)} candidates and {seeds} seeds, not "
                f"{len(wanted_labels)} and {wanted_seeds}; ask for those, or delete it: "
                f"{suggestions.delete_command(storage_url, space.name)}"
            )
    print_line(f"study {space.name!r}: {_describe_runs(space)}; {cost}", file=sys.stderr)
    return existing, space


def _create_confirming_study(text: str, storage_url: str) -> Study:
    with temporary_folder("confirm") as folder:
        path = folder / "confirm.toml"
        path.write_text(text, encoding="utf-8")
        return open_study_of_file(path, [], storage_url).study


def _describe_runs(space: Space) -> str:
    labels, seeds = candidates.count_candidates(space)
    names = ", ".join(map(str, labels))
    return f"candidates {names}, {count_noun(seeds, 'seed')}, {space.budget.trials} runs of {space.budget.length}"
