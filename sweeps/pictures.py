"""Pictures of one trial: what each layer, and each of its channels, did over the steps."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sweeps.errors import InputError
from sweeps.signals import ChannelVitals, Reading

matplotlib.use("Agg")  # files only: no window is ever opened

COLUMNS = 4
# Colours that the colour-blind tell apart (Okabe and Ito 2008).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def draw_vitals(readings: Sequence[Reading], title: str, path: Path) -> None:
    """One panel per layer: minimum, maximum and spread of every channel over the steps, each as a thin line.

    Where the readings hold no channels, the mean and spread of the whole layer.

    Args:
        path: its ending decides the format: .png, .svg or .pdf.

    Raises:
        InputError: the file cannot be written, or has another ending.
    """
    names = [layer.name for layer in readings[0].layers]
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True).ravel()
    steps = [reading.step for reading in readings]
    for index, (panel, name) in enumerate(zip(panels, names, strict=False)):
        _panel(panel, steps, readings, index)
        panel.set_title(name, fontsize=9)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(names) - COLUMNS) : len(names)]:
        panel.set_xlabel("step")
        panel.tick_params(labelbottom=True)
    handles = [panels[0].plot([], [], color=colour, label=label)[0] for colour, label in _legend(readings)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.suptitle(title, fontsize=10)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: {getattr(exc, 'strerror', None) or exc}; give --to a .png, .svg or .pdf") from exc


def _legend(readings: Sequence[Reading]) -> list[tuple[str, str]]:
    if readings[0].layers[0].channels is None:
        return [(BLUE, "mean of the layer"), (GREEN, "standard deviation")]
    each = "of each channel"
    return [(ORANGE, f"maximum {each}"), (BLUE, f"minimum {each}"), (GREEN, f"standard deviation {each}")]


def _panel(panel: Axes, steps: Sequence[int], readings: Sequence[Reading], index: int) -> None:
    layers = [reading.layers[index] for reading in readings]
    channels = [layer.channels for layer in layers]
    if any(each is None for each in channels):
        panel.plot(steps, [layer.mean for layer in layers], color=BLUE)
        panel.plot(steps, [layer.std for layer in layers], color=GREEN)
        return
    for colour, name in ((ORANGE, "maximum"), (BLUE, "minimum"), (GREEN, "std")):
        lines = _lines(channels, name)
        panel.plot(steps, lines, color=colour, linewidth=0.7, alpha=max(0.15, min(0.8, 8 / lines.shape[1])))
    panel.set_yscale("symlog", linthresh=1.0)  # channels that explode, and those that die, in one picture


def _lines(channels: Sequence[ChannelVitals | None], name: str) -> NDArray[np.float64]:
    """(steps, channels); what is no number is not drawn."""
    values = np.array([getattr(each, name) for each in channels], np.float64)
    return np.where(np.isfinite(values), values, np.nan)
