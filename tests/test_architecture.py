"""The structure of the package: what import-linter's contracts in pyproject.toml say, and what they cannot say."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

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


def test_only_one_module_each_touches_what_is_private_to_optuna_and_its_dashboard() -> None:
    for file in FILES:
        name = file.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in PRIVATE_NAMES:
                own = isinstance(node.value, ast.Name) and node.value.id == "self"
                assert own or name in MAY_TOUCH_OPTUNA, f"{name}:{node.lineno}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                before = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for module in (f"{before}{alias.name}" for alias in node.names):
                    package, *parts = module.split(".")
                    if any(part.startswith("_") for part in parts):
                        assert package != "optuna" or name in MAY_TOUCH_OPTUNA, f"{name}:{node.lineno}"
                        assert package != "optuna_dashboard" or name in MAY_TOUCH_THE_DASHBOARD, f"{name}:{node.lineno}"


@pytest.mark.parametrize("command", ["--help", "status", "export --help", "launch --help", "dashboard --help"])
def test_light_commands_import_nothing_heavy(command: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from sweeps.cli.app import app\n"
        f"sys.argv = ['sweeps', *{command.split()!r}]\n"
        "try:\n    app(standalone_mode=False)\n"
        "except Exception as exc:\n    print(exc)\n"
        "print('heavy', sorted({'tensorflow', 'keras', 'optuna_dashboard', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "heavy []" in done.stdout
