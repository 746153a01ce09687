"""The command line: help, exit codes, one line per mistake, and what must never be imported by a light command."""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from commands import run_sweeps
from fakes import TINY

from sweeps import store
from sweeps.cli import app, launch
from sweeps.space import file

COMMANDS = list(app.COMMANDS)
SOURCES = {**app.COMMANDS, **{f"launch {name}": source for name, source in launch.LaunchCommands.sources.items()}}


def sweeps(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that trains as a process of its own, and any other in a fork."""
    if arguments[0] in ("rehearse", "worker"):
        command = [sys.executable, "-m", "sweeps", *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return run_sweeps(*arguments, cwd=cwd)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with a store that holds the tiny study, untouched."""
    storage = store.connect(f"sqlite:///{tmp_path}/sweeps.db", create=True)
    store.create_study(storage, file.parse_space(TINY), TINY, [])
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text_and_a_line_in_the_manual(command: str, tmp_path: Path) -> None:
    shown = sweeps(command, "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert len(shown.stdout.split()) > 20
    listed = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    assert f"sweeps {command}" in listed


@pytest.mark.parametrize(("command", "usage"), [("worker", "[OPTIONS] [STUDY...]"), ("status", "[OPTIONS] [STUDY]")])
def test_what_may_be_left_out_is_in_brackets_once(command: str, usage: str, tmp_path: Path) -> None:
    assert usage in sweeps(command, "--help", cwd=tmp_path).stdout


def test_a_place_that_is_none_shows_before_a_rehearsal(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    done = sweeps("run", "tiny.toml", "--artifacts", "https://host/x", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "sweeps: https:// is no place for files; write a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX\n"
    )


def test_every_option_has_a_help_text() -> None:
    group: Any = typer.main.get_command(app.app)
    commands = [*group.commands.items(), *group.commands["data"].commands.items()]
    commands += group.commands["launch"].commands.items()
    assert len(commands) > 20
    for name, command in commands:
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", SOURCES)
def test_the_list_of_commands_has_the_first_paragraph_of_each_docstring(name: str) -> None:
    source = SOURCES[name]
    module, _, attribute = source.path.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    text = str(target.info.help) if isinstance(target, typer.Typer) else str(inspect.getdoc(target))
    assert source.summary == " ".join(text.split("\n\n")[0].split())


def test_a_list_of_commands_and_a_mistyped_command_import_no_command(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom sweeps.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as exc:\n    print('code', exc.code)\n"
        "print('imported', sorted({'optuna', 'numpy', 'sqlalchemy', 'sweeps.cli.status'} & set(sys.modules)))"
    )
    for arguments, code in ((["--help"], 0), (["launch", "--help"], 0), (["statsu"], 2)):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert f"code {code}\nimported []\n" in done.stdout
    assert "Did you mean 'status'?" in " ".join(done.stderr.split())


LIGHT = [
    ["--help"],
    ["--version"],
    ["status"],
    ["status", "tiny", "--json"],
    ["schema"],
    ["run", "--help"],
    ["export", "--help"],
    ["launch", "--help"],
    ["dashboard", "--help"],
]


@pytest.mark.parametrize("arguments", LIGHT, ids=[" ".join(arguments) for arguments in LIGHT])
def test_light_commands_never_import_what_is_heavy(study: Path, arguments: list[str]) -> None:
    done = run_sweeps(*arguments, cwd=study)  # which fails where anything heavy was imported
    assert done.returncode == 0, done.stderr


BAD = [
    (["run", "none.toml"], "none.toml: no such file; see search_spaces/ for examples"),
    (["run", "half.toml"], "half.toml: not TOML"),
    (["run", "tiny.toml", "--set", "budget.trialz=6"], "tiny.toml: budget.trialz: unknown key; did you mean 'trials'?"),
    (["create", "tiny.toml", "--storage", "sqlite:///no/folder/x.db"], "check that the folder exists"),
    (["create", "tiny.toml", "--storage", "nonsense"], "the storage is not a URL"),
    (["worker", "tiny"], "no store at sweeps.db; make one with `sweeps run SPACE.toml`"),
    (["status"], "no store at sweeps.db"),
    (["status", "--storage", "sqlite:///text.db"], "not a SQLite database"),
    (["rehearse", "tiny.toml", "--set", "space.activation=selo"], "did you mean 'selu'?"),
]


@pytest.mark.parametrize(("arguments", "line"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2_and_leaves_nothing_behind(
    arguments: list[str], line: str, tmp_path: Path
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "half.toml").write_text("[study\n")
    (tmp_path / "text.db").write_text("no database at all " * 100)
    before = sorted(tmp_path.rglob("*"))
    done = sweeps(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert line in done.stderr
    assert done.stderr.startswith("sweeps: ")
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_command_or_option_is_exit_code_2(tmp_path: Path) -> None:
    assert sweeps("fly", cwd=tmp_path).returncode == 2
    assert sweeps("status", "--jsn", cwd=tmp_path).returncode == 2


def test_status_counts_and_names_and_speaks_json(study: Path) -> None:
    shown = sweeps("status", cwd=study)
    assert "tiny: 0 of 4 trials" in shown.stdout
    assert "Does it run?" in shown.stdout
    values = json.loads(sweeps("status", "tiny", "--json", cwd=study).stdout)
    assert (values["study"], values["trials"], values["done"], values["best"]) == ("tiny", 4, 0, None)
    whole = {"studies": [values], "workers": [], "unreadable": [], "slurm": []}
    assert json.loads(sweeps("status", "--json", cwd=study).stdout) == whole
    missing = sweeps("status", "other", cwd=study)
    assert missing.returncode == 2
    assert "no study 'other'" in missing.stderr


def test_a_changed_file_is_refused_with_what_differs_and_what_to_do(study: Path) -> None:
    (study / "tiny.toml").write_text(TINY)
    done = sweeps("run", "tiny.toml", "--set", "budget.steps=8", cwd=study)
    assert done.returncode == 2
    assert "budget.steps: 6 in the study, 8 in the file" in done.stderr
    assert "--set study.name=" in done.stderr


def test_create_is_content_with_a_study_that_is_there_and_raises_its_budget(study: Path) -> None:
    (study / "tiny.toml").write_text(TINY)
    done = sweeps("create", "tiny.toml", "--set", "budget.trials=9", cwd=study)
    assert done.returncode == 0, done.stderr
    assert "there already: study 'tiny'" in done.stdout
    assert json.loads(sweeps("status", "tiny", "--json", cwd=study).stdout)["trials"] == 9


def test_the_schema_accepts_what_the_parser_accepts() -> None:
    shown = json.loads(run_sweeps("schema").stdout)
    assert set(shown["properties"]) == {
        "study",
        "budget",
        "verdict",
        "data",
        "model",
        "sampler",
        "pruner",
        "space",
        "full",
    }
    assert "selu" in json.dumps(shown["properties"]["space"]["properties"]["activation"])
    assert shown["additionalProperties"] is False


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sweeps", "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "sweeps: standard output: no space is left there; make some\n"
