"""Numbers and lists in sentences."""

from collections.abc import Iterable, Sequence

SHOWN = 5  # of a list


def count_noun(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 trial` and `2 trials`; the plural of the noun ends in `s`."""
    if count == 1:
        return f"{count} {noun}"
    return f"{count} {noun}s"


def list_first(things: Iterable[object]) -> str:
    """Return the first few things of a list, and how many others there are."""
    listed = [str(thing) for thing in things]
    shown = ", ".join(listed[:SHOWN])
    if len(listed) > SHOWN:
        shown += f" and {len(listed) - SHOWN} others"
    return shown


def join_words(words: Sequence[str]) -> str:
    """Return words as an enumeration: `a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
