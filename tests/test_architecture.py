"""The structure of the package: what import-linter's contracts in pyproject.toml say, and what they cannot say."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "sweeps").rglob("*.py"))


def test_imports_keep_the_contracts() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_module_imports_itself_through_others() -> None:
    graph = grimp.build_graph("sweeps", cache_dir=None)
    # `sweeps` itself opens an export's module when it is asked for one; every module names it by its own name.
    modules = graph.modules - {"sweeps"}
    circle = {module: graph.find_modules_directly_imported_by(module) - {"sweeps"} for module in modules}
    list(TopologicalSorter(circle).static_order())


def test_every_module_says_what_it_is_and_is_named_after_what_it_holds() -> None:
    for file in FILES:
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree), file
        assert file.stem not in ("utils", "helpers", "base", "constants", "types", "common", "misc"), file


# Private names of Optuna's objects that sweeps needs, and the only modules that may touch them.
PRIVATE_NAMES = {"_study_id", "_trial_id", "_storage", "_version_manager", "_rdb"}
MAY_TOUCH_OPTUNA = {"sweeps/optuna_private.py"}
MAY_TOUCH_THE_DASHBOARD = {"sweeps/dashboard/application.py"}


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Names that a module imports, with the package that each comes from."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.partition(".")[0]
                names[alias.asname or package] = package
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = (node.module or "").partition(".")[0]
    return names


def root_name(node: ast.expr) -> str:
    """The name that a chain of attributes and calls begins with, `optuna` of `optuna.storages.x()._y`."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""


def test_only_one_module_each_touches_what_is_private_to_optuna_and_its_dashboard() -> None:
    for file in FILES:
        name = file.relative_to(ROOT).as_posix()
        tree = ast.parse(file.read_text())
        imported = imported_names(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in PRIVATE_NAMES:
                own = isinstance(node.value, ast.Name) and node.value.id == "self"
                assert own or name in MAY_TOUCH_OPTUNA, f"{name}:{node.lineno}"
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                package = imported.get(root_name(node), "")
                assert package != "optuna" or name in MAY_TOUCH_OPTUNA, f"{name}:{node.lineno}"
                assert package != "optuna_dashboard" or name in MAY_TOUCH_THE_DASHBOARD, f"{name}:{node.lineno}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                before = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for module in (f"{before}{alias.name}" for alias in node.names):
                    package, *parts = module.split(".")
                    if any(part.startswith("_") for part in parts):
                        assert package != "optuna" or name in MAY_TOUCH_OPTUNA, f"{name}:{node.lineno}"
                        assert package != "optuna_dashboard" or name in MAY_TOUCH_THE_DASHBOARD, f"{name}:{node.lineno}"
