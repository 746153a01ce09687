"""Excerpts of our own modules: a class and all that it stands on, as text that needs no sweeps."""

import ast
import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Parts of modules as text.

    Attributes:
        imports: (module, name) of each name that is imported; the name is empty where the module itself is.
        text: the parts, in the order of their modules, two empty lines between classes and functions.
    """

    imports: frozenset[tuple[str, str]]
    text: str


def extract_classes(classes: Iterable[type]) -> Excerpt:
    """Return the sources of classes, with the functions and constants of their modules that they use.

    Raises:
        ValueError: one of them uses another module of sweeps.
    """
    wanted: dict[str, list[str]] = {}
    for each in classes:
        wanted.setdefault(each.__module__, []).append(each.__name__)
    imports: set[tuple[str, str]] = set()
    parts = []
    for module in sorted(wanted):
        found, text = _extract_from_module(sys.modules[module], wanted[module])
        imports |= found
        parts.append(text)
    if ours := sorted(module for module, _ in imports if module.partition(".")[0] == "sweeps"):
        raise ValueError(f"cannot stand alone: it imports {', '.join(ours)}")
    return Excerpt(frozenset(imports), "\n\n\n".join(parts))


def _extract_from_module(module: ModuleType, names: list[str]) -> tuple[set[tuple[str, str]], str]:
    """Return what these names of a module stand on: imports, and the text of all that the module defines for them."""
    source = inspect.getsource(module)
    tree = ast.parse(source)
    defined = {name: node for node in tree.body for name in _defined_names(node)}
    imported = {name: what for node in tree.body for name, what in _imported_names(node).items()}
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed and (name in defined or name in imported):
            needed.add(name)
            waiting += _used_names(defined[name]) if name in defined else []
    lines = source.splitlines()
    chosen = [(node, _statement_text(node, lines)) for node in tree.body if needed.intersection(_defined_names(node))]
    return {imported[name] for name in needed & imported.keys()}, _join_parts(chosen)


def _defined_names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imported_names(node: ast.stmt) -> dict[str, tuple[str, str]]:
    """Name -> (module, name in it), as they are written behind `import` and `from`."""
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name: (ast.unparse(alias), "") for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: (str(node.module), ast.unparse(alias)) for alias in node.names}
    return {}


def _used_names(node: ast.AST) -> list[str]:
    return [own_node.id for own_node in ast.walk(node) if isinstance(own_node, ast.Name)]


def _statement_text(node: ast.stmt, lines: list[str]) -> str:
    """Return a statement with its decorators, and the comment right above it."""
    first = min([node.lineno, *(value.lineno for value in getattr(node, "decorator_list", []))]) - 1
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return "\n".join(lines[first : node.end_lineno])


def _join_parts(parts: list[tuple[ast.stmt, str]]) -> str:
    """Join sources: constants follow each other line by line; classes and functions stand apart."""
    text = ""
    before = None
    for node, part in parts:
        close = isinstance(before, ast.Assign) and isinstance(node, ast.Assign)
        text += ("" if before is None else "\n" if close else "\n\n\n") + part
        before = node
    return text
