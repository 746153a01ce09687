"""A group of commands that imports the module of a command only when that command is run.

As `LazyGroup` in the documentation of click ("Lazily Loading Subcommands"), with one difference: the help texts of the
commands stand in the group's table, so that `--help` imports none of them.
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click import Command, Context


@dataclass(frozen=True, slots=True)
class CommandSource:
    """The location of a command, and its line in the list of commands.

    Attributes:
        path: "package.module:name" of a function, or of a `typer.Typer` with further commands.
        summary: the first paragraph of the command's docstring.
    """

    path: str
    summary: str


class LazyGroup(TyperGroup):
    """A group whose subclasses name their commands in a table.

    Attributes:
        sources: the commands by name, in the order of the help text.
    """

    sources: ClassVar[Mapping[str, CommandSource]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = ImportedCommands(self.sources)  # type: ignore[assignment]  # nothing is ever added to it

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002  typer's signature
        """Return the names of the commands without importing them."""
        return list(self.sources)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":  # noqa: ARG002  typer's signature
        """Return a stand-in that has the name and the summary of a command: all that a help text shows."""
        source = self.sources.get(cmd_name)
        if source is None:
            return None
        return TyperCommand(cmd_name, help=source.summary)

    def resolve_command(self, ctx: "Context", args: list[str]) -> "tuple[str | None, Command | None, list[str]]":
        """Import the command that is about to be run."""
        name, stand_in, arguments = super().resolve_command(ctx, args)
        if name is None:
            return name, stand_in, arguments
        return name, self.commands[name], arguments


class ImportedCommands(Mapping[str, "Command"]):
    """The commands of a table, each imported when it is asked for."""

    def __init__(self, sources: Mapping[str, CommandSource]) -> None:
        self._sources = sources

    def __getitem__(self, name: str) -> "Command":
        return import_command(name, self._sources[name].path)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def import_command(name: str, path: str) -> "Command":
    """Return the command that a function, or a `typer.Typer`, at "package.module:name" makes."""
    module_name, _, attribute = path.partition(":")
    target = getattr(importlib.import_module(module_name), attribute)
    command: Command
    if isinstance(target, typer.Typer):
        command = typer.main.get_group(target)
    else:
        one_command_app = typer.Typer(add_completion=False)
        one_command_app.command(name)(target)
        command = typer.main.get_command(one_command_app)
    command.name = name
    return command
