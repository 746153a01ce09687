"""The answer in a paragraph: sentences that findings bear out, with the numbers that say how sure they are.

What goes together is said to go together: that one thing is the cause of another no sweep shows.
"""

from collections.abc import Iterator
from math import isfinite

from sweeps import store
from sweeps.analysis.summary import format_objective
from sweeps.report.best import SEEDS, Confirming, Standing
from sweeps.report.findings import StudyFindings
from sweeps.report.levels import Count
from sweeps.report.words import format_percent, format_objective_name

LEAST_IMPORTANCE = 0.01  # share of the outcome's entropy, below which a hyperparameter is not named
MOST_NAMED = 3


def write_answer(findings: StudyFindings) -> list[str]:
    """Return the sentences of the paragraph."""
    if not findings.summary.done:
        return [f"No trial has finished yet: nothing can be said. {_describe_state(findings)}".strip()]
    if findings.judged.tried == 0:
        return [*_describe_nothing_judged(findings), *_count_unfinished(findings)]
    sentences = [
        *_describe_learning(findings),
        *_count_unfinished(findings),
        *_describe_best(findings),
        *_describe_deciders(findings),
        *_describe_region(findings),
        *describe_stopping(findings),
    ]
    return [sentence for sentence in sentences if sentence]


def describe_stopping(findings: StudyFindings) -> list[str]:
    """Return what stopping runs early has saved, and what it may have lost."""
    return [*_describe_savings(findings), *_describe_controls(findings)]


def format_interval(findings: StudyFindings, ends: tuple[float, float]) -> str:
    """Return an interval of the objective."""
    low, high = (format_objective(findings.summary.objective, end) for end in ends)
    return f"{low} to {high}"


def describe_certainty(findings: StudyFindings, standing: Standing) -> str:
    """Return the interval of a configuration's mean, and of what; empty where nothing tells."""
    if standing.interval is None:
        return ""
    if standing.over == SEEDS:
        name = "over seeds"
    else:
        name = f"over the {standing.over} alone"
    return f"95 % interval {format_interval(findings, standing.interval)} {name}"


def format_learned_share(count: Count) -> str:
    """Return how many learned, as `3 of 4 (95 % interval 30% to 95%)`."""
    low, high = count.interval
    return f"{count.learned:,} of {count.tried:,} (95 % interval {format_percent(low)} to {format_percent(high)})"


def make_best_title(findings: StudyFindings) -> str:
    """Return the title of the table of the first configurations."""
    if findings.judged.learned:
        return "Best configurations"
    return "Configurations, none of which learned"


def describe_chance(findings: StudyFindings) -> str:
    """Return what guessing scores in the objective, as the end of a sentence; empty where it is not known."""
    objective = findings.space.measure
    level = objective.read_chance(findings.chance)
    if level == 0:
        return "where guessing has 0"
    if isfinite(level):
        return f"where guessing has {objective.format_value(level)}"
    return ""


def _describe_state(findings: StudyFindings) -> str:
    summary = findings.summary
    parts = [(summary.running, "running"), (summary.waiting, "waiting for a worker"), (summary.given_up, "given up")]
    return "; ".join(f"{count:,} {word}" for count, word in parts if count)


def _count_unfinished(findings: StudyFindings) -> Iterator[str]:
    summary = findings.summary
    if summary.done < summary.trials:
        if text := _describe_state(findings):
            standing = f" ({text})"
        else:
            standing = ""
        yield f"The study is not finished: {summary.done:,} of {summary.trials:,} trials have ended{standing}."


def _describe_nothing_judged(findings: StudyFindings) -> Iterator[str]:
    failed = findings.summary.fates.get(store.FAILED, 0)
    if failed:
        reason = findings.failures[0].reason.rstrip(".")
        if failed == findings.summary.done:
            whole = "All"
        else:
            whole = f"{failed:,} of {findings.summary.done:,}"
        yield f"{whole} finished trials failed, so that nothing can be said; the most frequent reason: {reason}."
    if findings.outranked:
        unknown = "whether they would have learned is not known"
        yield f"{findings.outranked:,} were stopped because others were better; {unknown}."


def _describe_learning(findings: StudyFindings) -> Iterator[str]:
    judged = findings.judged
    yield f"Of {judged.tried:,} runs {judged.learned:,} learned ({format_percent(judged.share)})."
    left_out = [(findings.outranked, "outranked"), (findings.summary.fates.get(store.FAILED, 0), "failed")]
    text = " and ".join(f"{count:,} {word}" for count, word in left_out if count)
    if text:
        yield f"Not counted: {text}."


def _describe_best(findings: StudyFindings) -> Iterator[str]:
    if not findings.standings:
        return
    best = findings.standings[0]
    name = format_objective_name(findings.summary.objective)
    if text := describe_chance(findings):
        guess = f", {text}"
    else:
        guess = ""
    if len(best.trials) == 1:
        runs = f"trial {best.trials[0]}"
    else:
        runs = f"mean of {len(best.trials)} seeds"
    own_name = best.words or "the only configuration"
    if text := describe_certainty(findings, best):
        sure = f", {text}"
    else:
        sure = ""
    value = format_objective(findings.summary.objective, best.mean)
    if findings.judged.learned:
        yield f"Best in {name}: {own_name}, {value} ({runs}{sure}){guess}."
        if not best.learned:
            yield "It has not learned."
    else:
        end = findings.space.measure.best_end
        yield f"No configuration learned; the {end} {name} was {value} ({own_name}; {runs}{sure}){guess}."
    again = [(each, there) for each in findings.confirming if (there := each.find_origin(best)) is not None]
    yield from (_describe_confirmation(findings, each, there) for each, there in again)
    if not again and findings.judged.learned:
        yield _warn_of_selection(findings, best)


def _warn_of_selection(findings: StudyFindings, best: Standing) -> str:
    """Return the reader's caution, where no other study ran it again: the best of many is better than it will be."""
    once = len(best.trials) == 1
    many = findings.configurations > 1
    if once and many:
        return (
            f"It is the best of {findings.configurations:,} and was run once: "
            "run it again with other seeds before you rely on it."
        )
    if once:
        return "It was run once: how much its seed matters is not known."
    if many:
        return f"It is the best of {findings.configurations:,}: expect a little less of new runs."
    return ""


def _describe_confirmation(findings: StudyFindings, confirming: Confirming, standing: Standing) -> str:
    rank = f"rank {standing.rank} of {len(confirming.standings)}"
    runs = f"{len(standing.values)} seed{'s' if len(standing.values) > 1 else ''} of {confirming.length}"
    value = format_objective(findings.summary.objective, standing.mean)
    if text := describe_certainty(findings, standing):
        sure = f", {text}"
    else:
        sure = ""
    lived = f"{standing.learned} of {len(standing.values)} learned"
    found_there = f"Run again in {confirming.study} ({runs}) it came to {value}{sure}: {rank} there, {lived}."
    ahead = confirming.standings[0]
    if ahead is standing:
        return found_there
    value = format_objective(findings.summary.objective, ahead.mean)
    if confirming.decides and ahead.learned:
        first = "First there, and in an export,"
    else:
        first = "First there"
    return f"{found_there} {first} is trial {ahead.candidate}: {ahead.words}, {value}."


def _describe_deciders(findings: StudyFindings) -> Iterator[str]:
    survey = findings.survey
    if survey.note:
        yield f"What decides between dying and learning cannot be said: {survey.note}."
        return
    named = [decider for decider in survey.deciders if decider.importance >= LEAST_IMPORTANCE][:MOST_NAMED]
    if not named:
        yield "None of the hyperparameters alone went with learning beyond what chance would give."
    else:
        first, *others = named
        then = " and ".join(f"{own_decider.name} ({format_percent(own_decider.importance)})" for own_decider in others)
        alone = f"which alone explains {format_percent(first.importance)} of the outcome's entropy"
        yield f"Learning went most with {first.name}, {alone}{f'; then with {then}' if then else ''}."
    if survey.interactions:
        one, other, share = survey.interactions[0]
        yield f"Together {one} and {other} explain another {format_percent(share)}."


def _describe_region(findings: StudyFindings) -> Iterator[str]:
    survey = findings.survey
    if survey.note or not (
        survey.interactions or any(decider.importance >= LEAST_IMPORTANCE for decider in survey.deciders)
    ):
        return  # where nothing decides, the best of many conditions is luck
    if not survey.region:
        yield "No condition singles out where runs live."
        return
    rule = survey.region[-1]
    yield f"Runs lived most with {rule.words}: {format_learned_share(Count(rule.learned, rule.tried))} learned."
    yield "These conditions are the best of many that were looked at: try them on new trials."


def _describe_savings(findings: StudyFindings) -> Iterator[str]:
    summary = findings.summary
    budget = summary.steps_run + summary.steps_saved
    if summary.steps_saved:
        yield (
            f"Stopping runs early saved {summary.steps_saved:,} of {budget:,} steps "
            f"({format_percent(summary.steps_saved / budget)})."
        )
    else:
        yield "No steps were saved: no run was stopped early, so that stopping has lost none either."


def _describe_controls(findings: StudyFindings) -> Iterator[str]:
    controls = findings.controls
    if not controls.runs:
        if not findings.summary.steps_saved:
            return
        yield "There was no control, a run that is never stopped, so what stopping may have lost is not known."
        return
    if controls.runs == 1:
        many = "1 run was a control"
    else:
        many = f"{controls.runs:,} runs were controls"
    if not controls.wrongly:
        wrongly = "none of these"
    else:
        wrongly = f"{controls.wrongly:,} of these"
    would = f"would have stopped {controls.would_stop:,}, and {wrongly} learned"
    yield f"{many}, which the judge may not stop: it {would if controls.would_stop else 'would have stopped none'}."
