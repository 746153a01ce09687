"""`sweeps export`: configurations as recipes for the repository that trains them at full size."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from optuna import Study

from sweeps import store
from sweeps.cli.consoles import print_line
from sweeps.cli.options import StorageOption
from sweeps.errors import InputError
from sweeps.export import branch as branches
from sweeps.export import folder, recipes, select, verify
from sweeps.export.plan import File, WritePlan
from sweeps.export.select import ExportedTrial
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.store import engines


class RecipeFormat(StrEnum):
    """The language that recipes are written in."""

    TOML = "toml"
    YAML = "yaml"
    JSON = "json"


OptionalStudyArgument = Annotated[
    str | None, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False)
]
ToOption = Annotated[
    Path | None, typer.Option("--to", metavar="DIR", help="The folder to write into.", show_default=False)
]
TopOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="How many of the best configurations, confirmed ones first. Default: 1.", show_default=False
    ),
]
TrialsOption = Annotated[
    list[int] | None,
    typer.Option(min=0, help="The number of a trial to export instead, of a dead one too; repeatable."),
]
ModuleOption = Annotated[
    bool, typer.Option("--module", help="Write a Python module too, which needs Keras and nothing of sweeps.")
]
FullSizeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="full.TABLE.KEY=VALUE",
        help="Set a value of the full size, e.g. full.model.width=64; repeatable.",
        show_default=False,
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite files that are there and differ; remove those of what is replaced.")
]
BranchOption = Annotated[
    str | None,
    typer.Option(
        "--commit",
        metavar="BRANCH",
        help="Commit to this branch of the git repository around DIR; its working tree and index stay as they are.",
        show_default=False,
    ),
]
CheckOption = Annotated[
    Path | None,
    typer.Option(
        "--check",
        metavar="DIR",
        help="Compare an export with this code and the store, and write nothing.",
        show_default=False,
    ),
]


def export(
    study: OptionalStudyArgument = None,
    to: ToOption = None,
    top: TopOption = None,
    trial: TrialsOption = None,
    form: Annotated[RecipeFormat, typer.Option("--format", help="The format of the recipes.")] = RecipeFormat.TOML,
    module: ModuleOption = False,
    full: FullSizeOption = None,
    force: ForceOption = False,
    branch: BranchOption = None,
    check: CheckOption = None,
    storage: StorageOption = None,
) -> None:
    """Write configurations at full size, with provenance and Keras model; `sweeps.load` builds them again."""
    if check is not None:
        if study or to or top or trial or full or module or force or branch:
            raise InputError("--check DIR looks at an export that is there; it goes with --storage alone")
        _check_export(check, storage)
        return
    if study is None or to is None:
        raise InputError("write sweeps export STUDY --to DIR, or sweeps export --check DIR")
    if top and trial:
        raise InputError("--top K takes the best, --trial N those that you name: take one of them")
    if branch is None:
        folder.check_folder(to)
    selection = Selection(top or 1, trial or [])
    exported = _make_files(study, selection, form, storage, module=module, full_size=full or [])
    if branch is None:
        plan = folder.write_folder(to, exported.files, force=force)
        _print_plan(plan, exported, lambda name: str(to / name))
        return
    _commit_to_branch(to, branch, exported, force=force)


@dataclass(frozen=True, slots=True)
class Selection:
    """The trials to be exported: the `top` best, or those in `numbers` if there are any."""

    top: int
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an export, and the trials in them.

    Attributes:
        trials: in the order of their ranks.
        files: by their names in the export.
    """

    space: Space
    trials: Sequence[ExportedTrial]
    files: Mapping[str, File]


def _make_files(
    study: str,
    selection: Selection,
    form: RecipeFormat,
    storage: str | None,
    *,
    module: bool,
    full_size: Sequence[str],
) -> Exported:
    """Make the files of an export; print remarks about them to stderr."""
    for override in full_size:
        if not override.startswith("full."):
            raise InputError(f"--set {override}: only the full size can be set here; write full.TABLE.KEY=VALUE")
    storage_url = store.url(storage)
    opened_storage = store.connect(storage_url)
    with engines.translate_database_errors(storage_url):
        loaded_study = store.load_study(opened_storage, study)
        space = _space_at_full_size(loaded_study, full_size)
        remarks: list[str] = []
        if selection.numbers:
            trials = select.select_numbered(loaded_study, space, selection.numbers)
        else:
            trials, remarks = select.select_best(opened_storage, loaded_study, space, selection.top)
        files, more_remarks = recipes.make_files(
            loaded_study, space, trials, store.masked(storage_url), form.value, module=module
        )
    for remark in remarks + more_remarks:
        print_line(f"sweeps: {remark}", file=sys.stderr)
    return Exported(space, trials, files)


def _space_at_full_size(study: Study, full_size: Sequence[str]) -> Space:
    """Return the study's search space, with the values of its full size that the command line sets."""
    if not full_size:
        return store.space_of(study)
    text = study.user_attrs[store.SPACE_TEXT]
    overrides = list(study.user_attrs[store.SPACE_OVERRIDES]) + list(full_size)
    return file.parse_space(text, overrides, f"study {study.study_name!r}")


def _print_plan(plan: WritePlan, exported: Exported, format_path: Callable[[str], str]) -> None:
    """Print a line per file: what became of it, and which trial it holds."""
    descriptions = {trial.trial.number: trial.description for trial in exported.trials}
    for name, state in plan.states.items():
        line = f"{state:11} {format_path(name)}"
        if name in exported.files:
            line += f"  {descriptions[exported.files[name].entry.trial]}"
        print_line(line)


def _commit_to_branch(to: Path, branch: str, exported: Exported, *, force: bool) -> None:
    commit = branches.commit_files(to, branch, exported.files, _commit_message(exported), force=force)
    _print_plan(commit.plan, exported, lambda name: f"{commit.place}{name}")
    if commit.sha:
        print_line(f"committed {commit.sha[:9]} to {branch}, on {commit.parent}")
    else:
        print_line(f"nothing to commit to {branch}: unchanged since {commit.parent}")


def _commit_message(exported: Exported) -> list[str]:
    noun = "trial"
    if len(exported.trials) > 1:
        noun = "trials"
    numbers = ", ".join(str(trial.trial.number) for trial in exported.trials)
    lines = [f"Export {exported.space.name}: {noun} {numbers}", ""]
    lines += [f"{trial.name}: {trial.description}" for trial in exported.trials]
    lines += ["", "Written by sweeps export."]
    return lines


def _check_export(path: Path, storage: str | None) -> None:
    """Compare an export with this code and the store, and print what is found.

    Raises:
        typer.Exit: something differs.
    """
    storage_url = store.url(storage)
    with engines.translate_database_errors(storage_url):
        checks = verify.check_export(path, verify.find_in(storage_url))
    results = {True: "ok", False: "DIFFERS", None: "-"}
    for check in checks:
        print_line(f"{results[check.fine]:8} {check.name}: {check.result}")
    if any(check.fine is False for check in checks):
        raise typer.Exit(1)
