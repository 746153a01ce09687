"""The plan of the house: who may import whom (function bodies included), and how large a thing may grow."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "sweeps").rglob("*.py"))
# A room is a module or a folder at the top of the package; a room may import these and itself, nothing else of ours.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "signals": set(),
    "config": set(),
    "imports": {"errors"},
    "parameters": set(),
    "space": {"config", "parameters", "verdict"},
    "samplers": {"errors", "parameters", "space"},
    "space_parameters": {"config", "errors", "parameters", "space"},
    "space_file": {"config", "errors", "parameters", "samplers", "space", "space_parameters", "verdict"},
    "space_schema": {"config", "samplers", "space_file", "space_parameters"},
    "verdict": {"errors", "signals"},
    "data": {"config", "errors", "imports"},
    "pictures": {"errors", "signals", "verdict"},
    "store": {"errors", "signals", "space", "space_file"},
    "buckets": {"errors"},
    "places": {"buckets", "errors"},
    "checkpoints": {"places", "signals"},
    "training": {"config", "data", "signals"},
    "interruption": set(),
    "heartbeat": {"errors", "store"},
    "history": {"config", "errors", "signals", "space", "store", "verdict"},
    "launch": {"errors", "interruption"},
    "nn": {"config", "data", "errors", "imports", "signals"},
    "trial": {"config", "history", "samplers", "signals", "space", "store", "training", "verdict"},
    "provenance": {"config", "data", "store"},
    "attempt": {
        *("checkpoints", "config", "data", "errors", "heartbeat", "history", "provenance", "samplers", "signals"),
        *("space", "store", "training", "trial", "trial_notes", "verdict"),
    },
    "worker": {
        *("attempt", "checkpoints", "errors", "heartbeat", "interruption", "places", "samplers", "space", "store"),
        *("study_notes", "training", "trial", "verdict"),
    },
    "integrations": {"nn", "signals", "verdict"},
    "rehearsal": {"config", "errors", "space", "training"},
    "summaries": {"space", "store", "verdict"},
    "ranking": {"means", "space", "store", "summaries", "verdict"},
    "candidates": {"errors", "parameters", "ranking", "space", "space_file", "summaries"},
    "means": set(),
    "agreement": {"means"},
    "confirmation": {"agreement", "ranking", "space", "store", "summaries"},
    "cli_confirm": {
        "candidates",
        "cli_options",
        "confirmation",
        "errors",
        "hints",
        "launch",
        "ranking",
        "run",
        "space",
        "space_file",
        "store",
    },
    "status": {"errors", "launch", "summaries", "space", "store"},
    "autopsies": {"history", "signals", "store", "verdict"},
    "trial_notes": {"autopsies", "pictures", "signals", "store", "verdict"},
    "study_notes": {"autopsies", "space", "store", "summaries", "verdict"},
    "dashboard_storage": {"store"},
    "dashboard": {"dashboard_storage", "errors", "interruption", "places", "store", "study_notes"},
    "hints": {"space", "store"},
    "run": {"errors", "hints", "interruption", "launch", "summaries", "space", "space_file", "store", "study_notes"},
    "report": {
        *("autopsies", "errors", "parameters", "pictures", "ranking", "signals", "space", "store", "summaries"),
        "verdict",
    },
    "cli_report": {"cli_options", "confirmation", "errors", "report", "run", "store"},
    "cli_options": set(),
    "export": {"config", "errors", "ranking", "space", "store", "summaries", "verdict"},
    "cli_export": {"cli_options", "errors", "export", "space", "space_file", "store"},
    "cli_dashboard": {"cli_options", "dashboard", "store"},
    "cli_data": {"data", "errors"},
    "cli_jobs": {"errors", "launch", "store"},
    "cli_local": {"cli_jobs", "cli_options", "errors", "launch"},
    "cli_slurm": {"cli_jobs", "cli_options", "errors", "launch", "store"},
    "cli_kubernetes": {"cli_jobs", "cli_options", "errors", "launch", "store"},
    "cli_launch": {"cli_kubernetes", "cli_local", "cli_slurm"},
    "cli_workers": {"cli_options", "errors", "heartbeat", "imports", "nn", "places", "store", "worker"},
    "cli": {
        "autopsies",
        "cli_confirm",
        "cli_dashboard",
        "cli_data",
        "cli_export",
        "cli_launch",
        "cli_options",
        "cli_report",
        "cli_workers",
        "data",
        "errors",
        "hints",
        "history",
        "imports",
        "launch",
        "nn",
        "pictures",
        "places",
        "rehearsal",
        "summaries",
        "run",
        "space_file",
        "space_schema",
        "status",
        "store",
        "trial_notes",
        "verdict",
    },
    "__init__": {"export", "nn"},
    "__main__": {"cli"},
}
# Within the heavy room the parts know nothing of models, models nothing of training.
NN_ORDER = ["parts", "models", "net", "trainer", "train", "export"]
HEAVY = {"tensorflow", "keras", "optuna_dashboard", "sklearn"}
# Which rooms may open what is heavy at all: elsewhere not even a function may.
MAY_OPEN = {
    "nn": {"tensorflow", "keras"},
    "data": {"sklearn"},
    "dashboard": {"optuna_dashboard"},
    "integrations": {"tensorflow", "keras"},
}
DATABASES = {"sqlalchemy", "sqlite3"}
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 45


def name(file: Path) -> str:
    """sweeps.nn.train and the like."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


MODULES = {name(file): ast.parse(file.read_text()) for file in FILES}


def room(module: str) -> str:
    return module.split(".")[1]


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported anywhere in the tree, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def ours(module: str) -> set[str]:
    found = {other for other in imports(MODULES[module]) if other.split(".")[0] == "sweeps"}
    return {other if other != "sweeps" else "sweeps.__init__" for other in found} - {module}


def test_every_room_is_on_the_plan_and_none_else() -> None:
    assert {room(module) for module in MODULES} == MAY_IMPORT.keys()


def test_the_plan_has_no_circle() -> None:
    list(TopologicalSorter(MAY_IMPORT).static_order())


def test_no_module_imports_itself_through_others() -> None:
    list(TopologicalSorter({module: ours(module) for module in MODULES}).static_order())


@pytest.mark.parametrize("module", MODULES)
def test_rooms_import_only_what_the_plan_allows(module: str) -> None:
    others = {room(other) for other in ours(module)} - {room(module), "__init__"}
    assert others <= MAY_IMPORT[room(module)]


def nn_rank(module: str) -> int:
    part = module.split(".")[2] if module.count(".") > 1 else "parts"
    return NN_ORDER.index(part) if part in NN_ORDER else 0


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "nn"])
def test_in_the_heavy_room_parts_come_before_models_and_models_before_training(module: str) -> None:
    assert all(nn_rank(other) <= nn_rank(module) for other in ours(module) if room(other) == "nn")


@pytest.mark.parametrize("module", MODULES)
def test_only_their_rooms_open_what_is_heavy(module: str) -> None:
    packages = {other.split(".")[0] for other in imports(MODULES[module])}
    assert packages & HEAVY <= MAY_OPEN.get(room(module), set())


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "integrations"])
def test_of_the_integrations_only_that_of_keras_is_heavy(module: str) -> None:
    opened = {other.split(".")[0] for other in imports(MODULES[module])} | {room(other) for other in ours(module)}
    assert module == "sweeps.integrations.keras" or not opened & (HEAVY | {"nn"})


@pytest.mark.parametrize("module", MODULES)
def test_only_the_store_and_the_heartbeat_know_databases(module: str) -> None:
    packages = {other.split(".")[0] for other in imports(MODULES[module])}
    assert not packages & DATABASES or room(module) in ("store", "heartbeat")


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nothing_grows_too_large_and_every_module_says_what_it_is(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MOST_LINES
    tree = MODULES[name(file)]
    assert ast.get_docstring(tree)
    assert file.stem not in ("utils", "helpers", "base", "constants", "types", "common", "misc")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MOST_LINES_OF_A_FUNCTION, node.name
