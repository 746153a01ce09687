"""Which configurations of a study are best, and how sure that is; runs that differ in their seed alone are one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis.statistics import compute_deviation, half_width
from sweeps.config import Config
from sweeps.errors import InputError
from sweeps.space.space import Space
from sweeps.trials import UNKNOWN, FinishedTrial, drop_earlier_data, drop_repetitions

# Fields of a recipe of which less is a stronger truncation.
SIZES = (
    "steps",
    "data.classes",
    "data.images",
    "data.image_size",
    "model.convolutions",
    "model.width",
    "model.dense",
    "model.dense_units",
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration and its finished runs.

    Attributes:
        study: the study that ran it.
        config: its recipe; the seed is 0, whatever its runs had.
        trials: its runs, in the order of their numbers.
        values: the objective at the last reading of each; a dead run's too.
        mean: of the values.
        spread: their standard deviation (n - 1); None of a single run.
        bounds: between which the objective lies.
    """

    study: str
    config: Config
    trials: tuple[FinishedTrial, ...]
    values: tuple[float, ...]
    mean: float
    spread: float | None
    bounds: tuple[float, float]

    @property
    def learned(self) -> int:
        """Return how many of the runs learned."""
        return sum(trial.learned for trial in self.trials)

    def compute_interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Return Student's t interval of the mean over seeds, within the bounds; None with fewer than two runs.

        None of a single run, and of equal values: they say nothing of how far seeds differ, and its width would be 0.
        """
        if self.spread is None or len(set(self.values)) == 1:
            return None
        n = len(self.values)
        half = half_width(self.spread, n, confidence)
        return max(self.bounds[0], self.mean - half), min(self.bounds[1], self.mean + half)


def rank_configurations(space: Space, trials: Iterable[FinishedTrial]) -> list[Configuration]:
    """Return the configurations of the trials whose end is known, the best first; of equals the one that was first.

    Runs on data that have changed since are left out, and so are runs that repeat another, seed included. Where the
    digests of data differ for another reason, these are configurations of their own.
    """
    runs: dict[tuple[Config, str], list[FinishedTrial]] = {}
    for trial in drop_repetitions(drop_earlier_data(trials)):
        if trial.config and trial.fate not in UNKNOWN and get_score(space, trial) is not None:
            without_seed = trial.config.model_copy(update={"seed": 0})
            runs.setdefault((without_seed, trial.data_digest), []).append(trial)
    configurations = [_make_configuration(space, config, same) for (config, _), same in runs.items()]
    sign = -space.measure.sign  # the best first
    return sorted(configurations, key=lambda configuration: sign * configuration.mean)


def get_score(space: Space, trial: FinishedTrial) -> float | None:
    """Return the objective at a finished trial's last reading, stopped or not; None where there is none."""
    if trial.value is not None:
        return trial.value
    return space.measure.read_trial(trial)


def list_confirmations(storage: RDBStorage, study: str) -> list[tuple[Study, Space]]:
    """Return the studies that ran candidates of this one again, in the order in which they were made."""
    confirmations = []
    for name in store.confirming(storage, study):
        confirming = store.load_study(storage, name)
        try:
            space = store.space_of(confirming)
        except InputError:  # of a newer version, or edited: `status` says so
            continue
        if space.confirms == study:  # a database may not tell cases apart
            confirmations.append((confirming, space))
    return confirmations


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a study that confirms another came to.

    Attributes:
        study: its name.
        candidates: candidate -> its runs whose end is known, the best first.
        replicates: trial number -> its replicate, of these runs.
        seconds: of training, the mean of these runs; infinite where there is none.
        finished: all trials that have ended, failed ones too.
    """

    study: str
    candidates: Mapping[int, Configuration]
    replicates: Mapping[int, int]
    seconds: float
    finished: int


def collect_reruns(space: Space, trials: Sequence[FrozenTrial]) -> Rerun:
    """Return the candidates' runs in a study that confirms another."""
    finished = store.finished_trials(trials)
    by_number = {trial.number: trial for trial in trials}
    configurations = rank_configurations(space, finished)
    runs = [trial for configuration in configurations for trial in configuration.trials]
    return Rerun(
        study=space.name,
        candidates={
            _get_label(space, by_number[configuration.trials[0].number], "candidate"): configuration
            for configuration in configurations
        },
        replicates={trial.number: _get_label(space, by_number[trial.number], "replicate") for trial in runs},
        seconds=mean_seconds(runs),
        finished=len(finished),
    )


def read_reruns(storage: RDBStorage, study: str) -> list[tuple[Space, Rerun]]:
    """Return the studies that ran candidates of this one again and of which some run has finished."""
    reruns = [
        (space, collect_reruns(space, store.read_trials(confirming)))
        for confirming, space in list_confirmations(storage, study)
    ]
    return [(space, rerun) for space, rerun in reruns if rerun.candidates]


def by_trial(configurations: Iterable[Configuration]) -> dict[int, Configuration]:
    """Return the configuration of each trial, by the trial's number."""
    return {trial.number: configuration for configuration in configurations for trial in configuration.trials}


def find_deciding(own: Sequence[Configuration], reruns: Sequence[Rerun]) -> Rerun | None:
    """Return the study of reruns whose ranks count instead of the study's own; None where there is none.

    The one whose runs took longest of those that are surer than the study, the later one of equals; None if none is.
    """
    surer = [rerun for rerun in reruns if rerun.candidates and not describe_weakness(own, rerun)]
    if surer:
        return max(reversed(surer), key=lambda rerun: rerun.seconds)
    return None


def describe_weakness(own: Sequence[Configuration], again: Rerun) -> str:
    """Return why ranks of candidates that were run again are no surer than the study's own; empty where they are.

    Runs that are larger in something say more; those that are only truncated more say less, and one more run of the
    same size says no more than the one that is there.
    """
    known = by_trial(own)
    pairs = [
        (known[number].config, configuration.config)
        for number, configuration in again.candidates.items()
        if number in known
    ]
    sizes = [(name, one.get_value(name), other.get_value(name)) for name in SIZES for one, other in pairs]
    changes = [(name, before, now) for name, before, now in sizes if None not in (before, now) and before != now]
    if any(now > before for _, before, now in changes):
        return ""
    for name, before, now in changes:
        return f"its runs are truncated more than the study's ({name} is {now:,}, not {before:,})"
    if any(len(candidate.values) > 1 for candidate in again.candidates.values()):
        return ""
    return "one run of the study's own size says no more than the study does"


def mean_seconds(trials: Sequence[FinishedTrial]) -> float:
    """Return the mean seconds of training per run; infinite where there is none."""
    if trials:
        return sum(trial.seconds for trial in trials) / len(trials)
    return inf


def rank_study(study: Study, space: Space) -> list[Configuration]:
    """Return the configurations of a study, the best first."""
    return rank_configurations(space, store.finished_trials(store.read_trials(study)))


def _get_label(space: Space, trial: FrozenTrial, name: str) -> int:
    """Return a trial's `candidate` or `replicate`; a single value is none that Optuna is asked for. 0 where it has
    none.
    """
    only = next((p.cases[0].domain.values[0] for p in space.parameters if p.name == name), 0)
    return int(trial.params.get(name, only))


def _make_configuration(space: Space, config: Config, trials: Sequence[FinishedTrial]) -> Configuration:
    values = tuple(value for trial in trials if (value := get_score(space, trial)) is not None)
    return Configuration(
        study=space.name,
        config=config,
        trials=tuple(trials),
        values=values,
        mean=sum(values) / len(values),
        spread=compute_deviation(values),
        bounds=space.measure.bounds,
    )
