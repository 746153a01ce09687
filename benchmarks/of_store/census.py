"""Statements, transactions and round trips of one trial."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy

from of_store import loop
from of_store.loop import Tally
from of_store.proxy import Census, Proxy, counting
from of_store.rows import Row
from of_store.targets import Target
from sweeps import store

COUNTED = 10  # trials that a census takes the mean of


@contextmanager
def tapped(url: str, census: Census) -> Iterator[tuple[str, Callable[[], Census]]]:
    """The URL of a proxy to the store that counts, and what was counted by now."""
    parsed = sqlalchemy.make_url(url)
    with counting(census):
        if parsed.get_backend_name() == "sqlite":
            yield url, lambda: census + Census()
            return
        usual = 5432 if parsed.get_backend_name() == "postgresql" else 3306
        proxy = Proxy(parsed.host or "127.0.0.1", parsed.port or usual, census)
        there = parsed.set(host="127.0.0.1", port=proxy.port)
        try:
            yield there.render_as_string(hide_password=False), proxy.taken
        finally:
            proxy.close()


def census_of_plain(target: Target, prunes: bool) -> Census:
    """Of one trial of plain Optuna, the mean of some that come after the first two."""
    marks: list[Census] = []
    study = target.study("plain")
    with tapped(target.plain_url, Census()) as (url, taken):
        tally = Tally()
        loop.plain(url, study, tally, trials=COUNTED + 3, began=lambda: marks.append(taken()), prunes=prunes)
    return (marks[-1] - marks[2]) * (1 / COUNTED)


def census_of_ours(target: Target) -> dict[str, Census]:
    """Of one trial that is over before its first beat; of one with a beat at each look; of a beat and a watch alone."""
    study, census, script = target.study("ours"), Census(), Script()
    with tapped(target.url, census) as (url, taken):
        script.taken = taken
        storage, tally = store.connect(url), Tally()
        worker = loop.ours(storage, tally, trials=COUNTED + 5, at_look=script.at_look, beat_s=3600.0)
        script.beat = lambda: worker.heart._send_beat(worker.heart._aside)
        script.watch = worker.heart.reap_dead_workers
        worker.serve_studies([study])
        storage.engine.dispose()
    return script.found()


@dataclass(slots=True)
class Script:
    """What happens at the looks of a census: trials 0 and 1 settle, the last three have beats."""

    taken: Callable[[], Census] = Census
    beat: Callable[[], None] = lambda: None
    watch: Callable[[], None] = lambda: None
    starts: list[Census] = field(default_factory=list)
    alone: list[Census] = field(default_factory=list)

    def at_look(self, look: int) -> None:
        """`look` readings of the trial have been given."""
        if look == 0:
            self.starts.append(self.taken())
        trial = len(self.starts) - 1
        if trial in (COUNTED + 2, COUNTED + 3) and look:
            self.beat()
        elif trial == COUNTED + 4 and look == 1:
            self.beat()
            for action in (self.beat, self.watch):
                self.alone.append(self._cost(action))

    def _cost(self, action: Callable[[], None]) -> Census:
        before = self.taken()
        for _ in range(COUNTED):
            action()
        return (self.taken() - before) * (1 / COUNTED)

    def found(self) -> dict[str, Census]:
        """Per trial, or per beat and watch."""
        quick = (self.starts[COUNTED + 2] - self.starts[2]) * (1 / COUNTED)
        beating = (self.starts[COUNTED + 4] - self.starts[COUNTED + 2]) * 0.5
        return {"ours": quick, "ours, a beat a look": beating, "a beat alone": self.alone[0], "a watch": self.alone[1]}


def census(target: Target) -> dict[str, Census]:
    """All of a store."""
    plain = {"plain": census_of_plain(target, True), "plain, unpruned": census_of_plain(target, False)}
    return census_of_ours(target) | plain


def census_rows(name: str, found: dict[str, Census]) -> list[Row]:
    """Ratios are to ours, a trial with all its beats left out."""
    ours, rows = found["ours"], []
    for kind, each in found.items():
        ratio = f"{each.statements / ours.statements:.1f}" if kind.startswith("plain") else ""
        more = f"{each.round_trips / ours.round_trips:.1f}" if ratio and ours.round_trips else ""
        rows.append({"store": name, "of": kind, "statements": each.statements, "x ours": ratio})
        rows[-1] |= {"commits": each.commits, "rollbacks": each.rollbacks, "round trips": each.round_trips or ""}
        rows[-1] |= {"x ours ": more, "connects": each.connections, "kB": each.kilobytes or ""}
    return rows
