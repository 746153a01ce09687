"""The command that runs the best configurations again, longer and with several seeds."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.options import ArtifactsPlace, StorageUrl, StudyName
from sweeps.errors import InputError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

    from sweeps.space.space import Space


Scales = Annotated[
    list[str] | None,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help="How much less truncated: a factor on the steps (1: with other seeds only), full (the file's full "
        'size), or values such as "budget.steps=800 model.width=32". Repeatable: a study for each. Default: 4.',
        show_default=False,
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes. Default: as of sweeps run.", show_default=False)
]


def confirm(
    study: StudyName,
    top: Annotated[int, typer.Option(min=1, help="How many of the best.")] = 5,
    middle: Annotated[int, typer.Option(min=0, help="How many others, spaced over the ranks, to compare ranks.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, with other seeds than the study's.")] = 3,
    scale: Scales = None,
    create: Annotated[
        bool, typer.Option("--create", help="Only make the studies: workers elsewhere run them.")
    ] = False,
    workers: Workers = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsPlace = None,
) -> None:
    """Run a study's best configurations again, longer and with several seeds, as studies of their own; say what holds.

    The same command goes on with what is not finished, and shows what is.
    """
    from sweeps import store
    from sweeps.analysis import confirmation
    from sweeps.cli import run as running
    from sweeps.cli import suggestions
    from sweeps.launch.local import worker_processes

    storage_url = store.url(storage)
    opened = store.connect(storage_url)
    loaded = store.load_study(opened, study)
    made = _studies(opened, loaded, storage_url, (top, middle, seeds), scale or ["4"])
    talk = running.stderr_console()
    for each, space in made:
        if create:
            print(f"next: {suggestions.worker_command(storage_url, space.name)}")
            continue
        count = min(workers or worker_processes.default_count(), space.budget.trials)
        running.follow(opened, each, worker_processes.LocalWorkers(space.name, storage_url, count, artifacts), talk)
    found = None if create else confirmation.confirmation(opened, loaded)
    if found is not None:
        running.stdout_console().print(confirmation.render(found), soft_wrap=False)


def _studies(
    opened: "RDBStorage", study: "Study", storage_url: str, numbers: tuple[int, int, int], scales: list[str]
) -> "list[tuple[Study, Space]]":
    """The studies that confirm, one per scale: made after a rehearsal, or those that are there."""
    from sweeps import store
    from sweeps.analysis import candidates, ranking
    from sweeps.space import file

    top, middle, seeds = numbers
    space = store.space_of(study)
    if space.confirms:
        raise InputError(f"{space.name!r} confirms {space.confirms!r}; confirm that one, with another --scale")
    at = [candidates.scale(each, space) for each in scales]
    chosen = candidates.choose(space.name, ranking.ranked_of(study, space), top, middle)
    texts = [candidates.study_text(space, chosen, seeds, each) for each in at]
    seconds = ranking.mean_seconds([trial for each in chosen for trial in each.trials])
    cost = f"; one of {space.budget.length} took {seconds:.3g} s"
    return [_study(opened, text, file.parse(text), storage_url, cost) for text in texts]


def _study(opened: "RDBStorage", text: str, space: "Space", storage_url: str, cost: str) -> "tuple[Study, Space]":
    """The study that a text describes: made after a rehearsal, or the one that is there.

    Args:
        cost: of the candidates' runs in the study that is confirmed, in words.

    Raises:
        InputError: the one that is there has another number of candidates or seeds.
    """
    from sweeps import store
    from sweeps.analysis import candidates
    from sweeps.cli import run as running
    from sweeps.cli import suggestions

    there = store.find_study(opened, space.name)
    known = space if there is None else store.space_of(there)
    asked, has = candidates.asked(space), candidates.asked(known)
    if len(asked[0]) != len(has[0]) or asked[1] != has[1]:
        raise InputError(
            f"study {space.name!r} is there, with {len(has[0])} candidates and {has[1]} seeds, not {len(asked[0])} and "
            f"{asked[1]}; ask for those, or delete it: {suggestions.delete_command(storage_url, space.name)}"
        )
    if there is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "confirm.toml"
            path.write_text(text, encoding="utf-8")
            _, there, _ = running.create(path, [], storage_url)
    names, seeds = ", ".join(map(str, has[0])), f"{has[1]} seed{'s' if has[1] > 1 else ''}"
    runs = f"{known.budget.trials} runs of {known.budget.length}"
    print(f"study {space.name!r}: candidates {names}, {seeds}, {runs}{cost}", file=sys.stderr)
    return there, known
