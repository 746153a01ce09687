"""Our schema: what migrations make is what the tables declare; an older store keeps all it held; two start at once."""

import json
from multiprocessing.pool import Pool

import fakes
import optuna
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text

from sweeps import store
from sweeps.space import file
from sweeps.store import migrations, queue
from sweeps.store.tables import Base

pytestmark = pytest.mark.slow


def test_the_migrations_make_what_the_tables_declare(url: str) -> None:
    engine = store.connect(url, create=True).engine
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables}
        context = MigrationContext.configure(connection, opts={**options, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        ours, theirs = migrations.VERSION_TABLE, "alembic_version"
        assert {ours, theirs} <= set(sqlalchemy.inspect(connection).get_table_names())
    engine.dispose()


def test_a_store_of_the_first_version_keeps_its_trials_and_readings(url: str) -> None:
    storage = RDBStorage(url)
    engine = storage.engine
    with engine.connect() as connection:
        config = migrations._alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(f"DROP TABLE {migrations.VERSION_TABLE}"))
        connection.commit()
    study = optuna.create_study(storage=storage, study_name="tiny", direction="maximize")
    store.record_space(study, file.parse_space(fakes.TINY), fakes.TINY, [])
    study.tell(study.ask(), 0.5)
    study.ask()
    reading = fakes.reading(4, loss=float("nan"))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO sweeps_schema VALUES (1)"))
        for slot, done in ((0, True), (1, False)):
            row = {"slot": slot, "done": done}
            connection.execute(text("INSERT INTO sweeps_slots VALUES (1, :slot, :slot, 'old', 1, :done)"), row)
        packed = {"reading": json.dumps(reading.to_dict())}
        connection.execute(text("INSERT INTO sweeps_readings VALUES (1, 0, 4, :reading)"), packed)
    engine.dispose()
    again = store.connect(url)
    assert repr(store.readings(again.engine, 1, 0)) == repr([reading])
    (offer,) = queue.queued_studies(again.engine)
    assert (offer.name, offer.done, offer.held) == ("tiny", 1, 0)
    found = store.load_study(again, "tiny")
    assert fakes.work(again, found, fakes.learning) == 3, "the trial that was cut off, and two that are new"
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 4
    again.engine.dispose()


OLD_WORKER = (
    "INSERT INTO sweeps_workers (host, machine, pid, born, gpu, version, started, seen, lost) "
    "VALUES ('node1', 'boot', 77, 1.0, 'GPU:0', '0.1', 5.0, 6.0, :lost)"
)


def test_a_store_of_the_second_version_keeps_its_workers(url: str) -> None:
    engine = RDBStorage(url).engine
    with engine.connect() as connection:
        config = migrations._alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(text(OLD_WORKER), {"lost": False})
        connection.commit()
    engine.dispose()
    again = store.connect(url).engine
    with again.begin() as connection:
        (row,) = connection.execute(text("SELECT host, pid, gpu, job FROM sweeps_workers")).all()
        assert tuple(row) == ("node1", 77, "GPU:0", "")
        connection.execute(text(OLD_WORKER), {"lost": False})  # one of that version, which runs on
        assert connection.scalar(text("SELECT count(*) FROM sweeps_workers WHERE job = ''")) == 2
    again.dispose()


def _connect(url: str) -> int:
    storage = store.connect(url, create=True)
    count = len(sqlalchemy.inspect(storage.engine).get_table_names())
    storage.engine.dispose()
    return count


def test_several_workers_may_find_an_old_schema_at_the_same_time(url: str, processes: Pool) -> None:
    RDBStorage(url).engine.dispose()
    assert len(set(processes.map(_connect, [url] * 8, chunksize=1))) == 1
