"""Studies on offer and workers; slots that wait for a worker; compressed readings."""

import zlib

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

BATCH = 500  # readings


def upgrade() -> None:
    """Make the new tables, carry the old ones' rows over, drop those."""
    op.rename_table("sweeps_slots", "sweeps_old_slots")
    op.rename_table("sweeps_readings", "sweeps_old_readings")
    _tables()
    _carry_slots()
    _carry_readings()
    for name in ("sweeps_old_slots", "sweeps_old_readings", "sweeps_schema"):
        op.drop_table(name)


def _tables() -> None:
    op.create_table(
        "sweeps_studies",
        sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
    )
    op.create_table(
        "sweeps_workers",
        sa.Column("worker_id", sa.Integer, primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("born", sa.Double, nullable=False),
        sa.Column("gpu", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("seen", sa.Double, nullable=False, index=True),
        sa.Column("lost", sa.Boolean, nullable=False),
        sa.Column("study_id", sa.Integer),
        sa.Column("trial_number", sa.Integer),
        sa.Column("step", sa.Integer),
        sa.Column("rate", sa.Double),
    )
    op.create_table(
        "sweeps_slots",
        sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("trial_id", sa.Integer),
        sa.Column("number", sa.Integer),
        sa.Column("worker_id", sa.Integer, index=True),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("deaths_here", sa.Integer, nullable=False),
        sa.Column("died_at", sa.Integer, nullable=False),
    )
    op.create_index("ix_sweeps_slots_open", "sweeps_slots", ["study_id", "done"])
    op.create_table(
        "sweeps_readings",
        sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("reading", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"), nullable=False),
    )


def _carry_slots() -> None:
    connection = op.get_bind()
    attributes = sa.table("study_user_attributes", sa.column("study_id"), sa.column("key"))
    ours = connection.execute(sa.select(attributes.c.study_id).where(attributes.c.key == "space")).scalars().all()
    studies = sa.table("sweeps_studies", *map(sa.column, ("study_id", "state", "priority")))
    if ours:
        connection.execute(
            sa.insert(studies), [{"study_id": study, "state": "active", "priority": 0} for study in ours]
        )
    op.execute(
        "INSERT INTO sweeps_slots (study_id, slot, trial_id, number, done, step, deaths, deaths_here, died_at) "
        "SELECT old.study_id, old.slot, trials.trial_id, old.trial_number, old.done, -1, 0, 0, -1 "
        "FROM sweeps_old_slots old "
        "LEFT JOIN trials ON trials.study_id = old.study_id AND trials.number = old.trial_number"
    )


def _carry_readings() -> None:
    connection = op.get_bind()
    old = sa.table("sweeps_old_readings", *map(sa.column, ("study_id", "trial_number", "step", "reading")))
    new = sa.table(
        "sweeps_readings",
        *map(sa.column, ("study_id", "number", "step")),
        sa.column("reading", sa.LargeBinary),
    )
    order = (old.c.study_id, old.c.trial_number, old.c.step)
    start = 0
    while rows := connection.execute(sa.select(old).order_by(*order).offset(start).limit(BATCH)).all():
        values = [
            {"study_id": study, "number": number, "step": step, "reading": zlib.compress(text.encode())}
            for study, number, step, text in rows
        ]
        connection.execute(sa.insert(new), values)
        start += BATCH
