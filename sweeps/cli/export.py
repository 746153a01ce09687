"""The command that exports configurations for the repository that trains them at full size."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.options import StorageUrl
from sweeps.errors import InputError

if TYPE_CHECKING:
    from sweeps.export.plan import File, Plan
    from sweeps.export.select import ExportedTrial
    from sweeps.space.space import Space


class Form(StrEnum):
    """How recipes are written."""

    TOML = "toml"
    YAML = "yaml"
    JSON = "json"


Study = Annotated[str | None, typer.Argument(metavar="STUDY", help="The study's name.", show_default=False)]
To = Annotated[Path | None, typer.Option("--to", metavar="DIR", help="The folder to write into.", show_default=False)]
Top = Annotated[
    int | None,
    typer.Option(
        min=1, help="How many of the best configurations, confirmed ones first. Default: 1.", show_default=False
    ),
]
Trials = Annotated[
    list[int] | None,
    typer.Option(min=0, help="The number of a trial to export instead, of a dead one too; repeatable."),
]
Module = Annotated[
    bool, typer.Option("--module", help="Write a Python module too, which needs Keras and nothing of sweeps.")
]
FullSize = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="full.TABLE.KEY=VALUE",
        help="Say of the full size what the study does not, e.g. full.model.width=64; repeatable.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite files that are there and differ; remove those of what is replaced.")
]
Branch = Annotated[
    str | None,
    typer.Option(
        "--commit",
        metavar="BRANCH",
        help="Write nothing into DIR, but commit to this branch of the git repository that it lies in, whose working "
        "tree and index stay as they are.",
        show_default=False,
    ),
]
Check = Annotated[
    Path | None,
    typer.Option(
        "--check", metavar="DIR", help="Instead, compare an export with this code and the store.", show_default=False
    ),
]


def export(
    study: Study = None,
    to: To = None,
    top: Top = None,
    trial: Trials = None,
    form: Annotated[Form, typer.Option("--format", help="Of the recipes.")] = Form.TOML,
    module: Module = False,
    full: FullSize = None,
    force: Force = False,
    branch: Branch = None,
    check: Check = None,
    storage: StorageUrl = None,
) -> None:
    """Write configurations at full size, with provenance and Keras model; `sweeps.load` builds them again."""
    if check is not None:
        if study or to or top or trial or full or module or force or branch:
            raise InputError("--check DIR looks at an export that is there; it goes with --storage alone")
        _check(check, storage)
        return
    if study is None or to is None:
        raise InputError("write sweeps export STUDY --to DIR, or sweeps export --check DIR")
    if top and trial:
        raise InputError("--top K takes the best, --trial N those that you name: take one of them")
    from sweeps.export import folder

    if branch is None:
        folder.check(to)
    space, chosen, files = _files(study, (top or 1, trial or []), form, module, full or [], storage)
    if branch is None:
        _tell(folder.write(to, files, force=force), lambda name: str(to / name), files, chosen)
        return
    _commit(to, branch, files, space, chosen, force)


def _files(
    study: str, which: tuple[int, list[int]], form: Form, module: bool, full: list[str], storage: str | None
) -> "tuple[Space, list[ExportedTrial], dict[str, File]]":
    """What is to be written; lines about it go to stderr."""
    from sweeps import store
    from sweeps.export import recipes, select
    from sweeps.space import file
    from sweeps.store import engines

    for override in full:
        if not override.startswith("full."):
            raise InputError(f"--set {override}: only the full size can be set here; write full.TABLE.KEY=VALUE")
    storage_url = store.url(storage)
    opened = store.connect(storage_url)
    with engines.translate_database_errors(storage_url):
        loaded = store.load_study(opened, study)
        space = store.space_of(loaded)
        if full:
            text, overrides = loaded.user_attrs[store.SPACE_TEXT], loaded.user_attrs[store.SPACE_OVERRIDES]
            space = file.parse(text, [*overrides, *full], f"study {study!r}")
        count, numbers = which
        lines: list[str] = []
        if numbers:
            chosen = select.numbered(loaded, space, numbers)
        else:
            chosen, lines = select.best(opened, loaded, space, count)
        files, said = recipes.files(loaded, space, chosen, store.masked(storage_url), form.value, module=module)
    for line in (*lines, *said):
        print(f"sweeps: {line}", file=sys.stderr)
    return space, chosen, files


def _tell(plan: "Plan", place: Callable[[str], str], files: "dict[str, File]", chosen: "list[ExportedTrial]") -> None:
    """A line per file: what became of it, and of which trial it is, if it still is."""
    words = {each.trial.number: each.words for each in chosen}
    for name, state in plan.states.items():
        of = f"  {words[files[name].entry.trial]}" if name in files else ""
        print(f"{state:11} {place(name)}{of}")


def _commit(
    to: Path, branch: str, files: "dict[str, File]", space: "Space", chosen: "list[ExportedTrial]", force: bool
) -> None:
    from sweeps.export import branch as branches

    trials = ", ".join(str(each.trial.number) for each in chosen)
    subject = f"Export {space.name}: trial{'s' if len(chosen) > 1 else ''} {trials}"
    message = [subject, "", *(f"{each.name}: {each.words}" for each in chosen), "", "Written by sweeps export."]
    done = branches.commit(to, branch, files, message, force=force)
    _tell(done.plan, lambda name: f"{done.place}{name}", files, chosen)
    if done.sha:
        print(f"committed {done.sha[:9]} to {branch}, on {done.parent}")
    else:
        print(f"nothing to commit to {branch}: unchanged since {done.parent}")


def _check(path: Path, storage: str | None) -> None:
    from sweeps import store
    from sweeps.export import verify
    from sweeps.store import engines

    storage_url = store.url(storage)
    with engines.translate_database_errors(storage_url):
        checks = verify.check(path, verify.find_in(storage_url))
    for each in checks:
        word = "-" if each.fine is None else "ok" if each.fine else "DIFFERS"
        print(f"{word:8} {each.name}: {each.words}")
    if any(each.fine is False for each in checks):
        raise typer.Exit(1)
