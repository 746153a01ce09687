"""`sweeps dashboard`: optuna-dashboard on a store."""

from typing import Annotated

import typer

from sweeps import store
from sweeps.cli.options import ArtifactsOption, StorageOption
from sweeps.dashboard.server import serve_dashboard


def dashboard(
    host: Annotated[
        str, typer.Option(help="The address to listen at; beyond this machine nothing keeps others out.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8080,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Serve Optuna's dashboard on the store and its artifacts, and keep the studies' notes fresh, until Ctrl-C.

    Open the whole address that it prints: its token keeps other users of this machine out.
    SWEEPS_DASHBOARD_TOKEN sets one that stays the same.
    """
    storage_url = store.url(storage)
    opened_storage = store.connect(storage_url)
    artifacts_url = store.artifacts(storage_url, artifacts)
    serve_dashboard(opened_storage, artifacts_url, host=host, port=port)
