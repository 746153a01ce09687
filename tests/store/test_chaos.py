"""Many workers while chance kills them and their store: the study ends as if nothing had happened."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos_worker import Plan
from crew import Crew, View, check_quiet, ends, make, undisturbed
from servers import MariaDB, PostgreSQL, Server

pytestmark = pytest.mark.slow

EACH_S = 1.0  # from one kill of a worker to the next
MOST_KILLS = 30  # lest a slow machine kills more than it gets done
PAUSE_S = 10.0
LIMIT_S = 240.0

Deed = Callable[[], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """How each of 200 trials ends undisturbed."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"), "budget.trials=200")


def pause(server: Server) -> None:
    server.pause()
    time.sleep(PAUSE_S)
    server.resume()


def crash(server: Server) -> None:
    server.kill()
    server.start()


def disturb(crew: Crew, view: View, trials: int, deeds: dict[int, Deed]) -> int:
    """Kill a worker now and then, and do each deed once so many trials are done; how many were killed."""
    chance, killed, due, seen = random.Random(0), 0, time.monotonic() + EACH_S, 0
    deadline = time.monotonic() + LIMIT_S
    while (done := view.done()) < trials:
        assert time.monotonic() < deadline, f"{done} of {trials} done: {crew.logs()}"
        seen = max(seen, done)
        for at in [at for at in deeds if at <= seen]:
            deeds.pop(at)()
        if time.monotonic() > due and killed < MOST_KILLS:
            due = time.monotonic() + EACH_S
            chance.choice(crew.running).kill()
            crew.start()
            killed += 1
        time.sleep(0.1)
    assert not deeds
    return killed


def check(crew: Crew, view: View, trials: int, killed: int, whole: dict[int, dict[str, Any]]) -> None:
    """All ended well, and as undisturbed."""
    assert {code for code in crew.ended() if code != -9} <= {0}, crew.logs()
    check_quiet(crew)
    found = ends(view)
    assert sorted(found) == list(range(trials)), "no trial but one for each slot"
    assert {trial["state"] for trial in found.values()} == {"COMPLETE"}
    assert sorted(row["number"] for row in view.slots()) == list(range(trials))
    for number, trial in found.items():
        assert trial == whole[number], number
        assert len(trial["readings"]) == 21, "each step was looked at"
        assert sorted(trial["reported"]) == list(range(1, 21))
    assert len(crew.checkpoints()) <= killed, "one stays only where its worker was killed in the act"
    retried = sum(row["deaths"] > 0 for row in view.slots())
    resumed = [int(step) for step in re.findall(r"goes on from step (\d+)", crew.logs())]
    assert killed > 0
    assert retried > 0
    assert any(step > 0 for step in resumed), "nothing was gone on with: the test shows nothing"


def test_postgresql(fresh_postgres: PostgreSQL, tmp_path: Path, whole: dict[int, dict[str, Any]]) -> None:
    server = fresh_postgres
    view = make(server.database("sweeps"), "budget.trials=200")
    deeds: dict[int, Deed] = {20: lambda: crash(server), 60: lambda: pause(server), 100: server.restart}
    with Crew(view.url, tmp_path / "crew", Plan(look_s=0.04)) as crew:
        crew.start(8)
        killed = disturb(crew, view, 200, deeds)
        check(crew, view, 200, killed, whole)


def test_sqlite(tmp_path: Path, whole: dict[int, dict[str, Any]]) -> None:
    view = make(f"sqlite:///{tmp_path}/store.db", "budget.trials=20")
    with Crew(view.url, tmp_path / "crew", Plan(look_s=0.08)) as crew:
        crew.start(4)
        check(crew, view, 20, disturb(crew, view, 20, {}), whole)


def test_mariadb(fresh_mariadb: MariaDB, tmp_path: Path, whole: dict[int, dict[str, Any]]) -> None:
    view = make(fresh_mariadb.database("sweeps"), "budget.trials=40")
    with Crew(view.url, tmp_path / "crew", Plan(look_s=0.08)) as crew:
        crew.start(4)
        check(crew, view, 40, disturb(crew, view, 40, {8: lambda: crash(fresh_mariadb)}), whole)
