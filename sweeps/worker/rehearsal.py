"""Every choice is trained for a step before any budget is spent: what cannot work shows now, not at the 40th trial."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from sweeps.config import LEAST_HOLDOUT_IMAGES, NET_VALUES, Config, is_own
from sweeps.data.arrays import Arrays
from sweeps.data.checks import explain_misfit
from sweeps.data.oddities import SPREADS, Finding, NetReport, find_oddities
from sweeps.errors import SpaceError, SweepsError, describe_place, one_line
from sweeps.readings import Reading
from sweeps.space.space import Space
from sweeps.wording import join_words, list_first
from sweeps.worker.protocol import Load, Train

CheckNet = Callable[[Config], NetReport]
FIRST_STEP = "first step"
VALUES_READ = "values that the net reads"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal came to.

    Attributes:
        configurations: how many were trained for a step.
        findings: what each check says, of the data, of the net and of the first step.
    """

    configurations: int
    findings: tuple[Finding, ...]


def rehearse(space: Space, train: Train, load: Load, source: str, check_net: CheckNet | None = None) -> Rehearsal:
    """Check the data and the net, and train each choice, and both ends of each range, for one step.

    Args:
        check_net: returns what the checks of a user's net come to; nothing is asked without it.

    Raises:
        SpaceError: the data cannot be read, or a configuration cannot be trained; the message names its values.
    """
    configs = list(space.rehearsals())
    try:
        arrays = load(space.data, space.budget.holdout_images)
    except Exception as exc:  # users' files and functions may raise anything; a person wants one line
        raise SpaceError(source, [("data", _error_reason(exc))]) from exc
    if problem := next(filter(None, (explain_misfit(arrays, config) for config in configs)), ""):
        raise SpaceError(source, [("data", problem)])
    _require_rows(space, configs, arrays, source)
    few = replace(
        arrays,
        holdout_images=arrays.holdout_images[:LEAST_HOLDOUT_IMAGES],
        holdout_labels=arrays.holdout_labels[:LEAST_HOLDOUT_IMAGES],
    )
    nets: list[NetReport] = []
    of_steps: list[str] = []
    for config in configs:
        brief = config.model_copy(update={"steps": 1, "report_interval": 1})
        try:
            if check_net is not None and config.model.architecture == "custom":
                nets.append(check_net(config))
            readings = [reading for reading in train(brief, few, None) if reading is not None]
        except Exception as exc:  # and so may their nets, and TensorFlow
            values = _list_values(space, config)
            raise SpaceError(source, [("space", f"cannot be trained with {values}: {_error_reason(exc)}")]) from exc
        of_steps += [f"with {_list_values(space, config)} {text}" for text in _check_first_step(readings)]
    findings = find_oddities(arrays, configs[0])
    if nets and all(net.scales_columns for net in nets):
        findings = [Finding(SPREADS) if finding.check == SPREADS else finding for finding in findings]
    findings += _merge_findings(finding for net in nets for finding in net.findings)
    if nets:
        findings.append(_check_values_read(space, frozenset().union(*(net.values_read for net in nets))))
    findings.append(Finding(FIRST_STEP, "; ".join(of_steps[:1])))
    return Rehearsal(len(configs), tuple(findings))


def _require_rows(space: Space, configs: Sequence[Config], arrays: Arrays, source: str) -> None:
    """Check that an epoch, and a batch, are no larger than the data.

    Raises:
        SpaceError: one is; no trial is to go over the same rows hundreds of times without a word.
    """
    count = len(arrays.train_labels)
    budget = space.budget
    if budget.epochs and budget.epoch_images == space.data.images > count:
        raise SpaceError(
            source,
            [
                (
                    "data.images",
                    f"an epoch would be {space.data.images:,} images, and the source has {count:,} to train on; set "
                    f"data.images = {count}",
                )
            ],
        )
    largest = max(config.batch_size for config in configs)
    if largest > count:
        raise SpaceError(
            source,
            [("space.batch_size", f"a batch of {largest} is more than the {count} images to train on; lower it")],
        )


def _check_first_step(readings: Sequence[Reading]) -> Iterator[str]:
    """Yield what the readings before and after the first step show."""
    first = readings[0]
    if first.step == 0 and not isfinite(first.loss):
        yield f"the loss is {first.loss:.3g} before the first step: scale the inputs, or draw smaller first weights"
    without = [layer.name for layer in readings[-1].layers if layer.gradient_norm == 0]
    if without:
        yield (
            f"no gradient reaches {list_first(without)} in the first step: harmless where a factor or a kernel behind "
            "it starts at zero, as with gammas of 0 or a last layer of zeros"
        )
    broken = [layer.name for layer in readings[-1].layers if not isfinite(layer.gradient_norm)]
    if broken and readings[-1].step > 0:
        yield f"the gradients of {list_first(broken)} are no numbers in the first step: look for a division by zero"


def _check_values_read(space: Space, read: Collection[str]) -> Finding:
    """Return which values of the search space a user's function does not read, where nothing else uses them."""
    if "initializer" in read or "tau" in read:  # which are the activation's usual ones where the file has none
        read = {*read, "activation"}
    of_net = [
        parameter.name for parameter in space.parameters if parameter.name in NET_VALUES or is_own(parameter.name)
    ]
    unread = [name for name in of_net if name not in read]
    if not unread:
        return Finding(VALUES_READ, "")
    return Finding(
        VALUES_READ,
        f"{space.model.build} does not read {join_words(unread)} from its config, so that the net is the same whatever "
        "is chosen; read them there (of your own ones also as parameters), or drop them from [space]",
    )


def _merge_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding of each check: the first that is odd."""
    merged: dict[str, Finding] = {}
    for finding in findings:
        if finding.check not in merged or not merged[finding.check].text:
            merged[finding.check] = finding
    return list(merged.values())


def _list_values(space: Space, config: Config) -> str:
    pairs = [(parameter.name, config.get_value(parameter.name)) for parameter in space.parameters]
    return ", ".join(f"{name} = {value}" for name, value in pairs if value is not None)


def _error_reason(exc: Exception) -> str:
    text = one_line(exc)[:300]
    if isinstance(exc, SweepsError):
        return text
    return f"{type(exc).__name__}: {text}{describe_place(exc)}"
