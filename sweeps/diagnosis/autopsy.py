"""The autopsy of one run: its cause in words that a person can act on, with the numbers behind it.

It says what was seen. That a change would have saved the run it never says: what the study's own trials support comes
from `survey`, what is known of such nets in general from `causes`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

from sweeps.diagnosis.causes import Cause, Evidence, describe_cause, may_help
from sweeps.diagnosis.findings import LayerFindings, RunFindings, find_symptoms
from sweeps.diagnosis.survey import Change
from sweeps.readings import Reading
from sweeps.surfaces import escape_markdown
from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import Fate, is_learner, training_fate

# Of 328 recorded runs no one of the 218 learners ended beyond one of these, but 59, 27 and 17 of the dead did.
LEAST_SIGNAL = 1e-2  # signal of the logits; shares of a layer's units and outputs
DEAD = 1.0
SATURATED = 0.99
SMALL_UPDATE = 1e-4  # change of a kernel in one step, over its norm
USUAL_UPDATE = 1e-3
LARGE_UPDATE = 1e-2
HUGE_UPDATE = 0.1
VANISHING = 1e-3  # gradient norm of the first layer over that of the last
EXPLODING = 1e3
AT_PRIOR = 0.005  # of chance's loss: within it the loss is that of answering the class frequencies
RISE = 1e-3  # of the gain over the second half of the readings, from which on a run counts as slowly learning
MOST_LINES = 40  # of a note, whose table of many layers is thinned out
FEWEST_ROWS = 8
IN_A_LAYER = (Cause.CUT_OFF, Cause.SATURATED, Cause.SIGNAL_LOST)  # causes that a layer shows
FLAWED = (Fate.COLLAPSED, Fate.AT_CHANCE)  # fates that a run has although it may have learned before
CAUSES_OF_FATES: dict[str, Cause] = {
    Fate.DIVERGED: Cause.DIVERGED,
    Fate.NOT_FINITE: Cause.NOT_FINITE,
    Fate.FROZEN: Cause.FROZEN,
    Fate.LEARNED: Cause.NONE,
    Fate.ABOVE_CHANCE: Cause.ABOVE_CHANCE,
    Fate.INFERENCE_LAGS: Cause.INFERENCE_LAGS,
    Fate.MEMORISED: Cause.MEMORISES,
    Fate.HOLDOUT_DIFFERS: Cause.HOLDOUT_DIFFERS,
}


@dataclass(frozen=True, slots=True)
class Autopsy:
    """What became of a run, why as far as it can be seen, and what may help.

    Attributes:
        fate, reason: the verdict's.
        activation: of the hidden layers; None if unknown.
        changes: what the study's other trials support, the surest first.
        has: values of the run's config, and parts of its net, which need not be advised.
        known_parts: whether the net's parts are known, so that advice can be given on them.
    """

    cause: Cause
    fate: str
    reason: str
    chance: Chance
    findings: RunFindings
    activation: str | None = None
    changes: tuple[Change, ...] = ()
    has: frozenset[str] = frozenset()
    known_parts: bool = True

    @property
    def evidence(self) -> frozenset[Evidence]:
        """Return what the readings say that advice must not contradict."""
        evidence = set[Evidence]()
        ratio = self.findings.update_ratio
        if 0 < ratio < USUAL_UPDATE / 2:  # of exactly 0 no gradient arrived, whatever the rate
            evidence.add(Evidence.SMALL_STEPS)
        elif ratio > LARGE_UPDATE:
            evidence.add(Evidence.LARGE_STEPS)
        elif isfinite(ratio):
            evidence.add(Evidence.USUAL_STEPS)
        if self.findings.largest_update > HUGE_UPDATE:
            evidence.add(Evidence.HUGE_STEPS)
        if self.findings.first_signal < LEAST_SIGNAL:
            evidence.add(Evidence.BEFORE_TRAINING)
        if not self.known_parts:
            evidence.add(Evidence.UNKNOWN_PARTS)
        return frozenset(evidence)

    @property
    def advice(self) -> str:
        """Return what may help, as one clause; empty where nothing is known to."""
        return may_help(self.cause, self.has, self.evidence)

    @property
    def culprit(self) -> LayerFindings | None:
        """Return the layer that shows the cause; None where no layer does."""
        layers = self.findings.layers
        if self.cause is Cause.CUT_OFF:
            return next(layer for layer in layers if layer.vitals.dead >= DEAD)
        if self.cause is Cause.SATURATED:
            return next(layer for layer in layers if layer.vitals.saturated >= SATURATED)
        return self.findings.first_lost

    def to_attributes(self) -> dict[str, Any]:
        """Return flat, plain values for the trial's user attributes, without unknown or infinite ones, which JSON
        lacks.
        """
        findings = self.findings
        layer = None
        if self.cause in IN_A_LAYER:
            layer = self.culprit
        values: dict[str, Any] = {}
        if layer is not None:
            values["died_in_layer"] = layer.name
        values["died_at_step"] = self._died_at(layer)
        values["autopsy_cause"] = str(self.cause)
        values["autopsy_look"] = findings.step
        first = findings.first_lost
        if first is not None and first is not layer:  # a layer is named once
            values["autopsy_lost_in"] = first.name
            values["autopsy_lost_at"] = first.lost_at
        values["autopsy_signal"] = findings.signal
        values["autopsy_gradient_ratio"] = findings.gradient_ratio
        values["autopsy_update_ratio"] = findings.update_ratio
        if self.changes:
            values["autopsy_supported"] = [change.words for change in self.changes]
        for name, value in _worst_layers(findings).items():
            values[f"autopsy_{name}"] = value
        plain = {name: _convert_to_plain(value) for name, value in values.items()}
        return {name: value for name, value in plain.items() if value is not None}

    def _died_at(self, layer: LayerFindings | None) -> int | None:
        """Return the step at which that layer lost its signal; else the last, if a mechanism was seen there."""
        if layer is not None and layer.lost_at is not None:
            return layer.lost_at
        if self.cause in IN_A_LAYER or self.cause in (Cause.DIVERGED, Cause.FROZEN):
            return self.findings.last_step
        return None

    def to_markdown(self, picture: str = "") -> str:
        """Return the note for a person, about 40 lines: the cause, what happened, the layers, and what may help.

        Args:
            picture: Markdown of one, to be shown after the cause.
        """
        head = [f"## Autopsy: {self.cause}"]
        head += self.describe_death()
        if picture:
            head += ["", picture]
        head += ["", "### What happened"]
        if self.reason:
            head.append(f"- {escape_markdown(self.reason)}")
        head += [f"- {event}" for event in self.describe_events()]
        tail: list[str] = []
        if self.cause is not Cause.NONE:
            tail = ["", "### What this study supports"]
            tail += self.describe_support()
        rows = max(FEWEST_ROWS, MOST_LINES - len(head) - len(tail) - 5)
        return "\n".join(head + _make_layer_table(self.findings, rows) + tail)

    def describe_death(self) -> Iterator[str]:
        """Yield what was seen, and what this study's trials support or else may help, a sentence each."""
        culprit = self.culprit
        layer = ""
        step = None
        if culprit is not None:
            layer = culprit.name
            if self.cause is Cause.SIGNAL_LOST:
                step = culprit.lost_at
        text = describe_cause(self.cause, layer, step, self.evidence)
        yield f"{text[0].upper()}{text[1:]}."
        if self.changes:
            yield f"In this study, {self.changes[0].words}."
        elif advice := self.advice:
            yield f"{advice[0].upper()}{advice[1:]}."

    def describe_events(self) -> Iterator[str]:
        """Yield what was out of order, or well, one line each; nothing of what is not known."""
        return _describe_events(self)

    def describe_support(self) -> Iterator[str]:
        """Yield what the study's trials support, a list in Markdown, and what is known beyond the study."""
        if not self.changes:
            yield "Nothing yet: no single change to this trial let clearly more of the runs like it learn."
            return
        yield from (f"- {change.words} (p = {change.p:.2g}, one change of many looked at)" for change in self.changes)
        if advice := self.advice:
            yield f"\nBeyond this study: {advice}."


def make_autopsy(
    readings: Sequence[Reading],
    chance: Chance,
    fate: str,
    reason: str,
    changes: Sequence[Change] = (),
    activation: str | None = None,
    has: Collection[str] = (),
    *,
    known_parts: bool = True,
) -> Autopsy:
    """Return the autopsy of a run that is over.

    Args:
        readings: all readings, at least one, in the order of their steps.
        fate, reason: a verdict's, or what the worker noted.
        changes: what `survey.supported_changes` says.
        activation: of the hidden layers, if known.
        has: values of the run's config, and parts of its net: advice to do what it did already is left out.
        known_parts: whether the parts of its net are known.
    """
    findings = find_symptoms(readings, chance)
    cause = _find_cause(readings, chance, fate, findings)
    return Autopsy(cause, fate, reason, chance, findings, activation, tuple(changes), frozenset(has), known_parts)


def _find_cause(readings: Sequence[Reading], chance: Chance, fate: str, findings: RunFindings) -> Cause:
    if fate in CAUSES_OF_FATES:
        return CAUSES_OF_FATES[fate]
    if not findings.finite:
        return Cause.DIVERGED
    if fate not in FLAWED and is_learner(readings, chance):
        return Cause.NONE
    in_training = training_fate(readings, chance)
    if in_training is not None and fate != Fate.COLLAPSED:
        return CAUSES_OF_FATES[in_training]
    lost = findings.signal < LEAST_SIGNAL
    # One dead or saturated layer is no cause where a path leads around it: then the logits still tell inputs apart.
    if lost and findings.most_dead and findings.most_dead.vitals.dead >= DEAD:
        return Cause.CUT_OFF
    if lost and findings.most_saturated and findings.most_saturated.vitals.saturated >= SATURATED:
        return Cause.SATURATED
    if lost or fate == Fate.COLLAPSED:
        return Cause.SIGNAL_LOST
    slowly = findings.best_gain > 0 and findings.rise >= RISE  # its gain has risen and still does
    if slowly or findings.update_ratio < SMALL_UPDATE:
        return Cause.CRAWLING
    return Cause.AT_CHANCE


def _worst_layers(findings: RunFindings) -> dict[str, Any]:
    """Return the worst layers' names and numbers."""
    values: dict[str, Any] = {}
    if (layer := findings.most_dead) and layer.vitals.dead > 0:
        values |= {"dead": layer.vitals.dead, "dead_layer": layer.name}
    if (layer := findings.most_saturated) and layer.vitals.saturated > 0:
        values |= {"saturated": layer.vitals.saturated, "saturated_layer": layer.name}
    if layer := findings.most_off_unit:
        values |= {"mean": layer.vitals.mean, "std": layer.vitals.std, "mean_std_layer": layer.name}
    if (layer := findings.least_in_domain) and (weights := layer.vitals.weights):
        values |= {"in_domain": weights.in_domain, "in_domain_layer": layer.name}
        values |= {"omega_mean": weights.omega_mean, "omega_std": weights.omega_std}
        values |= {"tau_mean": weights.tau_mean, "tau_std": weights.tau_std}
    return values


def _convert_to_plain(value: Any) -> Any:
    """Return a number with six digits, and as Python's where it is NumPy's; None where JSON has no word for it."""
    if value is None or isinstance(value, str | list | int):
        return value
    if isfinite(value):
        return float(f"{value:.6g}")
    return None


def _describe_events(result: Autopsy) -> Iterator[str]:
    findings = result.findings
    if (first := findings.first_lost) and first.lost_at is not None:
        yield (
            f"signal (1: inputs differ in all, 0: every input gives the same): lost first in {first.name} at step "
            f"{first.lost_at}, from {first.highest:.2g} at its highest to {first.vitals.signal:.2g}"
        )
    elif isfinite(findings.signal):
        yield f"signal: no layer fell below a hundredth of its own highest; that of the logits is {findings.signal:.2g}"
    yield from _describe_loss(result)
    yield from _describe_training_loss(result)
    if layer := findings.most_dead:
        if layer.vitals.dead:
            yield f"dead units: {layer.vitals.dead:.0%} of {layer.name}, the most"
        else:
            yield "dead units: none"
    if layer := findings.most_saturated:
        yield f"outputs at the flat ends of the activation: {layer.vitals.saturated:.1%} of {layer.name}, the most"
    if layer := findings.most_off_unit:
        away = f"mean {layer.vitals.mean:.2g}, standard deviation {layer.vitals.std:.2g}"
        yield f"activations farthest from mean 0 and standard deviation 1: {layer.name} with {away}"
    yield from _describe_domain(result)
    if isfinite(findings.gradient_ratio):
        ratio = f"{findings.gradient_ratio:.2g}{_describe_gradient(findings)}"
        yield f"gradient norm of the first layer over that of the last: {ratio}"
    if isfinite(findings.update_ratio):
        usual = f"about {USUAL_UPDATE:g} is usual"
        yield f"largest change of a kernel in the last step: {findings.update_ratio:.2g} of its norm ({usual})"


def _describe_gradient(findings: RunFindings) -> str:
    if findings.gradient_ratio < VANISHING:
        return " (vanishing towards the input)"
    if findings.gradient_ratio > EXPLODING:
        return " (exploding towards the input)"
    return ""


def _describe_loss(result: Autopsy) -> Iterator[str]:
    findings = result.findings
    guess = result.chance.loss
    if not (isfinite(findings.loss) and isfinite(guess)):
        return
    guessing = "answering the mean"
    best_score = f"best R^2 {findings.best_gain:z.3f}"
    if not isnan(result.chance.top1):
        guessing = "answering the class frequencies"
        best_score = f"best gain {100 * findings.best_gain:z.1f} %"
    best = f"{best_score} at step {findings.best_step}"
    text = f"loss at the end {findings.loss:.4g}, of {guessing} {guess:.4g}; {best}"
    if abs(findings.loss - guess) <= AT_PRIOR * guess:
        yield f"{text}: it ends by {guessing}"
    elif findings.loss > guess:
        answers = "confident of wrong answers"
        if findings.signal < LEAST_SIGNAL:
            answers = "confident, with the same answer for every input"
        yield f"{text}. The loss is above that of {guessing}: the net is {answers}"
    else:
        yield text


def _describe_training_loss(result: Autopsy) -> Iterator[str]:
    findings = result.findings
    guess = result.chance.training_loss
    if not (isfinite(findings.train_loss) and isfinite(guess)):
        return
    yield f"training loss at the end {findings.train_loss:.4g}, of guessing {guess:.4g}"
    if isfinite(findings.batch_loss):
        yield (
            f"hold-out loss with the statistics of the batch {findings.batch_loss:.4g}, with the moving averages of "
            f"batch normalisation {findings.loss:.4g}"
        )


def _describe_domain(result: Autopsy) -> Iterator[str]:
    layer = result.findings.least_in_domain
    if layer is None or (weights := layer.vitals.weights) is None or isnan(weights.in_domain):
        return
    matters = ""
    if result.activation not in ("selu", None):
        matters = " (made for SELU: of no weight here)"
    yield (
        f"units with sum of weights in [-0.1, 0.1] and sum of squares in [0.95, 1.1], the domain of Theorem 1 of "
        f"Klambauer et al. 2017{matters}: {weights.in_domain:.0%} of {layer.name}, the fewest, with sums "
        f"{weights.omega_mean:.2g} ± {weights.omega_std:.2g}, squares {weights.tau_mean:.2g} ± {weights.tau_std:.2g}"
    )


LAYER_COLUMNS = (
    "layer",
    "signal",
    "highest",
    "lost at",
    "mean",
    "std",
    "dead",
    "flat",
    "in domain",
    "gradient",
    "update",
)


def make_layer_rows(findings: RunFindings, most: int) -> list[list[str]]:
    """Return a row of cells for each layer, in the order of `LAYER_COLUMNS`.

    They are thinned out evenly to at most `most` rows; the first layer that lost its signal always stays.
    """
    count = len(findings.layers)
    first = findings.first_lost
    shown = set(range(count))
    if count > most:
        shown = {round(row * (count - 1) / (most - 2)) for row in range(most - 1)}
    return [_make_cells(layer) for index, layer in enumerate(findings.layers) if index in shown or layer is first]


def make_layer_heading(findings: RunFindings, rows: int) -> str:
    """Return the heading of so many rows of layers."""
    heading = f"Layers at step {findings.step}"
    if rows < len(findings.layers):
        heading += f" ({rows} of {len(findings.layers)})"
    return heading


def _make_layer_table(findings: RunFindings, most: int) -> list[str]:
    """Return the layers as a table in Markdown; nothing where none was watched."""
    if not findings.layers:
        return []
    rows = make_layer_rows(findings, most)
    heading = f"### {make_layer_heading(findings, len(rows))}"
    lines = ["", heading, f"| {' | '.join(LAYER_COLUMNS)} |", f"|---{'|--:' * (len(LAYER_COLUMNS) - 1)}|"]
    return lines + [f"| {' | '.join(cells)} |" for cells in rows]


def _make_cells(layer: LayerFindings) -> list[str]:
    vitals = layer.vitals
    lost_at = ""
    if layer.lost_at is not None:
        lost_at = str(layer.lost_at)
    return [
        layer.name,
        _format_number(vitals.signal),
        _format_number(layer.highest),
        lost_at,
        _format_number(vitals.mean),
        _format_number(vitals.std),
        _format_share(vitals.dead),
        _format_share(vitals.saturated),
        _format_share(layer.in_domain),
        _format_number(vitals.gradient_norm),
        _format_number(vitals.update_ratio),
    ]


def _format_share(share: float) -> str:
    if isnan(share):
        return ""
    return f"{share:.0%}"


def _format_number(value: float) -> str:
    if isnan(value):
        return ""
    return f"{value:.2g}"
