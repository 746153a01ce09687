"""The answer of a report in one paragraph: sentences from the findings, with numbers that say how sure they are.

The sentences say what went together. They name no causes, since a sweep shows none.
"""

from collections.abc import Iterator
from math import isfinite

from sweeps import store
from sweeps.analysis.summary import format_objective
from sweeps.report.best import SEEDS, Confirming, Standing
from sweeps.report.findings import StudyFindings
from sweeps.report.levels import Count
from sweeps.report.words import format_objective_name, format_percent
from sweeps.trials import UNKNOWN
from sweeps.verdict import Fate
from sweeps.wording import count_noun, join_words

LEAST_IMPORTANCE = 0.01  # share of the outcome's entropy, below which a hyperparameter is not named
MOST_NAMED = 3
LEARNED_IN_TRAINING: dict[str, str] = {
    Fate.INFERENCE_LAGS: "in inference the moving averages of batch normalisation lag behind",
    Fate.HOLDOUT_DIFFERS: "the hold-out set is unlike the training set",
}


def write_answer(findings: StudyFindings) -> list[str]:
    """Return the sentences of the paragraph."""
    if not findings.summary.done:
        return [f"No trial has finished yet: nothing can be said. {_describe_state(findings)}".strip()]
    sentences: list[str] = []
    if findings.judged.tried == 0:
        sentences += _describe_nothing_judged(findings)
        sentences += _count_unfinished(findings)
    else:
        sentences += _describe_learning(findings)
        sentences += _count_unfinished(findings)
        sentences += _describe_best(findings)
        sentences += _describe_deciders(findings)
        sentences += _describe_region(findings)
        sentences += describe_stopping(findings)
    sentences += _describe_warnings(findings)
    return [sentence for sentence in sentences if sentence]


def _describe_warnings(findings: StudyFindings) -> Iterator[str]:
    """Yield what the rehearsal found odd, a sentence each."""
    for warning in findings.warnings:
        yield f"Before it began, this was odd: {warning.rstrip('.')}."


def describe_stopping(findings: StudyFindings) -> list[str]:
    """Return sentences on what stopping runs early has saved, and on what it may have lost."""
    return list(_describe_savings(findings)) + list(_describe_controls(findings))


def format_interval(findings: StudyFindings, ends: tuple[float, float]) -> str:
    """Return an interval of the objective."""
    low, high = (format_objective(findings.summary.objective, end) for end in ends)
    return f"{low} to {high}"


def describe_certainty(findings: StudyFindings, standing: Standing) -> str:
    """Return the interval of a configuration's mean, and over what it is; empty where there is none."""
    if standing.interval is None:
        return ""
    if standing.interval_source == SEEDS:
        source = "over seeds"
    else:
        source = f"over the {standing.interval_source} alone"
    return f"95 % interval {format_interval(findings, standing.interval)} {source}"


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
    states = {
        "running": summary.running,
        "waiting for a worker": summary.waiting,
        "given up": summary.given_up,
    }
    return "; ".join(f"{count:,} {state}" for state, count in states.items() if count)


def _count_unfinished(findings: StudyFindings) -> Iterator[str]:
    summary = findings.summary
    if summary.done < summary.trials:
        if text := _describe_state(findings):
            state = f" ({text})"
        else:
            state = ""
        yield f"The study is not finished: {summary.done:,} of {summary.trials:,} trials have ended{state}."


def _describe_nothing_judged(findings: StudyFindings) -> Iterator[str]:
    failed = findings.summary.fates.get(store.FAILED, 0)
    if failed:
        reason = findings.failures[0].reason.rstrip(".")
        if failed == findings.summary.done:
            share = "All"
        else:
            share = f"{failed:,} of {findings.summary.done:,}"
        yield f"{share} finished trials failed, so that nothing can be said; the most frequent reason: {reason}."
    if findings.outranked:
        unknown = "whether they would have learned is not known"
        yield f"{findings.outranked:,} were stopped because others were better; {unknown}."
    for fate, why in LEARNED_IN_TRAINING.items():
        if count := findings.summary.fates.get(fate):
            yield f"{count_noun(count, 'run')} learned in training; {why}."


def _describe_learning(findings: StudyFindings) -> Iterator[str]:
    judged = findings.judged
    yield f"Of {judged.tried:,} runs {judged.learned:,} learned ({format_percent(judged.share)})."
    fates = findings.summary.fates
    left_out = [f"{fates[fate]:,} {fate}" for fate in UNKNOWN if fates.get(fate)]
    if left_out:
        yield f"Not counted: {join_words(left_out)}."
    if fates.get(Fate.MEMORISED):
        yield f"{count_noun(fates[Fate.MEMORISED], 'run')} learned in training alone (memorised)."


def _describe_best(findings: StudyFindings) -> Iterator[str]:
    if not findings.standings:
        return
    best = findings.standings[0]
    objective = format_objective_name(findings.summary.objective)
    chance = _precede_by_comma(describe_chance(findings))
    if len(best.trials) == 1:
        runs = f"trial {best.trials[0]}"
    else:
        runs = f"mean of {len(best.trials)} seeds"
    configuration = best.description or "the only configuration"
    certainty = _precede_by_comma(describe_certainty(findings, best))
    value = format_objective(findings.summary.objective, best.mean)
    if findings.judged.learned:
        yield f"Best in {objective}: {configuration}, {value} ({runs}{certainty}){chance}."
        if not best.learned:
            yield "It has not learned."
    else:
        end = findings.space.measure.best_end
        details = f"({configuration}; {runs}{certainty})"
        yield f"No configuration learned; the {end} {objective} was {value} {details}{chance}."
    is_confirmed = False
    for confirming in findings.confirming:
        standing = confirming.find_origin(best)
        if standing is not None:
            is_confirmed = True
            yield _describe_confirmation(findings, confirming, standing)
    if findings.judged.learned and not is_confirmed:
        yield _warn_of_selection(findings, best)


def _precede_by_comma(text: str) -> str:
    if text:
        return f", {text}"
    return ""


def _warn_of_selection(findings: StudyFindings, best: Standing) -> str:
    """Return a warning that new runs of the best configuration will probably be worse, since it was selected."""
    was_run_once = len(best.trials) == 1
    was_selected = findings.configurations > 1
    if was_run_once and was_selected:
        return (
            f"It is the best of {findings.configurations:,} and was run once: "
            "run it again with other seeds before you rely on it."
        )
    if was_run_once:
        return "It was run once: how much its seed matters is not known."
    if was_selected:
        return f"It is the best of {findings.configurations:,}: expect a little less of new runs."
    return ""


def _describe_confirmation(findings: StudyFindings, confirming: Confirming, standing: Standing) -> str:
    rank = f"rank {standing.rank} of {len(confirming.standings)}"
    count = len(standing.values)
    runs = f"{count_noun(count, 'seed')} of {confirming.length}"
    value = format_objective(findings.summary.objective, standing.mean)
    certainty = _precede_by_comma(describe_certainty(findings, standing))
    learned = f"{standing.learned} of {count} learned"
    sentence = f"Run again in {confirming.study} ({runs}) it came to {value}{certainty}: {rank} there, {learned}."
    first = confirming.standings[0]
    if first is standing:
        return sentence
    value = format_objective(findings.summary.objective, first.mean)
    return f"{sentence} First there is trial {first.candidate}: {first.description}, {value}."


def _describe_deciders(findings: StudyFindings) -> Iterator[str]:
    survey = findings.survey
    if survey.note:
        yield f"What decides between dying and learning cannot be said: {survey.note}."
        return
    deciders = [decider for decider in survey.deciders if decider.importance >= LEAST_IMPORTANCE][:MOST_NAMED]
    if not deciders:
        yield "None of the hyperparameters alone went with learning beyond what chance would give."
    else:
        first = deciders[0]
        share = format_percent(first.importance)
        sentence = f"Learning went most with {first.name}, which alone explains {share} of the outcome's entropy"
        next_names = [f"{decider.name} ({format_percent(decider.importance)})" for decider in deciders[1:]]
        if next_names:
            sentence += f"; then with {' and '.join(next_names)}"
        yield f"{sentence}."
    if survey.interactions:
        first_name, second_name, importance = survey.interactions[0]
        yield f"Together {first_name} and {second_name} explain another {format_percent(importance)}."


def _describe_region(findings: StudyFindings) -> Iterator[str]:
    survey = findings.survey
    is_decided = survey.interactions or any(decider.importance >= LEAST_IMPORTANCE for decider in survey.deciders)
    if survey.note or not is_decided:
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
        runs = "1 run was a control"
    else:
        runs = f"{controls.runs:,} runs were controls"
    if not controls.would_stop:
        stopped = "none"
    elif not controls.wrongly:
        stopped = f"{controls.would_stop:,}, and none of these learned"
    else:
        stopped = f"{controls.would_stop:,}, and {controls.wrongly:,} of these learned"
    yield f"{runs}, which the judge may not stop: it would have stopped {stopped}."
