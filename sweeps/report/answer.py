"""The answer in a paragraph: sentences that findings bear out, with the numbers that say how sure they are.

What goes together is said to go together: that one thing is the cause of another no sweep shows.
"""

from collections.abc import Iterator
from math import isfinite

from sweeps import store
from sweeps.analysis.summary import shown
from sweeps.report.best import SEEDS, Confirming, Standing
from sweeps.report.findings import Findings
from sweeps.report.levels import Count
from sweeps.report.words import name_of, percent

LEAST_IMPORTANCE = 0.01  # share of the outcome's entropy, below which a hyperparameter is not named
MOST_NAMED = 3


def answer(found: Findings) -> list[str]:
    """Return the sentences of the paragraph."""
    if not found.summary.done:
        return [f"No trial has finished yet: nothing can be said. {_standing(found)}".strip()]
    if found.judged.tried == 0:
        return [*_nothing_judged(found), *_unfinished(found)]
    sentences = [
        *_learned(found),
        *_unfinished(found),
        *_best(found),
        *_decides(found),
        *_lives(found),
        *stopping(found),
    ]
    return [sentence for sentence in sentences if sentence]


def stopping(found: Findings) -> list[str]:
    """Return what stopping runs early has saved, and what it may have lost."""
    return [*_saved(found), *_controls(found)]


def between(found: Findings, ends: tuple[float, float]) -> str:
    """Return an interval of the objective."""
    low, high = (shown(found.summary.objective, end) for end in ends)
    return f"{low} to {high}"


def sureness(found: Findings, standing: Standing) -> str:
    """Return the interval of a configuration's mean, and of what; empty where nothing tells."""
    if standing.interval is None:
        return ""
    if standing.over == SEEDS:
        over = "over seeds"
    else:
        over = f"over the {standing.over} alone"
    return f"95 % interval {between(found, standing.interval)} {over}"


def learned_of(count: Count) -> str:
    """Return how many learned, as `3 of 4 (95 % interval 30% to 95%)`."""
    low, high = count.interval
    return f"{count.learned:,} of {count.tried:,} (95 % interval {percent(low)} to {percent(high)})"


def best_title(found: Findings) -> str:
    """Return the title of the table of the first configurations."""
    if found.judged.learned:
        return "Best configurations"
    return "Configurations, none of which learned"


def guessing(found: Findings) -> str:
    """Return what guessing scores in the objective, as the end of a sentence; empty where it is not known."""
    objective = found.summary.objective
    chance = found.chance
    if objective in ("gain", "r2"):
        return "where guessing has 0"
    level = {"top1": chance.top1, "loss": chance.loss}.get(objective, float("nan"))
    if isfinite(level):
        return f"where guessing has {shown(objective, level)}"
    return ""


def _standing(found: Findings) -> str:
    summary = found.summary
    parts = [(summary.running, "running"), (summary.waiting, "waiting for a worker"), (summary.given_up, "given up")]
    return "; ".join(f"{count:,} {word}" for count, word in parts if count)


def _unfinished(found: Findings) -> Iterator[str]:
    summary = found.summary
    if summary.done < summary.trials:
        if text := _standing(found):
            standing = f" ({text})"
        else:
            standing = ""
        yield f"The study is not finished: {summary.done:,} of {summary.trials:,} trials have ended{standing}."


def _nothing_judged(found: Findings) -> Iterator[str]:
    failed = found.summary.fates.get(store.FAILED, 0)
    if failed:
        reason = found.failures[0].reason.rstrip(".")
        if failed == found.summary.done:
            whole = "All"
        else:
            whole = f"{failed:,} of {found.summary.done:,}"
        yield f"{whole} finished trials failed, so that nothing can be said; the most frequent reason: {reason}."
    if found.outranked:
        unknown = "whether they would have learned is not known"
        yield f"{found.outranked:,} were stopped because others were better; {unknown}."


def _learned(found: Findings) -> Iterator[str]:
    judged = found.judged
    yield f"Of {judged.tried:,} runs {judged.learned:,} learned ({percent(judged.share)})."
    left_out = [(found.outranked, "outranked"), (found.summary.fates.get(store.FAILED, 0), "failed")]
    words = " and ".join(f"{count:,} {word}" for count, word in left_out if count)
    if words:
        yield f"Not counted: {words}."


def _best(found: Findings) -> Iterator[str]:
    if not found.standings:
        return
    best = found.standings[0]
    name = name_of(found.summary.objective)
    if text := guessing(found):
        guess = f", {text}"
    else:
        guess = ""
    if len(best.trials) == 1:
        runs = f"trial {best.trials[0]}"
    else:
        runs = f"mean of {len(best.trials)} seeds"
    words = best.words or "the only configuration"
    if text := sureness(found, best):
        sure = f", {text}"
    else:
        sure = ""
    value = shown(found.summary.objective, best.mean)
    if found.judged.learned:
        yield f"Best in {name}: {words}, {value} ({runs}{sure}){guess}."
        if not best.learned:
            yield "It has not learned."
    else:
        if found.space.direction == "maximize":
            end = "highest"
        else:
            end = "lowest"
        yield f"No configuration learned; the {end} {name} was {value} ({words}; {runs}{sure}){guess}."
    again = [(each, there) for each in found.confirming if (there := each.of(best)) is not None]
    yield from (_again(found, each, there) for each, there in again)
    if not again and found.judged.learned:
        yield _alone(found, best)


def _alone(found: Findings, best: Standing) -> str:
    """Return the reader's caution, where no other study ran it again: the best of many is better than it will be."""
    once = len(best.trials) == 1
    many = found.configurations > 1
    if once and many:
        return (
            f"It is the best of {found.configurations:,} and was run once: "
            "run it again with other seeds before you rely on it."
        )
    if once:
        return "It was run once: how much its seed matters is not known."
    if many:
        return f"It is the best of {found.configurations:,}: expect a little less of new runs."
    return ""


def _again(found: Findings, confirming: Confirming, standing: Standing) -> str:
    rank = f"rank {standing.rank} of {len(confirming.standings)}"
    runs = f"{len(standing.values)} seed{'s' if len(standing.values) > 1 else ''} of {confirming.length}"
    value = shown(found.summary.objective, standing.mean)
    if text := sureness(found, standing):
        sure = f", {text}"
    else:
        sure = ""
    lived = f"{standing.learned} of {len(standing.values)} learned"
    found_there = f"Run again in {confirming.study} ({runs}) it came to {value}{sure}: {rank} there, {lived}."
    ahead = confirming.standings[0]
    if ahead is standing:
        return found_there
    value = shown(found.summary.objective, ahead.mean)
    if confirming.decides and ahead.learned:
        first = "First there, and in an export,"
    else:
        first = "First there"
    return f"{found_there} {first} is trial {ahead.candidate}: {ahead.words}, {value}."


def _decides(found: Findings) -> Iterator[str]:
    survey = found.survey
    if survey.note:
        yield f"What decides between dying and learning cannot be said: {survey.note}."
        return
    named = [each for each in survey.deciders if each.importance >= LEAST_IMPORTANCE][:MOST_NAMED]
    if not named:
        yield "None of the hyperparameters alone went with learning beyond what chance would give."
    else:
        first, *others = named
        then = " and ".join(f"{each.name} ({percent(each.importance)})" for each in others)
        alone = f"which alone explains {percent(first.importance)} of the outcome's entropy"
        yield f"Learning went most with {first.name}, {alone}{f'; then with {then}' if then else ''}."
    if survey.interactions:
        one, other, share = survey.interactions[0]
        yield f"Together {one} and {other} explain another {percent(share)}."


def _lives(found: Findings) -> Iterator[str]:
    survey = found.survey
    if survey.note or not (survey.interactions or any(each.importance >= LEAST_IMPORTANCE for each in survey.deciders)):
        return  # where nothing decides, the best of many conditions is luck
    if not survey.region:
        yield "No condition singles out where runs live."
        return
    rule = survey.region[-1]
    yield f"Runs lived most with {rule.words}: {learned_of(Count(rule.learned, rule.tried))} learned."
    yield "These conditions are the best of many that were looked at: try them on new trials."


def _saved(found: Findings) -> Iterator[str]:
    summary = found.summary
    budget = summary.steps_run + summary.steps_saved
    if summary.steps_saved:
        yield (
            f"Stopping runs early saved {summary.steps_saved:,} of {budget:,} steps "
            f"({percent(summary.steps_saved / budget)})."
        )
    else:
        yield "No steps were saved: no run was stopped early, so that stopping has lost none either."


def _controls(found: Findings) -> Iterator[str]:
    controls = found.controls
    if not controls.runs:
        if not found.summary.steps_saved:
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
