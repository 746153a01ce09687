"""Whether the ranks of a study hold: its candidates run again with several seeds, at one scale or more.

A scale is a truncation of its own. All rankings are held against the one that cost most, which is nearest to the real
thing; what agrees with it may be trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna import Study
from optuna.storages import RDBStorage
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.analysis import ranking
from sweeps.analysis.agreement import (
    FEWEST,
    Agreement,
    Candidate,
    Lead,
    Rank,
    measure_agreement,
    measure_lead,
)
from sweeps.analysis.ranking import Configuration, Rerun
from sweeps.analysis.summary import format_objective
from sweeps.analysis.values import get_drawn_values
from sweeps.objective import OBJECTIVES
from sweeps.space.space import Space
from sweeps.wording import count_noun


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a study's confirmations say.

    Attributes:
        ranks: of the study itself, then of the studies that confirm it, by what a run costs; the last is the reference.
        weaknesses: (study, why its ranks are no surer than those of the study that it confirms).
        neighbours: whether the candidates are the first of the study's ranks and no others.
    """

    study: str
    objective: str
    better: int
    ranks: tuple[Rank, ...]
    agreements: tuple[Agreement, ...]
    lead: Lead | None
    weaknesses: tuple[tuple[str, str], ...]
    neighbours: bool

    @property
    def reference(self) -> Rank:
        """Return the ranking that all others are held against."""
        return self.ranks[-1]


def read_confirmation(storage: RDBStorage, study: Study) -> Confirmation | None:
    """Return what the studies that ran candidates of this one again say; None where no run of them has finished yet."""
    space = store.space_of(study)
    reruns = ranking.read_reruns(storage, study.study_name)
    if not reruns:
        return None
    scales = sorted((_make_rank(its_space, rerun) for its_space, rerun in reruns), key=lambda rank: rank.seconds)
    numbers = {candidate.number for scale in scales for candidate in scale.candidates}
    configurations = ranking.rank_study(study, space)
    own = _rank_own(study, space, configurations, numbers)
    ranks = scales
    if own.candidates:
        ranks = [own, *scales]
    reference = ranks[-1]
    sign = space.measure.sign
    agreements = (measure_agreement(rank, reference, sign) for rank in ranks[:-1])
    weaknesses = ((rerun.study, ranking.describe_weakness(configurations, rerun)) for _, rerun in reruns)
    first = configurations[: len(numbers)]
    are_first = all(configuration.trials[0].number in numbers for configuration in first)
    return Confirmation(
        study=study.study_name,
        objective=space.objective,
        better=sign,
        ranks=tuple(ranks),
        agreements=tuple(agreement for agreement in agreements if agreement is not None),
        lead=measure_lead(reference, sign),
        weaknesses=tuple((name, weakness) for name, weakness in weaknesses if weakness),
        neighbours=are_first and len(numbers) < len(configurations),
    )


def _rank_own(study: Study, space: Space, configurations: Sequence[Configuration], again: set[int]) -> Rank:
    """Return the study that is confirmed: each candidate with all its runs there."""
    own_configurations = [configuration for configuration in configurations if configuration.trials[0].number in again]
    candidates = tuple(
        Candidate(
            configuration.trials[0].number,
            get_drawn_values(space, configuration.trials[0]),
            dict(enumerate(configuration.values)),
            configuration.learned,
        )
        for configuration in own_configurations
    )
    runs = [trial for configuration in own_configurations for trial in configuration.trials]
    return Rank(study.study_name, 1, candidates, ranking.mean_seconds(runs), len(runs), len(runs))


def _make_rank(space: Space, again: Rerun) -> Rank:
    candidates = []
    for number, configuration in again.candidates.items():
        seeds = [again.replicates[trial.number] for trial in configuration.trials]
        values = dict(zip(seeds, configuration.values, strict=True))
        candidates.append(
            Candidate(number, get_drawn_values(space, configuration.trials[0]), values, configuration.learned)
        )
    asked = next((len(p.cases[0].domain.values) for p in space.parameters if p.name == "replicate"), 1)
    return Rank(again.study, asked, tuple(candidates), again.seconds, len(again.replicates), space.budget.trials)


def render_confirmation(confirmation: Confirmation) -> RenderableType:
    """Return a confirmation for a terminal."""
    sentences = (Text(line) for line in describe_confirmation(confirmation))
    return Group(_make_table(confirmation), *sentences)


def describe_confirmation(confirmation: Confirmation) -> list[str]:
    """Return what a confirmation says, in sentences."""
    reference = confirmation.reference
    sentences = []
    if reference.done < reference.trials:
        sentences.append(
            f"{reference.study}: {reference.done} of {reference.trials} runs have finished; what follows is of those"
        )
    if confirmation.lead:
        sentences.append(_lead_line(confirmation, confirmation.lead))
    sentences += [_agreement_line(confirmation, agreement) for agreement in confirmation.agreements]
    if confirmation.agreements and confirmation.neighbours:
        sentences.append("Candidates are neighbours in rank: over all ranks tau would be higher.")
    elif confirmation.agreements:
        sentences.append(
            "Candidates are the best and others spaced over the ranks: among neighbours in rank tau would be lower."
        )
    sentences += [f"{study} does not decide which is exported: {why}." for study, why in confirmation.weaknesses]
    return sentences


def _lead_line(confirmation: Confirmation, lead: Lead) -> str:
    objective = OBJECTIVES[confirmation.objective]
    unit = objective.difference_unit
    gap = objective.format_difference(lead.difference)
    of = f"candidate {lead.best} is ahead of candidate {lead.following} by {gap}{unit}"
    if lead.low is None or lead.high is None:
        if lead.seeds < 2:
            seeds = "one seed"
        else:
            seeds = f"the same gap for each of {lead.seeds} seeds"
        return f"{of}; with {seeds} nobody can say whether that is more than noise."
    low = objective.format_difference(lead.low)
    high = objective.format_difference(lead.high)
    if lead.beyond_noise:
        word = "more than"
    else:
        word = "no more than"
    return f"{of} (95 % interval {low} to {high}{unit}, {lead.seeds} seeds): {word} their noise."


def _agreement_line(confirmation: Confirmation, agreement: Agreement) -> str:
    reference = confirmation.reference
    head = f"{agreement.study} against {reference.study}: Kendall's tau {agreement.tau:.2f}"
    objective = OBJECTIVES[confirmation.objective]
    loss = objective.format_difference(agreement.regret) + objective.difference_unit
    if agreement.regret > 0:
        regret = f"its best loses {loss} there"
    else:
        regret = "its best is the best there"
    cost = f"a run took {agreement.seconds:.3g} s, there {reference.seconds:.3g} s"
    if agreement.low is None:
        return (
            f"{head} of {agreement.n} candidates: too few for an interval ({FEWEST} are the fewest); {regret}; {cost}."
        )
    interval = f"(95 % interval {agreement.low:.2f} to {agreement.high:.2f}, {agreement.n} candidates)"
    if agreement.trusted:
        word = "its ranks can be trusted"
    else:
        word = "its ranks cannot be told from luck"
    return f"{head} {interval}: {word}; {regret}; {cost}."


def _make_table(confirmation: Confirmation) -> Table:
    """Return a row per candidate in the order of the reference, a column per scale."""
    name = OBJECTIVES[confirmation.objective].title
    table = Table("candidate", title=f"{confirmation.study}: {name}, mean ± standard deviation over seeds (rank)")
    for rank in confirmation.ranks:
        if rank.study != confirmation.study:
            seeds = f"\n{count_noun(rank.seeds, 'seed')}"
        else:
            seeds = "\nas it was"
        table.add_column(rank.study + seeds, justify="right")
    table.add_column("configuration")
    for candidate in confirmation.reference.candidates:
        table.add_row(
            str(candidate.number),
            *(_format_cell(confirmation, rank, candidate.number) for rank in confirmation.ranks),
            candidate.words,
        )
    table.title_justify = "left"
    return table


def _format_cell(confirmation: Confirmation, rank: Rank, number: int) -> str:
    candidate = next((candidate for candidate in rank.candidates if candidate.number == number), None)
    if candidate is None:
        return ""
    if candidate.spread is not None:
        spread = f" ± {format_objective(confirmation.objective, candidate.spread)}"
    else:
        spread = ""
    dead = len(candidate.values) - candidate.learned
    if dead:
        of = f", {dead} of {len(candidate.values)} did not learn"
    else:
        of = ""
    return f"{format_objective(confirmation.objective, candidate.mean)}{spread} ({rank.get_place(number)}){of}"
