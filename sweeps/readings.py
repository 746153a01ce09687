"""What training reports: plain numbers, judged and kept. Nothing here knows TensorFlow or SQL.

A reading has one form as JSON, which stores, checkpoints and studies of Optuna keep. A version that adds a field leaves
`VERSION` as it is, since readers ignore fields that they do not know; one that gives a field another meaning raises it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isnan, nan
from typing import Any, Self

VERSION = 1  # of a reading as JSON; it is not written while it is 1


@dataclass(frozen=True, slots=True)
class ChannelVitals:
    """Minimum, maximum and standard deviation of each channel (or unit) over the probe batch and all positions."""

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class IncomingWeights:
    """Omega, the sum, and tau, the sum of squares, of each unit's incoming weights (Klambauer et al. 2017,
    arXiv:1706.02515).

    Attributes:
        omega_mean, omega_std, tau_mean, tau_std: over the units of the layer.
        in_domain: share of units with omega in [-0.1, 0.1] and tau in [0.95, 1.1], where the paper's Theorem 1 holds.
    """

    omega_mean: float
    omega_std: float
    tau_mean: float
    tau_std: float
    in_domain: float


@dataclass(frozen=True, slots=True)
class LayerVitals:
    """The vital signs of one layer's output on the probe batch (activation included; the last layer's are the logits).

    Attributes:
        name: the layer's name in the model.
        mean, std: over all inputs, positions and units.
        signal: mean over units of the variance over inputs, divided by the mean square: in [0, 1], 0 when every input
            gives the same output. One minus the mean-field correlation between inputs (Poole et al. 2016,
            arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232). A position of a feature map is a unit.
        dead: share of units (channels of a convolution) whose output is the same for every input.
        gradient_norm: Euclidean norm of the last batch's gradient of the layer's kernel.
        update_ratio: norm of the last update of the kernel divided by the norm of the kernel.
        saturated: share of outputs within a hundredth of a flat end of the activation: tanh's -1 and 1, sigmoid's 0 and
            1, selu's -1.758, elu's -1; not a number where the output is no such activation's.
        weights: what comes into each unit; None where it is not known.
        channels: of the channels one by one, where a study asks for it.
    """

    name: str
    mean: float
    std: float
    signal: float
    dead: float
    gradient_norm: float
    update_ratio: float
    saturated: float = nan
    weights: IncomingWeights | None = None
    channels: ChannelVitals | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the inverse of `dataclasses.asdict`; keys that it does not know are ignored."""
        known = _known_fields(cls, values)
        if known.get("weights") is not None:
            known["weights"] = IncomingWeights(**_known_fields(IncomingWeights, known["weights"]))
        if known.get("channels") is not None:
            channels = _known_fields(ChannelVitals, known["channels"])
            known["channels"] = ChannelVitals(**{name: tuple(numbers) for name, numbers in channels.items()})
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a run after `step` optimiser steps.

    Attributes:
        step: optimiser steps done.
        train_loss: mean loss of the batches since the last reading, without regularisation; not a number at step 0.
        loss: on the hold-out set, without regularisation: cross-entropy in nats, or in regression the mean squared
            error of the standardised target.
        hits1, hits5: hold-out images whose class is the first, or among the first five, of the prediction; 0 in
            regression.
        count: hold-out images.
        gradient_norm: global norm of the last batch's gradient, regularisation included; not a number at step 0.
        update_ratio: largest `update_ratio` of the layers.
        finite: whether every trainable weight is a finite number.
        seconds: wall-clock time of this trial so far; the only field that differs when a trial is repeated.
        layers: vital signs from the first layer to the logits.
        f1: macro F1, the mean over the classes in the hold-out set; not a number in regression.
        loss_std: standard deviation of the loss over the hold-out images; not a number where unknown.
        passes: how often training has gone through its images, those that repeat others counted once; not a number
            where unknown.
        batch_loss: `loss` as it would be if batch normalisation took the statistics of the hold-out batch, as in
            training, and not its moving averages; not a number where it was not measured.
        constant_rate: whether all steps so far had the same learning rate, and those to come have it as far as is
            known.
    """

    step: int
    train_loss: float
    loss: float
    hits1: int
    hits5: int
    count: int
    gradient_norm: float
    update_ratio: float
    finite: bool
    seconds: float
    layers: tuple[LayerVitals, ...]
    f1: float = nan
    loss_std: float = nan
    passes: float = nan
    batch_loss: float = nan
    constant_rate: bool = True

    @property
    def top1(self) -> float:
        """Share of hold-out images classified rightly; not a number where none were counted."""
        if self.count:
            return self.hits1 / self.count
        return nan

    @property
    def top5(self) -> float:
        """Share of hold-out images whose class is among the five most probable."""
        if self.count:
            return self.hits5 / self.count
        return nan

    @property
    def signal(self) -> float:
        """Signal of the logits; not a number where no layer was watched."""
        if self.layers:
            return self.layers[-1].signal
        return nan

    @property
    def measured(self) -> bool:
        """Return whether the hold-out set was evaluated: a recorded reading may hold layers alone."""
        return self.count > 0 or not isnan(self.loss)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON encoder; not-a-number stays a float."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the inverse of `to_dict`; keys that it does not know are ignored.

        Raises:
            ValueError: a newer version wrote it, whose fields have another meaning.
        """
        version = values.get("version", VERSION)
        if version != VERSION:
            raise ValueError(f"a reading of version {version}; this version of sweeps reads {VERSION}: update it")
        known = _known_fields(cls, values)
        known["layers"] = tuple(LayerVitals.from_dict(layer) for layer in values["layers"])
        return cls(**known)

    def to_json(self) -> str:
        """Return one line of JSON, with NaN and Infinity as Python's `json` writes them."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the inverse of `to_json`.

        Raises:
            ValueError: it is no JSON, or a newer version wrote it, whose fields have another meaning.
        """
        return cls.from_dict(json.loads(text))


def _known_fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
