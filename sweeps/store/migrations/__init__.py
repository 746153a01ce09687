"""Our tables' schema and its changes, by alembic in a version table of its own: Optuna's is not touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from sweeps.errors import StoreError

VERSION_TABLE = "sweeps_alembic_version"
FIRST = "0001"  # the tables as they were before alembic kept their version
LOCK = 0x53574545  # any number that other programs do not lock


def upgrade_schema(engine: Engine) -> None:
    """Bring our tables to the newest schema; several processes may do so at once.

    Raises:
        StoreError: they are of a newer version of sweeps.
    """
    scripts = ScriptDirectory.from_config(_alembic_config())
    with engine.connect() as connection:
        revision = _current_revision(connection)
    if revision == scripts.get_current_head():
        return
    if revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError("made by a newer version of sweeps; upgrade with pip install -U optuna-sweeps")
    with engine.connect() as connection, _one_process_at_a_time(connection):
        config = _alembic_config()
        config.attributes["connection"] = connection
        if _current_revision(connection) is None and sqlalchemy.inspect(connection).has_table("sweeps_schema"):
            command.stamp(config, FIRST)
        command.upgrade(config, "head")


def _current_revision(connection: Connection) -> str | None:
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@contextmanager
def _one_process_at_a_time(connection: Connection) -> Iterator[None]:
    """Let one process at a time go on, in one transaction where the database has those for tables (MySQL does not)."""
    name = connection.dialect.name
    if name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
    elif name in ("mysql", "mariadb"):
        connection.exec_driver_sql("SELECT GET_LOCK('sweeps', 60)")
    try:
        yield
        connection.commit()
    finally:
        if name in ("mysql", "mariadb"):
            connection.exec_driver_sql("SELECT RELEASE_LOCK('sweeps')")
