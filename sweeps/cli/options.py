"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from sweeps import logs
from sweeps.environment import LOG_FORMAT_VARIABLE

SpaceArgument = Annotated[Path, typer.Argument(metavar="SPACE.toml", help="The search-space file.")]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Set a value of the file, e.g. budget.trials=6, or drop a key, e.g. space.epsilon=; repeatable.",
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="URL",
        help="The SQL store. Default: $SWEEPS_STORAGE, or what is in the file $SWEEPS_STORAGE_FILE, else "
        "sqlite:///sweeps.db. Use a variable for a URL with a password: options show in process lists.",
        show_default=False,
    ),
]
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")]
ArtifactsOption = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        metavar="PLACE",
        help="Where checkpoints and pictures go: a folder that all workers see, s3://BUCKET/PREFIX or "
        "gs://BUCKET/PREFIX. Default: $SWEEPS_ARTIFACTS, else beside a SQLite store.",
        show_default=False,
    ),
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="PACKAGE",
        help="Workers import functions that studies name from this package alone; give it once for each, `.` for what "
        "lies in the working directory. Default: $SWEEPS_TRUST (separated by commas), else all that can be imported.",
        show_default=False,
    ),
]
LogFormatOption = Annotated[
    logs.LogFormat,
    typer.Option(
        "--log-format",
        envvar=LOG_FORMAT_VARIABLE,
        help="Log lines on stderr: text for people, json for a log collector.",
    ),
]
