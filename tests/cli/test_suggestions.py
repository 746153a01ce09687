"""Commands that are shown to people work when they are pasted into a shell."""

import shlex
import subprocess
from pathlib import Path

import pytest
import tomli_w
import typer
from fakes import TINY

from sweeps.cli import app, suggestions
from sweeps.notes import study as study_notes
from sweeps.space import file
from sweeps.space.space import Space

NAMES = ["plain", "-dashed", "--all", "two words", "it's", 'a "b"', "$HOME", "`date`", "a;b", "[x]", "é", "a\\b"]


def named(name: str) -> Space:
    return file.parse_space(TINY.replace('name = "tiny"', tomli_w.dumps({"name": name}).strip()))


def parsed(words: list[str]) -> dict[str, object]:
    """What the command line takes a command's words for."""
    command = typer.main.get_command(app.app).commands[words[0]]  # type: ignore[attr-defined]
    values: dict[str, object] = command.make_context(words[0], words[1:]).params
    return values


def words_of(line: str) -> list[str]:
    """The words that a shell makes of a line."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line.strip()}"], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_every_next_command_names_the_study_and_the_store(name: str) -> None:
    url = "sqlite:///my store#1.db"
    shown = suggestions.next_commands(
        url, named(name), Path("-x y.toml"), overrides=[], artifacts="-place", learned=True
    )
    for line in shown.splitlines()[1:]:
        _, command, *rest = words_of(line)
        values = parsed([command, *rest])
        assert values["storage"] == url
        if command in ("report", "confirm", "export"):
            assert values["study"] == name
        if command == "run":
            assert str(values["path"]) == "-x y.toml"
    assert parsed(words_of(suggestions.worker_command(url, name))[1:])["studies"] == [name]


def test_the_note_of_a_study_quotes_its_name() -> None:
    assert f"`sweeps status -- {shlex.quote('-a b')}`" in study_notes.make_study_note(1, named("-a b"), [])
