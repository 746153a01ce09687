"""Notes as optuna-dashboard keeps them: Markdown among the system attributes of a study, its own and its trials'.

What sweeps says stands above a line; what people write below that line stays when sweeps says it anew.
"""

import json
import re
from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, select

from sweeps.optuna_private import models
from sweeps.store.batches import put_rows, table_of, writing_transaction

ATTRIBUTES = table_of(models.StudySystemAttributeModel)
FINISHED_IN_NOTE = "sweeps:note_finished"  # a study's system attribute: how many finished trials its note tells of
END = "*`sweeps` rewrites what stands above; what is written below this line stays.*"
# As above, or as earlier versions wrote it.
LINE = re.compile(r"\*`sweeps(?: autopsy)?` rewrites what stands above; what is written below this line stays\.\*")
# The dashboard looks through all attributes once for every trial: the fewer pieces the better. MariaDB's TEXT takes
# 65 535 bytes, and JSON up to 12 a character.
WHOLE = 60_000
PIECE = 5000


def changed_attributes(attributes: Mapping[str, Any], trial_id: int | None, ours: str) -> dict[str, Any]:
    """Return the attributes to set for a note that says `ours` above the line; none where it says so already.

    Args:
        attributes: of the study, those of the note as it is among them.
        trial_id: None for the study's own note.
    """
    version, pieces = _version_and_pieces(attributes, trial_id)
    before = "".join(pieces)
    theirs = LINE.split(before, maxsplit=1)[-1].strip()
    ours = LINE.sub(lambda line: line[0].strip("*"), ours)  # a text of somebody's may hold the line: it divides nothing
    body = f"{ours}\n\n{END}\n" + (f"\n{theirs}\n" if theirs else "")
    if body == before:
        return {}
    # Whoever has a note open in the dashboard cannot save it once the version is another. A trial's note is said once;
    # a study's is said anew while its trials end, and nothing is lost if an older one is put back for a minute.
    if trial_id is None:
        version = max(1, version)
    else:
        version = version + 1
    if len(json.dumps(body)) > WHOLE:
        size = PIECE
    else:
        size = len(body)
    count = max(len(pieces), ceil(len(body) / size))
    cut = {
        f"{_key_prefix(trial_id)}note_str:{piece}": body[piece * size : (piece + 1) * size] for piece in range(count)
    }
    return {f"{_key_prefix(trial_id)}note_ver": version, **cut}


def note_text(attributes: Mapping[str, Any], trial_id: int | None) -> str:
    """Return a note as the dashboard shows it; empty where there is none."""
    return "".join(_version_and_pieces(attributes, trial_id)[1])


def write_note(engine: Engine, study_id: int, trial_id: int | None, ours: str) -> None:
    """Have a note say `ours`, above what a person wrote."""
    with writing_transaction(engine) as db:
        put_note(db, study_id, trial_id, ours)


def store_study_note(engine: Engine, study_id: int, ours: str, finished: int) -> None:
    """Have a study's note say `ours`, and record how many finished trials it tells of."""
    with writing_transaction(engine) as db:
        put_note(db, study_id, None, ours)
        row = {"study_id": study_id, "key": FINISHED_IN_NOTE, "value_json": json.dumps(finished)}
        put_rows(db, ATTRIBUTES, [row], ("study_id", "key"))


def put_note(db: Connection, study_id: int, trial_id: int | None, ours: str) -> None:
    """Write a note inside a transaction."""
    found = db.execute(
        select(ATTRIBUTES.c.key, ATTRIBUTES.c.value_json).where(*note_conditions(study_id, trial_id))
    ).all()
    new = changed_attributes({key: json.loads(value) for key, value in found}, trial_id, ours)
    rows = [{"study_id": study_id, "key": key, "value_json": json.dumps(value)} for key, value in new.items()]
    put_rows(db, ATTRIBUTES, rows, ("study_id", "key"))


def note_conditions(study_id: int, trial_id: int | None) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for the attributes of one note."""
    yield ATTRIBUTES.c.study_id == study_id
    yield ATTRIBUTES.c.key.like(f"{_key_prefix(trial_id)}note%")


def finished_in_notes(engine: Engine) -> dict[int, int]:
    """Return how many finished trials each study's own note tells of, by the study's id; of those that say so."""
    query = select(ATTRIBUTES.c.study_id, ATTRIBUTES.c.value_json)
    with engine.connect() as db:
        rows = db.execute(query.where(ATTRIBUTES.c.key == FINISHED_IN_NOTE)).all()
    return {study_id: int(json.loads(value)) for study_id, value in rows}


def _version_and_pieces(attributes: Mapping[str, Any], trial_id: int | None) -> tuple[int, list[str]]:
    """Return a note's version and pieces; (0, []) where there is none."""
    prefix = f"{_key_prefix(trial_id)}note_str:"
    count = sum(name.startswith(prefix) for name in attributes)
    pieces = [str(attributes.get(f"{prefix}{piece}", "")) for piece in range(count)]
    return int(attributes.get(f"{_key_prefix(trial_id)}note_ver", 0)), pieces


def _key_prefix(trial_id: int | None) -> str:
    if trial_id is None:
        return "dashboard:"
    return f"dashboard:{trial_id}:"
