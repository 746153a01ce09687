"""Readings written by hand: only what a verdict depends on is named."""

from math import nan

from sweeps.readings import LayerVitals, Reading


def handmade_reading(
    step: int,
    loss: float = 5.9,
    hits1: int = 3,
    signals: tuple[float, ...] = (0.5, 0.5, 0.5),
    train_loss: float | None = None,
    finite: bool = True,
    count: int = 1024,
) -> Reading:
    """A reading of a net of conv_1, conv_2, ... and the logits, with the signal of each."""
    names = [f"conv_{index + 1}" for index in range(len(signals) - 1)] + ["logits"]
    layers = tuple(
        LayerVitals(name, mean=0.0, std=1.0, signal=signal, dead=0.0, gradient_norm=1.0, update_ratio=1e-3)
        for name, signal in zip(names, signals, strict=True)
    )
    if train_loss is None:
        train_loss = loss if step else nan
    return Reading(step, train_loss, loss, hits1, min(count, 5 * hits1), count, 1.0, 1e-3, finite, 1.0, layers)
