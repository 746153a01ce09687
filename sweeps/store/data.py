"""Which data a study is trained on: the first worker says it, and others are held to it."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, select

from sweeps.optuna_private import models
from sweeps.store.attributes import ACCEPT_NEXT_DATA, DATA_DIGESTS
from sweeps.store.batches import put_rows, table_of, writing_transaction
from sweeps.store.leases import lock_study

ATTRIBUTES = table_of(models.StudyUserAttributeModel)


def admit_data(engine: Engine, study_id: int, digest: str) -> bool:
    """Return whether a worker whose data have this digest may train the study's trials.

    The first digest of a study is written down. Another is admitted once, after `accept_next_data`.
    """
    known = _read_attributes(engine, study_id)
    if digest in known.get(DATA_DIGESTS, []):
        return True
    with writing_transaction(engine) as db:
        lock_study(db, study_id)
        known = _select_attributes(db, study_id)
        digests: list[str] = known.get(DATA_DIGESTS, [])
        if digest in digests:
            return True
        if digests and not known.get(ACCEPT_NEXT_DATA):
            return False
        values = {DATA_DIGESTS: [*digests, digest], ACCEPT_NEXT_DATA: False}
        rows = [{"study_id": study_id, "key": key, "value_json": json.dumps(value)} for key, value in values.items()]
        put_rows(db, ATTRIBUTES, rows, ("study_id", "key"))
        return True


def _read_attributes(engine: Engine, study_id: int) -> Mapping[str, Any]:
    with engine.connect() as db:
        return _select_attributes(db, study_id)


def _select_attributes(db: Connection, study_id: int) -> Mapping[str, Any]:
    query = select(ATTRIBUTES.c.key, ATTRIBUTES.c.value_json).where(
        ATTRIBUTES.c.study_id == study_id, ATTRIBUTES.c.key.in_((DATA_DIGESTS, ACCEPT_NEXT_DATA))
    )
    return {key: json.loads(value) for key, value in db.execute(query)}
