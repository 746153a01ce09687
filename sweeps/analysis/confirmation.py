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
    agreement,
    lead,
)
from sweeps.analysis.ranking import Ranked, Rerun
from sweeps.analysis.summary import NAMES, drawn, shown
from sweeps.space.space import Space

PERCENT = ("top1", "top5")  # objectives that are shown in per cent


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


def confirmation(storage: RDBStorage, study: Study) -> Confirmation | None:
    """Return what the studies that ran candidates of this one again say; None where no run of them has finished yet."""
    space = store.space_of(study)
    reruns = [
        (its, ranking.rerun(its, each.get_trials(deepcopy=False)))
        for each, its in ranking.confirmations(storage, study.study_name)
    ]
    reruns = [(its, each) for its, each in reruns if each.candidates]
    if not reruns:
        return None
    scales = sorted((_rank(its, each) for its, each in reruns), key=lambda each: each.seconds)
    again = {each.number for scale in scales for each in scale.candidates}
    configurations = ranking.ranked_of(study, space)
    own = _own(study, space, configurations, again)
    if space.direction == "maximize":
        better = 1
    else:
        better = -1
    ranks = (*([own] if own.candidates else []), *scales)
    agreements = [agreement(rank, ranks[-1], better) for rank in ranks[:-1]]
    return Confirmation(
        study.study_name,
        space.objective,
        better,
        ranks,
        tuple(each for each in agreements if each is not None),
        lead(ranks[-1], better),
        tuple((each.study, why) for _, each in reruns if (why := ranking.weakness(configurations, each))),
        len(again) < len(configurations)
        and all(each.trials[0].number in again for each in configurations[: len(again)]),
    )


def _own(study: Study, space: Space, configurations: Sequence[Ranked], again: set[int]) -> Rank:
    """Return the study that is confirmed: each candidate with all its runs there."""
    found = [each for each in configurations if each.trials[0].number in again]
    candidates = tuple(
        Candidate(each.trials[0].number, drawn(space, each.trials[0]), dict(enumerate(each.values)), each.learned)
        for each in found
    )
    runs = [trial for each in found for trial in each.trials]
    return Rank(study.study_name, 1, candidates, ranking.mean_seconds(runs), len(runs), len(runs))


def _rank(space: Space, again: Rerun) -> Rank:
    candidates = []
    for number, each in again.candidates.items():
        seeds = [again.replicates[trial.number] for trial in each.trials]
        values = dict(zip(seeds, each.values, strict=True))
        candidates.append(Candidate(number, drawn(space, each.trials[0]), values, each.learned))
    asked = next((len(p.cases[0].domain.values) for p in space.parameters if p.name == "replicate"), 1)
    return Rank(again.study, asked, tuple(candidates), again.seconds, len(again.replicates), space.budget.trials)


def render(found: Confirmation) -> RenderableType:
    """Return a confirmation for a terminal."""
    return Group(_table(found), *(Text(line) for line in lines(found)))


def lines(found: Confirmation) -> list[str]:
    """Return what a confirmation says, in sentences."""
    reference = found.reference
    said = []
    if reference.done < reference.trials:
        said.append(
            f"{reference.study}: {reference.done} of {reference.trials} runs have finished; what follows is of those"
        )
    said += [_lead_line(found, found.lead)] if found.lead else []
    said += [_agreement_line(found, each) for each in found.agreements]
    if found.agreements and found.neighbours:
        said.append("Candidates are neighbours in rank: over all ranks tau would be higher.")
    elif found.agreements:
        said.append(
            "Candidates are the best and others spaced over the ranks: among neighbours in rank tau would be lower."
        )
    return said + [f"{study} does not decide which is exported: {why}." for study, why in found.weaknesses]


def _lead_line(found: Confirmation, lead: Lead) -> str:
    if found.objective in PERCENT:
        unit = " points"
    else:
        unit = ""
    gap = _gap(found, lead.difference)
    of = f"candidate {lead.best} is ahead of candidate {lead.following} by {gap}{unit}"
    if lead.low is None or lead.high is None:
        if lead.seeds < 2:
            seeds = "one seed"
        else:
            seeds = f"the same gap for each of {lead.seeds} seeds"
        return f"{of}; with {seeds} nobody can say whether that is more than noise."
    low = _gap(found, lead.low)
    high = _gap(found, lead.high)
    if lead.beyond_noise:
        word = "more than"
    else:
        word = "no more than"
    return f"{of} (95 % interval {low} to {high}{unit}, {lead.seeds} seeds): {word} their noise."


def _gap(found: Confirmation, difference: float) -> str:
    """Return a difference of the objective; of shares in percentage points."""
    if found.objective in PERCENT:
        return f"{100 * difference:.2f}"
    return shown(found.objective, difference)


def _agreement_line(found: Confirmation, each: Agreement) -> str:
    reference = found.reference
    head = f"{each.study} against {reference.study}: Kendall's tau {each.tau:.2f}"
    loss = _gap(found, each.regret) + (" points" if found.objective in PERCENT else "")
    if each.regret > 0:
        regret = f"its best loses {loss} there"
    else:
        regret = "its best is the best there"
    cost = f"a run took {each.seconds:.3g} s, there {reference.seconds:.3g} s"
    if each.low is None:
        return f"{head} of {each.n} candidates: too few for an interval ({FEWEST} are the fewest); {regret}; {cost}."
    interval = f"(95 % interval {each.low:.2f} to {each.high:.2f}, {each.n} candidates)"
    if each.trusted:
        word = "its ranks can be trusted"
    else:
        word = "its ranks cannot be told from luck"
    return f"{head} {interval}: {word}; {regret}; {cost}."


def _table(found: Confirmation) -> Table:
    """Return a row per candidate in the order of the reference, a column per scale."""
    name = NAMES[found.objective]
    table = Table("candidate", title=f"{found.study}: {name}, mean ± standard deviation over seeds (rank)")
    for rank in found.ranks:
        if rank.study != found.study:
            seeds = f"\n{rank.seeds} seed{'s' if rank.seeds > 1 else ''}"
        else:
            seeds = "\nas it was"
        table.add_column(rank.study + seeds, justify="right")
    table.add_column("configuration")
    for each in found.reference.candidates:
        table.add_row(str(each.number), *(_cell(found, rank, each.number) for rank in found.ranks), each.words)
    table.title_justify = "left"
    return table


def _cell(found: Confirmation, rank: Rank, number: int) -> str:
    each = next((each for each in rank.candidates if each.number == number), None)
    if each is None:
        return ""
    if each.spread is not None:
        spread = f" ± {shown(found.objective, each.spread)}"
    else:
        spread = ""
    dead = len(each.values) - each.learned
    if dead:
        of = f", {dead} of {len(each.values)} did not learn"
    else:
        of = ""
    return f"{shown(found.objective, each.mean)}{spread} ({rank.place(number)}){of}"
