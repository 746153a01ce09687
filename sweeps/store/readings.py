"""Reading what trials left."""

from sqlalchemy import Engine, select

from sweeps.signals import Reading
from sweeps.store.tables import ReadingRow
from sweeps.store.writes import unpack


def readings(engine: Engine, study_id: int, number: int) -> list[Reading]:
    """A trial's readings, in the order of their steps."""
    query = select(ReadingRow.reading).where(ReadingRow.study_id == study_id, ReadingRow.number == number)
    with engine.connect() as db:
        return [unpack(packed) for packed in db.scalars(query.order_by(ReadingRow.step))]
