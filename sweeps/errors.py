"""Every error of ours, named by what the reader can do about it.

SweepsError                 exit 1: something went wrong on our side of the line
├── InputError              exit 2: mend what you typed or wrote
│   ├── SpaceError          the search-space file: file: key: what is wrong; the mend
│   └── StoreError          the SQL store: its URL, its schema, a study's name
├── TrialError              this trial fails with the reason; the worker goes on
└── WorkerError             workers keep failing; the message says where to look
"""


class SweepsError(Exception):
    """Root of the tree; the text is one line for a person."""

    exit_code = 1


class InputError(SweepsError):
    """What was typed or written cannot be used; nothing was changed."""

    exit_code = 2


class SpaceError(InputError):
    """A search-space file that cannot be used.

    Args:
        source: the file's name as the user gave it.
        problems: (key, what is wrong and the mend), in the order of the file.
    """

    def __init__(self, source: str, problems: list[tuple[str, str]]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join(": ".join(part for part in (source, key, text) if part) for key, text in problems))


class StoreError(InputError):
    """The store cannot be opened, or does not hold what was asked for."""


class TrialError(SweepsError):
    """One trial's configuration or data cannot be trained."""


class WorkerError(SweepsError):
    """Workers keep failing, so that going on would only waste the budget."""
