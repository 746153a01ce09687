"""The command that serves the dashboard."""

from typing import Annotated

import typer

from sweeps.cli.options import ArtifactsPlace, StorageUrl


def dashboard(
    host: Annotated[str, typer.Option(help="The address to listen at; it has no password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8080,
    storage: StorageUrl = None,
    artifacts: ArtifactsPlace = None,
) -> None:
    """Serve Optuna's dashboard on the store and its artifacts, and keep the studies' notes fresh, until Ctrl-C."""
    from sweeps import store

    storage_url = store.url(storage)
    opened = store.connect(storage_url)
    from sweeps.dashboard.server import serve

    serve(opened, store.artifacts(storage_url, artifacts), host, port)
