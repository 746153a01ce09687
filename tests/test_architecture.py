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
