"""Optuna's storage in a database, which leaves out what cannot be read of a study's attributes.

Optuna itself fails for all attributes of a study, and a command with it, where one of them is no JSON.
"""

import json
import logging
from typing import Any

from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import select, type_coerce
from sqlalchemy.types import NullType

from sweeps.errors import StoreError
from sweeps.optuna_private import models
from sweeps.store.batches import table_of
from sweeps.store.readable import NO_VALUE

logger = logging.getLogger(__name__)
_said: set[tuple[str, int, str]] = set()  # what this process has warned of: table, study, key


class TolerantStorage(RDBStorage):
    """See the module."""

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes that can be read; each other one is warned of once.

        Raises:
            KeyError: there is no such study.
        """
        return self._read_attributes(models.StudyUserAttributeModel, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """See `get_study_user_attrs`."""
        return self._read_attributes(models.StudySystemAttributeModel, study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of a study.

        Raises:
            KeyError: there is no such study.
            StoreError: one is none that Optuna knows.
        """
        try:
            directions: list[StudyDirection] = super().get_study_directions(study_id)
        except KeyError:
            raise
        except LookupError as exc:
            name = self.get_study_name_from_id(study_id)
            raise StoreError(f"study {name!r}: its direction is none: set it back, or delete the study") from exc
        return directions

    def _read_attributes(self, model: Any, study_id: int) -> dict[str, Any]:
        name = self.get_study_name_from_id(study_id)  # raises for a study that is gone
        table = table_of(model)
        query = select(table.c.key, type_coerce(table.c.value_json, NullType())).where(table.c.study_id == study_id)
        with self.engine.connect() as db:
            rows = db.execute(query).all()
        values: dict[str, Any] = {}
        for key, text in rows:
            try:
                values[key] = json.loads(text)
            except NO_VALUE:
                self._warn(table.name, study_id, key, name)
        return values

    def _warn(self, table: str, study_id: int, key: str, name: str) -> None:
        if (table, study_id, key) not in _said:
            _said.add((table, study_id, key))
            logger.warning("study %r: its attribute %s cannot be read and is left out: set it back", name, key)
