"""Print what pyproject.toml asks for, one requirement a line: images install that before the source, in a layer apart.

python docker/requirements.py [--without NAME ...] [EXTRA ...]
"""

import argparse
import re
import tomllib
from pathlib import Path
from typing import Any


def requirements(project: dict[str, Any], extras: list[str], without: list[str]) -> list[str]:
    """The project's own requirements and those of the extras, but for the packages that are to be left out.

    Raises:
        SystemExit: there is no such extra, or nothing of a name that is to be left out.
    """
    optional = project["optional-dependencies"]
    if unknown := sorted(set(extras) - set(optional)):
        raise SystemExit(f"pyproject.toml has no extra {unknown[0]}")
    every = [*project["dependencies"], *(each for extra in extras for each in optional[extra])]
    names = [re.split(r"[^A-Za-z0-9._-]", each)[0] for each in every]
    if unknown := sorted(set(without) - set(names)):
        raise SystemExit(f"pyproject.toml does not ask for {unknown[0]}")
    return [each for each, name in zip(every, names, strict=True) if name not in without]


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--without", nargs="+", default=[])
    asked = parser.parse_args()
    here = Path(__file__).parent
    found = next(path for path in (here, *here.parents) if (path / "pyproject.toml").exists()) / "pyproject.toml"
    project = tomllib.loads(found.read_text())["project"]
    print("\n".join(requirements(project, asked.extras, asked.without)))


if __name__ == "__main__":
    main()
