"""Formats of numbers, names and foreign texts in a report."""

from sweeps.objective import OBJECTIVES


def format_objective_name(objective: str) -> str:
    """Return an objective's name for people, e.g. with `²` in place of `^2`."""
    return OBJECTIVES[objective].title.replace("^2", "²")


def format_percent(share: float) -> str:
    """Return a share for people in whole percents; a small share is never shown as 0%, a large one never as 100%."""
    if 0 < share < 0.0005 or 0.9995 < share < 1:
        if share < 0.5:
            return "<0.1%"
        return ">99.9%"
    if 0 < share < 0.005 or 0.995 <= share < 1:
        return f"{share:.1%}"
    return f"{share:.0%}"
