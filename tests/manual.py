"""The README and the pages of docs/: their blocks of code, and the commands in those."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r'^```(\w+)(?: title="([^"\n]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file that it is, if any, and its text."""

    language: str
    title: str
    text: str


@dataclass(frozen=True)
class Command:
    """What is typed, and what a transcript says that it prints."""

    typed: str
    printed: tuple[str, ...] = ()

    @property
    def error(self) -> str:
        """Our one line, if the transcript is that of a mistake: it is all that is printed."""
        return self.printed[0] if len(self.printed) == 1 and self.printed[0].startswith("sweeps: ") else ""


@dataclass(frozen=True)
class Page:
    """A file of Markdown."""

    path: Path

    @property
    def name(self) -> str:
        """Below the project's folder."""
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        """Its blocks of code, in their order."""
        return [Block(*found) for found in FENCE.findall(self.text)]

    @cached_property
    def prose(self) -> str:
        """What is in no block of code."""
        return FENCE.sub("", self.text)

    @cached_property
    def inline(self) -> list[str]:
        """What is code within a line; a table's escaped bars are bars."""
        return [code.replace("\\|", "|") for code in re.findall(r"`([^`\n]+)`", self.prose)]

    @cached_property
    def commands(self) -> list[Command]:
        """What a person types, in its order."""
        return [command for block in self.blocks for command in _commands(block)]


def _commands(block: Block) -> list[Command]:
    if block.language == "sh":
        return [Command(line) for line in _whole(block.text) if line.strip()]
    if block.language != "console":
        return []
    found: list[Command] = []
    for line in _whole(block.text):
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        else:
            found[-1] = Command(found[-1].typed, (*found[-1].printed, line))
    return found


def _whole(text: str) -> list[str]:
    """Lines, those that a backslash continues as one."""
    return text.replace("\\\n", " ").splitlines()


PAGES = [Page(ROOT / "README.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]


def page(name: str) -> Page:
    """One of them, by its name."""
    return next(each for each in PAGES if each.name == name)
