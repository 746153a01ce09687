"""The servers and stores that are measured."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import optuna
from optuna.storages import RDBStorage

from of_store import workload
from sweeps import store

STORES = ("sqlite", "postgresql", "mariadb")


@dataclass(slots=True)
class Target:
    """A store under measurement; plain Optuna's SQLite is a file of its own, as it makes one."""

    name: str
    url: str
    plain_url: str
    studies: int = 0
    opened: RDBStorage = field(init=False)

    def __post_init__(self) -> None:
        self.opened = store.connect(self.url, create=True)
        RDBStorage(self.plain_url).engine.dispose()

    def study(self, kind: str, sampler: str = "RandomSampler") -> str:
        """A new study."""
        self.studies += 1
        name = f"{kind} {self.studies} {os.getpid()}"
        if kind == "ours":
            workload.make_study(self.opened, name, sampler)
        else:
            storage = RDBStorage(self.plain_url)
            optuna.create_study(storage=storage, study_name=name, direction="maximize")
            storage.engine.dispose()
        self.opened.engine.dispose()
        return name


@contextmanager
def targets(args: argparse.Namespace) -> Iterator[list[Target]]:
    """The stores that were asked for and can be had."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = {"postgresql": args.postgresql, "mariadb": args.mariadb}
        found = []
        for name in args.stores:
            if name == "sqlite":
                found.append(Target(name, f"sqlite:///{folder}/ours.db", f"sqlite:///{folder}/plain.db"))
            elif url := urls[name] or _started(name, stack):
                found.append(Target(name, url, url))
        yield found


def _started(name: str, stack: ExitStack) -> str | None:
    import servers

    kind = {"postgresql": servers.PostgreSQL, "mariadb": servers.MariaDB}[name]
    limit = {"postgresql": "max_connections", "mariadb": "max-connections"}[name]
    try:
        server = stack.enter_context(kind(durable=True, **{limit: 300}))
    except servers.ServerMissing as exc:
        print(f"{name} is left out: {exc}")
        return None
    return str(server.database("store"))
