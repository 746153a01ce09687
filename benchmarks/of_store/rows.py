"""Rows of the tables that are printed, and what stands in them."""

from typing import Any

Row = dict[str, Any]
Numbers = dict[str, Any]


def ratio(one: float | None, other: float | None, shown: bool = True) -> str:
    return f"{one / other:.1f}" if shown and one and other else ""


def number(value: float | None) -> Any:
    return "" if value is None else value
