"""The autopsy of one run: its cause in words that a person can act on, with the numbers behind it.

It says what was seen. That a change would have saved the run it never says: what the study's own trials support comes
from `survey`, what is known of such nets in general from `causes`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

from sweeps.diagnosis.causes import Cause, describe_cause, may_help
from sweeps.diagnosis.findings import LayerFindings, RunFindings, find_symptoms
from sweeps.diagnosis.survey import Change
from sweeps.readings import Reading
from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import Fate, is_learner

# Of 328 recorded runs no one of the 218 learners ended beyond one of these, but 59, 27 and 17 of the dead did.
LEAST_SIGNAL = 1e-2  # signal of the logits; shares of a layer's units and outputs
DEAD = 1.0
SATURATED = 0.99
SMALL_UPDATE = 1e-4  # change of a kernel in one step, over its norm
USUAL_UPDATE = 1e-3
VANISHING = 1e-3  # gradient norm of the first layer over that of the last
EXPLODING = 1e3
AT_PRIOR = 0.005  # of chance's loss: within it the loss is that of answering the class frequencies
RISE = 1e-3  # of the gain over the second half of the readings, from which on a run counts as slowly learning
MOST_LINES = 40  # of a note, whose table of many layers is thinned out
FEWEST_ROWS = 8
IN_A_LAYER = (Cause.CUT_OFF, Cause.SATURATED, Cause.SIGNAL_LOST)  # causes that a layer shows
FLAWED = (Fate.COLLAPSED, Fate.AT_CHANCE)  # fates that a run has although it may have learned before


@dataclass(frozen=True, slots=True)
class Autopsy:
    """What became of a run, why as far as it can be seen, and what may help.

    Attributes:
        fate, reason: the verdict's.
        activation: of the hidden layers; None if unknown.
        changes: what the study's other trials support, the surest first.
        has: values of the run's config, which need not be advised.
    """

    cause: Cause
    fate: str
    reason: str
    chance: Chance
    findings: RunFindings
    activation: str | None = None
    changes: tuple[Change, ...] = ()
    has: frozenset[str] = frozenset()

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
            head.append(f"- {self.reason}")
        head += [f"- {event}" for event in self.describe_events()]
        tail: list[str] = []
        if self.cause is not Cause.NONE:
            tail = ["", "### What this study supports"]
            tail += self._supports()
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
        text = describe_cause(self.cause, layer, step)
        yield f"{text[0].upper()}{text[1:]}."
        if self.changes:
            yield f"In this study, {self.changes[0].words}."
        elif advice := may_help(self.cause, self.has):
            yield f"{advice[0].upper()}{advice[1:]}."

    def describe_events(self) -> Iterator[str]:
        """Yield what was out of order, or well, one line each; nothing of what is not known."""
        return _describe_events(self)

    def _supports(self) -> Iterator[str]:
        if not self.changes:
            yield "Nothing yet: no single change to this trial let clearly more of the runs like it learn."
            return
        yield from (f"- {change.words} (p = {change.p:.2g}, one change of many looked at)" for change in self.changes)
        if advice := may_help(self.cause, self.has):
            yield f"\nBeyond this study: {advice}."


def make_autopsy(
    readings: Sequence[Reading],
    chance: Chance,
    fate: str,
    reason: str,
    changes: Sequence[Change] = (),
    activation: str | None = None,
    has: Collection[str] = (),
) -> Autopsy:
    """Return the autopsy of a run that is over.

    Args:
        readings: all readings, at least one, in the order of their steps.
        fate, reason: a verdict's, or what the worker noted.
        changes: what `survey.supported_changes` says.
        activation: of the hidden layers, if known.
        has: values of the run's config: advice to do what it did already is left out.
    """
    findings = find_symptoms(readings, chance)
    cause = _find_cause(readings, chance, fate, findings)
    return Autopsy(cause, fate, reason, chance, findings, activation, tuple(changes), frozenset(has))


def _find_cause(readings: Sequence[Reading], chance: Chance, fate: str, findings: RunFindings) -> Cause:
    if fate == Fate.DIVERGED or not findings.finite:
        return Cause.DIVERGED
    if fate == Fate.LEARNED or (fate not in FLAWED and fate != Fate.FROZEN and is_learner(readings, chance)):
        return Cause.NONE
    if fate == Fate.FROZEN:
        return Cause.FROZEN
    lost = findings.signal < LEAST_SIGNAL
    # One dead or saturated layer is no cause where a path leads around it: then the logits still tell inputs apart.
    if lost and findings.most_dead and findings.most_dead.vitals.dead >= DEAD:
        return Cause.CUT_OFF
    if lost and findings.most_saturated and findings.most_saturated.vitals.saturated >= SATURATED:
        return Cause.SATURATED
    if lost or fate == Fate.COLLAPSED:
        return Cause.SIGNAL_LOST
    slowly = findings.best_gain > 0 and findings.rise >= RISE
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
    name = "best R^2"
    if not isnan(result.chance.top1):
        guessing = "answering the class frequencies"
        name = "best gain"
    best = f"{name} {findings.best_gain:.3g} at step {findings.best_step}"
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


def _make_layer_table(findings: RunFindings, most: int) -> list[str]:
    """Return the layers, thinned out evenly to at most `most` rows; the first that lost its signal always stays."""
    if not findings.layers:
        return []
    count = len(findings.layers)
    first = findings.first_lost
    shown = set(range(count))
    if count > most:
        shown = {round(row * (count - 1) / (most - 2)) for row in range(most - 1)}
    rows = [layer for index, layer in enumerate(findings.layers) if index in shown or layer is first]
    columns = (
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
    heading = f"### Layers at step {findings.step}"
    if len(rows) < count:
        heading += f" ({len(rows)} of {count})"
    lines = ["", heading, f"| {' | '.join(columns)} |", f"|---{'|--:' * (len(columns) - 1)}|"]
    return lines + [f"| {' | '.join(_make_cells(layer))} |" for layer in rows]


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
