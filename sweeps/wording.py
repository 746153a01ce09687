"""Numbers in sentences."""


def count_noun(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 trial` and `2 trials`; the plural of the noun ends in `s`."""
    if count == 1:
        return f"{count} {noun}"
    return f"{count} {noun}s"
