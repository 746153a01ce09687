"""`sweeps run`: create or continue a study, run it with workers on this machine, and sum up."""

from typing import Annotated

import typer

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.artifacts.locations import artifact_location
from sweeps.cli import suggestions
from sweeps.cli.consoles import stderr_console, stdout_console
from sweeps.cli.create import AcceptDataOption, open_study_of_file
from sweeps.cli.follow import follow_study
from sweeps.cli.options import ArtifactsOption, OverridesOption, SpaceArgument, StorageOption
from sweeps.launch.local.devices import default_worker_count, visible_gpus
from sweeps.launch.local.worker_processes import LocalWorkers
from sweeps.store.reaper import Reaper
from sweeps.verdict import Fate

WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Worker processes. Default: one per GPU, else one per processor up to 8.", show_default=False
    ),
]


def run(
    path: SpaceArgument,
    overrides: OverridesOption = None,
    storage: StorageOption = None,
    workers: WorkersOption = None,
    artifacts: ArtifactsOption = None,
    accept_changed_data: AcceptDataOption = False,
) -> None:
    """Run a sweep on this machine: create the study or continue it, start workers, show progress, sum up.

    Ctrl-C stops cleanly; the same command goes on.
    """
    storage_url = store.url(storage)
    if artifacts:
        artifact_location(artifacts)  # a location that cannot be used should show before the rehearsal
    opened_study = open_study_of_file(path, overrides or [], storage_url, accept_changed_data=accept_changed_data)
    space = store.space_of(opened_study.study)
    Reaper(opened_study.storage.engine).reap()
    summary = summaries.summarise_trials(space, store.read_trials(opened_study.study))
    remaining = space.budget.trials - summary.done
    progress_console = stderr_console()
    beginning = "going on with"
    if opened_study.is_new:
        beginning = "created"
    progress_console.print(f"{beginning} study {space.name!r} in {store.masked(storage_url)}", markup=False)
    most_workers = workers or default_worker_count(visible_gpus())
    count = min(most_workers, max(remaining, 1))
    local_workers = LocalWorkers(study=space.name, storage_url=storage_url, count=count, artifacts=artifacts)
    space, summary = follow_study(opened_study.storage, opened_study.study, local_workers, progress_console)
    result_console = stdout_console()
    result_console.print(summaries.render_summary(space, summary))
    next_commands = suggestions.next_commands(
        storage_url,
        space,
        path,
        overrides=overrides or [],
        artifacts=artifacts,
        learned=bool(summary.fates.get(Fate.LEARNED)),
    )
    result_console.print(next_commands, markup=False, soft_wrap=True)
