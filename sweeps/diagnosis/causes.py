"""Why a run died, in words for a person: what was seen, and what may help, never more than a possibility."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What an autopsy found; `NONE` is a run that learned."""

    DIVERGED = "diverged"
    CUT_OFF = "cut off"
    SATURATED = "saturated"
    SIGNAL_LOST = "signal lost"
    FROZEN = "frozen"
    CRAWLING = "crawling"
    NOT_FINITE = "not finite before training"
    INFERENCE_LAGS = "inference lags behind"
    MEMORISES = "memorises"
    HOLDOUT_DIFFERS = "hold-out set unlike training set"
    ABOVE_CHANCE = "above chance, not yet learned"
    AT_CHANCE = "at chance for no mechanism seen"
    NONE = "none: it learned"


SEEN = {
    Cause.DIVERGED: "a weight or the loss is no finite number any more{why}",
    Cause.CUT_OFF: "every unit of {layer} gives the same output for every input, so no gradient passes it",
    Cause.SATURATED: "nearly all outputs of {layer} are at the flat ends of its activation: next to no gradient passes",
    Cause.SIGNAL_LOST: "every input gives nearly the same output{where}, so only the class frequencies can be learnt",
    Cause.FROZEN: "the steps are so small that the rest of the budget would not have moved the weights",
    Cause.CRAWLING: "inputs are told apart, but the steps are too small or too few to leave chance within the budget",
    Cause.NOT_FINITE: "the outputs were no finite numbers before the first step: the inputs or the first weights are "
    "at fault, not the training",
    Cause.INFERENCE_LAGS: "it learns, but answers wrongly in inference: its moving averages of batch normalisation are "
    "too slow for so few steps, or those of the hold-out set are others, as with another brightness",
    Cause.MEMORISES: "it learns its training images and no others: there are too few of them for this net, or the "
    "hold-out set is unlike them",
    Cause.HOLDOUT_DIFFERS: "what it learns holds for images of the training set that it sees for the first time, yet "
    "not for the hold-out set: the two are unlike, unless many training images are nearly the same",
    Cause.ABOVE_CHANCE: "it is better than guessing, but not clearly so within its steps",
    Cause.AT_CHANCE: "no cause is seen: inputs are told apart and the weights move, yet the answers are no better than "
    "chance",
    Cause.NONE: "it learned, so there is nothing to mend",
}


class Evidence(StrEnum):
    """What a run's readings say, and an option may be against."""

    SMALL_STEPS = "its steps are small"
    USUAL_STEPS = "its steps are of the usual size"
    LARGE_STEPS = "its steps are large"
    HUGE_STEPS = "one of its steps changed a kernel by a tenth or more"
    BEFORE_TRAINING = "it was so before the first step"
    UNKNOWN_PARTS = "a net of a user, whose parts are not known"


@dataclass(frozen=True, slots=True)
class Option:
    """Something that may help.

    Attributes:
        text: in words.
        present: values of a config, or parts of a net, with which a run has it already or cannot have it.
        contradicted_by: evidence with which it makes no sense.
        favoured_by: evidence with which it is the likeliest.
    """

    text: str
    present: tuple[str, ...] = ()
    contradicted_by: tuple[Evidence, ...] = ()
    favoured_by: tuple[Evidence, ...] = ()


NOT_SMALLER = (Evidence.SMALL_STEPS, Evidence.BEFORE_TRAINING)
UNKNOWN = (Evidence.UNKNOWN_PARTS,)
SLOWER = Option("a lower learning rate", (), NOT_SMALLER, (Evidence.HUGE_STEPS,))
FASTER = Option("a larger learning rate", (), (Evidence.LARGE_STEPS,))
SLOWER_IF_LARGE = Option("a lower learning rate", (), (*NOT_SMALLER, Evidence.USUAL_STEPS))
FASTER_IF_SMALL = Option("a larger learning rate", (), (Evidence.LARGE_STEPS, Evidence.USUAL_STEPS))
LARGER_EPSILON = Option("a larger epsilon", ("sgd",), NOT_SMALLER)
SMALLER_EPSILON = Option("a smaller epsilon", ("sgd",), (Evidence.LARGE_STEPS, Evidence.USUAL_STEPS))
MORE_STEPS = Option("more steps")
# In a config, and in a user's net.
NORMALIZATIONS = (
    "before",
    "after",
    "batch_normalization",
    "group_normalization",
    "layer_normalization",
    "rms_normalization",
)
STANDARDIZED = Option("the constraint standardize_unit", ("standardize_unit", *NORMALIZATIONS), UNKNOWN)
INPUTS = Option(
    "inputs standardized_set", ("standardized_set", "standardized_pixel", "scaled_inputs", "own_net"), UNKNOWN
)
SCALED = Option(
    "inputs scaled to mean 0 and standard deviation 1",
    ("standardized_set", "standardized_pixel", "unit", "centred", "scaled_inputs"),
)
HE = Option("the initialiser he_normal", ("he_normal", "he_uniform"), UNKNOWN)
LECUN = Option("the initialiser lecun_normal", ("lecun_normal", "lecun_uniform"), UNKNOWN)
SMALLER_WEIGHTS = Option("an initialiser with smaller weights")
NORMALIZED = Option("batch normalisation", NORMALIZATIONS, UNKNOWN)
BOTH_SIDES = Option(
    "an activation that has a slope on both sides (leaky_relu, elu)", ("leaky_relu", "elu", "selu"), UNKNOWN
)
FLOAT32 = Option('dtype = "float32"', ("float32",))
MOMENTUM = Option("momentum = 0.9 in the layers BatchNormalization")
RECALIBRATED = Option("budget.recalibrate_batch_normalization = true", ("recalibrated",))
MORE_IMAGES = Option("more training images")
DROPOUT = Option("dropout", ("dropout", "alpha_dropout"))
AUGMENTED = Option("images that are changed at random", ("augmentation",))
SMALLER_NET = Option("a smaller net")
COMPARED = Option(
    "a look at both sets (how they were split, the ranges of pixels or columns, how labels or targets were made)"
)
# Known from deep nets in general, the likeliest first; whether it helps this run only a run can tell.
MAY_HELP: dict[Cause, tuple[Option, ...]] = {
    Cause.DIVERGED: (SLOWER, LARGER_EPSILON, STANDARDIZED),
    Cause.CUT_OFF: (SLOWER, STANDARDIZED, HE, INPUTS, SCALED, BOTH_SIDES),
    Cause.SATURATED: (SLOWER, STANDARDIZED, LECUN, INPUTS, SCALED, NORMALIZED),
    Cause.SIGNAL_LOST: (STANDARDIZED, SLOWER, INPUTS, SCALED, NORMALIZED),
    Cause.FROZEN: (FASTER, SMALLER_EPSILON),
    Cause.CRAWLING: (FASTER, SMALLER_EPSILON, MORE_STEPS),
    Cause.NOT_FINITE: (INPUTS, SCALED, SMALLER_WEIGHTS, FLOAT32),
    Cause.INFERENCE_LAGS: (RECALIBRATED, MOMENTUM, MORE_STEPS, COMPARED),
    Cause.MEMORISES: (MORE_IMAGES, DROPOUT, AUGMENTED, SMALLER_NET, COMPARED),
    Cause.HOLDOUT_DIFFERS: (COMPARED,),
    Cause.ABOVE_CHANCE: (MORE_STEPS, FASTER_IF_SMALL, SLOWER_IF_LARGE),
    Cause.AT_CHANCE: (MORE_STEPS, FASTER_IF_SMALL, SLOWER_IF_LARGE, STANDARDIZED, INPUTS, SCALED),
    Cause.NONE: (),
}


def describe_cause(cause: Cause, layer: str = "", step: int | None = None, evidence: Collection[Evidence] = ()) -> str:
    """Return the cause as one clause.

    Args:
        layer: the one that shows it first; empty where unknown.
        step: at which it was seen first.
        evidence: what the run's readings say.
    """
    why = ": the steps were too large for this net, or one of its inputs makes it so"
    if {Evidence.LARGE_STEPS, Evidence.HUGE_STEPS} & set(evidence):
        why = ": the steps were too large for this net"
    elif {Evidence.SMALL_STEPS, Evidence.USUAL_STEPS} & set(evidence):
        why = (
            ", although its steps were not large: an input may make it so, such as an image of a single value where "
            "each is divided by its spread, or a step that was larger than those seen"
        )
    where = ""
    if layer and step is not None:
        where = f" (lost first in {layer} at step {step})"
    elif layer:
        where = f" (lost first in {layer})"
    return SEEN[cause].format(layer=layer or "a layer", where=where, why=why)


def may_help(cause: Cause, has: Collection[str] = (), evidence: Collection[Evidence] = ()) -> str:
    """Return what is known to help such nets, as one clause; empty where there is nothing to improve.

    Args:
        has: values of the run's config, and parts of its net: what it has already is left out.
        evidence: what the run's readings say: what they contradict is left out.
    """
    known = set(evidence)
    possible = [
        option
        for option in MAY_HELP[cause]
        if not set(option.present) & set(has) and not known & set(option.contradicted_by)
    ]
    if not possible:
        return ""
    possible.sort(key=lambda option: not known & set(option.favoured_by))
    options = [option.text for option in possible]
    if len(options) == 1:
        return f"{options[0]} may help"
    others = options[-1]
    if len(options) > 2:
        others = f"{', '.join(options[1:-1])} or {options[-1]}"
    return f"{options[0]} may help, and so may {others}"
