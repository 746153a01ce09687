"""What docs/operators.md says of backups: a store that was saved while workers ran, and restored elsewhere, goes on."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import fakes
import servers
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.space import file
from sweeps.store import leases
from sweeps.store.processes import this_process


def begun(storage_url: str) -> None:
    """A store whose study has two of its four trials, and a third in the hands of a worker that was not told."""
    storage = store.connect(storage_url, create=True)
    two = ["budget.trials=2"]
    study = store.create_study(storage, file.parse_space(fakes.TINY, two), fakes.TINY, two)
    fakes.work(storage, study, fakes.learning)
    store.record_space(study, file.parse_space(fakes.TINY), fakes.TINY, [])
    ended = replace(this_process(), born=1.0)
    assert (
        leases.claim_trial(storage.engine, leases.register_worker(storage.engine, ended, "CPU", "0.1"), 1, 4)
        is not None
    )
    storage.engine.dispose()


def check_it_goes_on(restored: RDBStorage) -> None:
    study = store.load_study(restored, "tiny")
    before = study.get_trials()
    assert [trial.state.is_finished() for trial in before[:2]] == [True, True]
    fakes.work(restored, study, fakes.learning)
    after = study.get_trials()
    assert [trial.state.name for trial in after] == ["COMPLETE"] * 4
    assert [trial.params for trial in after[:2]] == [trial.params for trial in before[:2]]
    assert store.readings(restored.engine, 1, 0)
    restored.engine.dispose()


def test_postgresql_by_pg_dump_and_pg_restore(postgres: servers.PostgreSQL, tmp_path: Path) -> None:
    begun(postgres.database("saved"))
    restored = postgres.database("restored")
    where = [f"--host={postgres.directory}", f"--port={postgres.port}", f"--username={postgres.admin}"]
    environment = {**os.environ, "PGPASSWORD": servers.PASSWORD}
    for words in (
        ["pg_dump", "--format=custom", f"--file={tmp_path}/dump", *where, "saved"],
        ["pg_restore", "--clean", "--if-exists", "--exit-on-error", "--dbname=restored", *where, f"{tmp_path}/dump"],
    ):
        program = shutil.which(words[0], path=servers._path())
        subprocess.run([str(program), *words[1:]], env=environment, check=True)
    check_it_goes_on(store.connect(restored))


def test_sqlite_by_its_own_backup(tmp_path: Path) -> None:
    begun(f"sqlite:///{tmp_path}/sweeps.db")
    with closing(sqlite3.connect(tmp_path / "sweeps.db")) as db, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        db.backup(copy)  # what `.backup` of the sqlite3 command calls
    check_it_goes_on(store.connect(f"sqlite:///{tmp_path}/copy.db"))
