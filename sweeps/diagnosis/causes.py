"""Why a run died, in words for a person: what was seen, and what may help, never more than a possibility."""

from collections.abc import Collection
from enum import StrEnum


class Cause(StrEnum):
    """What an autopsy found; `NONE` is a run that learned."""

    DIVERGED = "diverged"
    CUT_OFF = "cut off"
    SATURATED = "saturated"
    SIGNAL_LOST = "signal lost"
    FROZEN = "frozen"
    CRAWLING = "crawling"
    AT_CHANCE = "at chance for no mechanism seen"
    NONE = "none: it learned"


SEEN = {
    Cause.DIVERGED: "a weight or the loss is no finite number any more: the steps were too large for this net",
    Cause.CUT_OFF: "every unit of {layer} gives the same output for every input, so no gradient passes it",
    Cause.SATURATED: "nearly all outputs of {layer} are at the flat ends of its activation: next to no gradient passes",
    Cause.SIGNAL_LOST: "every input gives nearly the same output{where}, so only the class frequencies can be learnt",
    Cause.FROZEN: "the steps are so small that the rest of the budget would not have moved the weights",
    Cause.CRAWLING: "inputs are told apart, but the steps are too small or too few to leave chance within the budget",
    Cause.AT_CHANCE: "inputs are told apart and the weights move, yet the answers are no better than chance",
    Cause.NONE: "it learned, so there is nothing to mend",
}

# An option in words, and the values of a config with which a run has it already, or cannot have it.
Option = tuple[str, tuple[str, ...]]
SLOWER: Option = ("a lower learning rate", ())
FASTER: Option = ("a larger learning rate", ())
LARGER_EPSILON: Option = ("a larger epsilon", ("sgd",))
SMALLER_EPSILON: Option = ("a smaller epsilon", ("sgd",))
MORE_STEPS: Option = ("more steps", ())
STANDARDIZED: Option = ("the constraint standardize_unit", ("standardize_unit",))
INPUTS: Option = ("inputs standardized_set", ("standardized_set", "standardized_pixel"))
HE: Option = ("the initialiser he_normal", ("he_normal",))
LECUN: Option = ("the initialiser lecun_normal", ("lecun_normal",))
NORMALIZED: Option = ("batch normalisation", ("before", "after"))
BOTH_SIDES: Option = ("an activation that has a slope on both sides (leaky_relu, elu)", ("leaky_relu", "elu", "selu"))
# Known from deep nets in general, the likeliest first; whether it helps this run only a run can tell.
MAY_HELP: dict[Cause, tuple[Option, ...]] = {
    Cause.DIVERGED: (SLOWER, LARGER_EPSILON, STANDARDIZED),
    Cause.CUT_OFF: (SLOWER, STANDARDIZED, HE, INPUTS, BOTH_SIDES),
    Cause.SATURATED: (SLOWER, STANDARDIZED, LECUN, INPUTS, NORMALIZED),
    Cause.SIGNAL_LOST: (STANDARDIZED, SLOWER, INPUTS, NORMALIZED),
    Cause.FROZEN: (FASTER, SMALLER_EPSILON),
    Cause.CRAWLING: (FASTER, SMALLER_EPSILON, MORE_STEPS),
    Cause.AT_CHANCE: (MORE_STEPS, FASTER, SLOWER, STANDARDIZED, INPUTS),
    Cause.NONE: (),
}


def describe_cause(cause: Cause, layer: str = "", step: int | None = None) -> str:
    """Return the cause as one clause.

    Args:
        layer: the one that shows it first; empty where unknown.
        step: at which it was seen first.
    """
    where = ""
    if layer and step is not None:
        where = f" (lost first in {layer} at step {step})"
    elif layer:
        where = f" (lost first in {layer})"
    return SEEN[cause].format(layer=layer or "a layer", where=where)


def may_help(cause: Cause, has: Collection[str] = ()) -> str:
    """Return what is known to help such nets, as one clause; empty where there is nothing to improve.

    Args:
        has: values of the run's config: what it has already is left out.
    """
    options = [text for text, names in MAY_HELP[cause] if not set(names) & set(has)]
    if not options:
        return ""
    if len(options) == 1:
        return f"{options[0]} may help"
    others = options[-1]
    if len(options) > 2:
        others = f"{', '.join(options[1:-1])} or {options[-1]}"
    return f"{options[0]} may help, and so may {others}"
