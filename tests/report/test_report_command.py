"""`sweeps report` as a person types it: what it writes and prints, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from commands import run_sweeps
from servers import PASSWORD, PostgreSQL

from sweeps import store
from sweeps.space import file

pytestmark = pytest.mark.slow

OVERRIDES = ["budget.trials=9", "budget.steps=8"]


def fill(storage_url: str) -> None:
    """A study of nine finished trials, and one that has not begun."""
    storage = store.connect(storage_url, create=True)
    study = store.create_study(storage, file.parse_space(fakes.TINY, OVERRIDES), fakes.TINY, OVERRIDES)
    fakes.work(storage, study, fakes.learning)
    store.create_study(storage, file.parse_space(fakes.TINY, ["study.name=empty"]), fakes.TINY, ["study.name=empty"])
    storage.engine.dispose()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/sweeps.db"
    fill(url)
    return url


def sweeps(*words: str, cwd: Path, database: str) -> subprocess.CompletedProcess[str]:
    return run_sweeps(*words, cwd=cwd, environment={**os.environ, "SWEEPS_STORAGE": database})


def test_it_writes_a_page_and_tables_and_says_where(database: str, tmp_path: Path) -> None:
    words = ["report", "tiny", "--trials", "t.csv", "--readings", "r.parquet", "--layers", "l.csv"]
    done = sweeps(*words, cwd=tmp_path, database=database)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["report.html", "t.csv", "r.parquet", "l.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.csv", "r.parquet", "report.html", "t.csv"]
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 1 + 9
    assert len((tmp_path / "l.csv").read_text().splitlines()) == 1 + 9 * 5 * 2
    again = sweeps("report", "tiny", cwd=tmp_path, database=database)
    assert again.returncode == 0, "its own page it replaces"
    assert sweeps(*words, cwd=tmp_path, database=database).returncode == 0, "and its own tables"


def test_the_text_is_on_stdout_and_nothing_is_written_but_what_was_asked_for(database: str, tmp_path: Path) -> None:
    done = sweeps("report", "tiny", "--text", "--trials", "t.csv", cwd=tmp_path, database=database)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny: 9 of 9 trials\nDoes it run?\n")
    assert "Best in top-1" in done.stdout
    assert done.stderr == "t.csv\n"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_study_that_has_not_begun_gets_a_page_that_says_so(database: str, tmp_path: Path) -> None:
    done = sweeps("report", "empty", "-o", "empty.html", cwd=tmp_path, database=database)
    assert (done.returncode, done.stdout) == (0, "empty.html\n")
    assert "No trial has finished yet" in (tmp_path / "empty.html").read_text()


REFUSED = [
    (["nope"], "no study 'nope' in"),
    (["tiny", "-o", "."], "-o .: is a folder; name a file in it"),
    (["tiny", "-o", "no/folder/x.html"], "-o no/folder/x.html: cannot be written (No such file or directory)"),
    (["tiny", "-o", "notes.txt"], "-o notes.txt: is there and no sweeps report; name another file, or remove it"),
    (["tiny", "-o", "/dev/null"], "-o /dev/null: is no ordinary file"),
    (["tiny", "--trials", "x.xlsx"], "--trials x.xlsx: the ending decides the format"),
    (["tiny", "--trials", "x.csv", "--readings", "./x.csv"], "two of the files have the same name"),
    (["tiny", "--text", "-o", "x.html"], "--text prints instead of writing a page"),
]


@pytest.mark.parametrize(("words", "line"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_is_one_line_and_exit_code_2_and_leaves_nothing_behind(
    words: list[str], line: str, database: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = sweeps("report", *words, cwd=tmp_path, database=database)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"sweeps: {line}")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("notes.txt", "mine")]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_of_somebody_else_stays(name: str, database: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("trial,study,mine\n")
    done = sweeps("report", "tiny", "--trials", name, cwd=tmp_path, database=database)
    line = f"sweeps: --trials {name}: is there and no table of sweeps report; name another file, or remove it\n"
    assert (done.returncode, done.stderr) == (2, line)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "trial,study,mine\n")]


def test_a_folder_that_nobody_may_write_to_is_one_line(database: str, tmp_path: Path) -> None:
    done = sweeps("report", "tiny", "-o", "/proc/report.html", cwd=tmp_path, database=database)  # not even root may
    assert done.returncode == 2
    assert done.stderr.startswith("sweeps: -o /proc/report.html: cannot be written (")
    assert done.stderr.count("\n") == 1


def test_a_link_is_followed_and_stays_one(database: str, tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "report.html").symlink_to("pages/latest.html")
    assert sweeps("report", "tiny", cwd=tmp_path, database=database).returncode == 0
    assert (tmp_path / "report.html").is_symlink()
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["latest.html"]


@pytest.mark.parametrize(("words", "absent"), [(["--text"], "matplotlib"), ([], "pyarrow")])
def test_only_what_is_needed_is_imported(words: list[str], absent: str, database: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom sweeps.cli.app import app\nsys.argv = ['sweeps', *sys.argv[1:]]\napp(standalone_mode=False)\n"
        "heavy = {'tensorflow', 'keras', 'optuna_dashboard', 'sklearn', '" + absent + "'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "report", "tiny", *words],
        cwd=tmp_path,
        env={**os.environ, "SWEEPS_STORAGE": database},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_no_password_is_in_a_page_or_a_table(postgres: PostgreSQL, tmp_path: Path) -> None:
    url = postgres.database("report")
    fill(url)
    done = sweeps("report", "tiny", "--trials", "t.csv", "--readings", "r.csv", cwd=tmp_path, database=url)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.iterdir():
        assert PASSWORD not in path.read_text()
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + 9 * 5
    postgres_is_away = url.replace(f":{postgres.port}", ":1")
    away = sweeps("report", "tiny", cwd=tmp_path, database=postgres_is_away)
    assert (away.returncode, away.stderr.count("\n")) == (2, 1), away.stderr
    assert PASSWORD not in away.stderr


def test_the_benchmark_measures_the_command(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "benchmarks" / "report.py"
    words = ["--trials", "3", "--keep", str(tmp_path), "--json", str(tmp_path / "json")]
    subprocess.run([sys.executable, str(program), *words], capture_output=True, text=True, check=True)
    (measured,) = json.loads((tmp_path / "json").read_text())
    page = (tmp_path / "3" / "report.html").read_text()
    assert (measured["trials"], measured["bytes"]) == (3, len(page.encode()))
    assert "3 of 3 trials have finished" in page
