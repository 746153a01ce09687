"""Our tables: a slot has one owner, readings come back as they went in."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from fakes import reading
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from sweeps import store, tables
from sweeps.signals import ChannelVitals


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return store.connect(f"sqlite:///{tmp_path}/store.db", create=True).engine


def test_slots_are_claimed_in_order_and_given_back(engine: Engine) -> None:
    assert [tables.claim(engine, 1, 2, "host", 1) for _ in range(3)] == [0, 1, None]
    assert tables.claim(engine, 2, 2, "host", 1) == 0
    tables.release(engine, 1, 0)
    assert tables.claim(engine, 1, 2, "host", 1) == 0


def test_a_finished_slot_is_never_given_back(engine: Engine) -> None:
    tables.claim(engine, 1, 1, "host", 1)
    tables.assign(engine, 1, 0, 7)
    tables.finish(engine, 1, 0)
    tables.release(engine, 1, 0)
    assert tables.slots(engine, 1) == [tables.Slot(0, 7, "host", 1, done=True)]


def claim_all(url: str, pid: int) -> list[int]:
    engine = store.connect(url).engine
    claimed = []
    while (slot := tables.claim(engine, 1, 60, "host", pid)) is not None:
        claimed.append(slot)
    return claimed


def test_no_two_processes_get_the_same_slot(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store.connect(url, create=True)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        claimed = pool.starmap(claim_all, [(url, pid) for pid in range(4)])
    assert sorted(slot for slots in claimed for slot in slots) == list(range(60))


FLOATS = st.floats(allow_nan=False, width=64)


@given(losses=st.lists(FLOATS, min_size=1, max_size=5), finite=st.booleans())
def test_readings_come_back_as_they_went_in(losses: list[float], finite: bool) -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    tables.create(engine)
    readings = [replace(reading(step, loss=loss, finite=finite), f1=loss) for step, loss in enumerate(losses)]
    channels = ChannelVitals((0.0, -1.5), (1.0, losses[0]), (0.25, 1e-30))
    readings[0] = replace(readings[0], layers=tuple(replace(layer, channels=channels) for layer in readings[0].layers))
    tables.write_readings(engine, 1, 3, readings)
    assert repr(tables.readings(engine, 1, 3)) == repr(readings), "not a number is not equal to itself"
    engine.dispose()
