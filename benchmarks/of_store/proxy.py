"""Counts of what is sent: statements by SQLAlchemy's events, round trips by a proxy on the way to the server."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy


@dataclass(slots=True)
class Census:
    """What SQLAlchemy sends, and what goes through a `Proxy`; see `counting`."""

    statements: float = 0
    commits: float = 0
    rollbacks: float = 0
    round_trips: float = 0
    connections: float = 0
    kilobytes: float = 0
    open_s: float = 0

    def __sub__(self, other: "Census") -> "Census":
        return Census(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    def __add__(self, other: "Census") -> "Census":
        return Census(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __mul__(self, factor: float) -> "Census":
        return Census(*(getattr(self, name) * factor for name in self.__slots__))


@contextmanager
def counting(census: Census) -> Iterator[None]:
    """Count the statements and transactions of all engines of this process."""

    def statement(*_: Any) -> None:
        census.statements += 1

    def commit(_: Any) -> None:
        census.commits += 1

    def rollback(_: Any) -> None:
        census.rollbacks += 1

    heard = {"before_cursor_execute": statement, "commit": commit, "rollback": rollback}
    for name, listener in heard.items():
        sqlalchemy.event.listen(sqlalchemy.Engine, name, listener)
    try:
        yield
    finally:
        for name, listener in heard.items():
            sqlalchemy.event.remove(sqlalchemy.Engine, name, listener)


class Proxy:
    """Passes connections on to a server and counts; a round trip is a client that speaks after the server did."""

    def __init__(self, host: str, port: int, census: Census) -> None:
        self.server, self.census = (host, port), census
        self.began: dict[int, float] = {}  # of the connections that are open
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def taken(self) -> Census:
        """The counts now, the open connections' time included."""
        with self.lock:
            now = time.perf_counter()
            return self.census + Census(open_s=sum(now - began for began in self.began.values()))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.census.connections += 1
                self.began[id(client)] = time.perf_counter()
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        last, other = server, {client: server, server: client}
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = _received(source)
                if not data:
                    self._ended(client, server)
                    return
                with self.lock:
                    self.census.round_trips += source is client and last is server
                    self.census.kilobytes += len(data) / 1000
                last = source
                other[source].sendall(data)

    def _ended(self, client: socket.socket, server: socket.socket) -> None:
        with self.lock:
            self.census.open_s += time.perf_counter() - self.began.pop(id(client))
        client.close()
        server.close()


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""
