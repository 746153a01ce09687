"""Pictures of one trial: what each layer, and each of its channels, did over the steps; and how it was lost."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sweeps.errors import InputError, explain_failed_write
from sweeps.files import replacing
from sweeps.outputs import PICTURE_MARK, require_marked
from sweeps.readings import ChannelVitals, Reading
from sweeps.verdict import Chance

matplotlib.use("Agg")  # files only: no window is ever opened

COLUMNS = 4
# Colours that the colour-blind tell apart (Okabe and Ito 2008).
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
LEAST_SIGNAL = 1e-12  # a smaller one is drawn as this: float32 has nothing to tell below
LEAST_R2 = -1.0  # how far a prediction is worse than the mean does not matter, and would flatten the rest
WIDE = 20.0  # times chance's loss, from which on losses are drawn in log scale
DPI = 110
CREATORS = {".png": "Software", ".svg": "Creator", ".pdf": "Creator"}  # the metadata that name who made a picture
# Inches: a page of optuna-dashboard shows a picture of this width at about its own size.
WIDTH = 12.0
CURVES = 2.5
LETTER = 0.065
LINE = 0.18
MOST_LINES = 3  # of a title
LETTERS_OF_A_LINE = 150
LONGEST_NAME = 32  # of a layer; of a longer one the end is shown


def draw_vitals(readings: Sequence[Reading], title: str, path: Path) -> None:
    """Draw one panel per layer: minimum, maximum and spread of every channel over the steps, each as a thin line.

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
        _draw_panel(panel, steps, readings, index)
        panel.set_title(name, fontsize=9)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(names) - COLUMNS) : len(names)]:
        panel.set_xlabel("step")
        panel.tick_params(labelbottom=True)
    handles = [panels[0].plot([], [], color=colour, label=label)[0] for colour, label in _draw_legend(readings)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.suptitle(title, fontsize=10, parse_math=False)
    _save_figure(figure, path)


def draw_autopsy(readings: Sequence[Reading], chance: Chance, title: str, path: Path) -> None:
    """Three panels: losses and top-1 (in regression R^2) against chance, and each layer's signal over the steps.

    Args:
        readings: all readings, at least one, in the order of their steps.
        path: its ending decides the format: .png, .svg or .pdf.

    Raises:
        InputError: the file cannot be written, or has another ending.
    """
    names = [layer.name for layer in max(readings, key=lambda last_reading: len(last_reading.layers)).layers]
    lines = wrap(title, LETTERS_OF_A_LINE, max_lines=MOST_LINES, placeholder=" ...")
    figure = Figure(figsize=(WIDTH, max(3.4, 0.2 * len(names) + 0.9) + LINE * len(lines)))
    # By hand: a layout engine measures every letter of the figure twice, which takes longer than all the rest.
    top = 0.3 + LINE * len(lines)
    bottom = 0.45
    left = 0.5
    gap = 0.45
    names_width = LETTER * min(LONGEST_NAME, max(map(len, names), default=0))
    signals_left = left + 2 * CURVES + gap + 0.2 + names_width
    signals_width = WIDTH - signals_left - 0.95
    losses, scores, signals, scale = (
        _place_panel(figure, start, bottom, width, top)
        for start, width in (
            (left, CURVES),
            (left + CURVES + gap, CURVES),
            (signals_left, signals_width),
            (signals_left + signals_width + 0.1, 0.15),
        )
    )
    _draw_losses(losses, readings, chance)
    _draw_scores(scores, readings, chance)
    draw_signals(signals, scale, readings, names)
    edges = _compute_edges([reading.step for reading in readings])
    for panel in (losses, scores, signals):
        panel.set_xlim(edges[0], edges[-1])
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.set_xlabel("step", fontsize=9)
        panel.title.set_fontsize(9)
        panel.tick_params(labelsize=8)
    figure.text(
        0.5, 1 - 0.06 / figure.get_figheight(), "\n".join(lines), ha="center", va="top", fontsize=9, parse_math=False
    )
    _save_figure(figure, path)


def _place_panel(figure: Figure, left: float, bottom: float, width: float, top: float) -> Axes:
    """Return a panel, all in inches; `top` is what stays free above it."""
    height = figure.get_figheight()
    return figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, (height - bottom - top) / height))


def require_picture_path(path: Path) -> None:
    """Check, before anything is drawn, that a picture can be put at `path`: by its ending, and what is there.

    Raises:
        InputError: it cannot, or the file that is there was not made by sweeps.
    """
    if path.suffix not in CREATORS:
        raise InputError(f"--to {path}: ends in {path.suffix or 'no suffix'}; give --to a .png, .svg or .pdf")
    require_marked(path, PICTURE_MARK, "--to")


def _save_figure(figure: Figure, path: Path) -> None:
    require_picture_path(path)
    figure.set_dpi(DPI)
    creator = {CREATORS[path.suffix]: PICTURE_MARK}
    try:
        with replacing(path) as partial:
            if path.suffix == ".png":  # `savefig` draws all twice
                FigureCanvasAgg(figure).print_png(partial, metadata=creator)  # type: ignore[no-untyped-call]
            else:
                figure.savefig(partial, format=path.suffix[1:], metadata=creator)
    except OSError as exc:
        raise InputError(f"--to {path}: {explain_failed_write(exc)}") from exc


def _draw_losses(panel: Axes, readings: Sequence[Reading], chance: Chance) -> None:
    steps = [reading.step for reading in readings]
    for colour, name, values in (
        (ORANGE, "training", [reading.train_loss for reading in readings]),
        (BLUE, "hold-out", [reading.loss for reading in readings]),
    ):
        panel.plot(steps, _mask_infinite(values), color=colour, label=name, marker=".", markersize=4)
        if np.nanmax(_mask_infinite(values), initial=0) > WIDE * chance.loss:
            panel.set_yscale("log")
    _chance_line(panel, chance.loss)
    if chance.classes:
        panel.set_title("loss, nats")
    else:
        panel.set_title("loss, mean squared error")


def _draw_scores(panel: Axes, readings: Sequence[Reading], chance: Chance) -> None:
    if chance.classes:
        values = _mask_infinite([100 * reading.top1 for reading in readings])
        level = 100 * chance.top1
        panel.set_title("hold-out top-1, %")
        top = None
        if level > 0:
            top = max(5 * level, 1.1 * np.nanmax(values, initial=0))
        panel.set_ylim(0, top)
    else:
        values = np.maximum(_mask_infinite([chance.skill_score(reading.loss) for reading in readings]), LEAST_R2)
        level = 0.0
        panel.set_title(f"hold-out R^2 (drawn as {LEAST_R2:g} where below)")
        panel.set_ylim(1.05 * LEAST_R2, 1)
    panel.plot([reading.step for reading in readings], values, color=BLUE, label="hold-out", marker=".", markersize=4)
    _chance_line(panel, level)


def _chance_line(panel: Axes, level: float) -> None:
    if np.isfinite(level):
        panel.axhline(level, color="black", linestyle="--", linewidth=1, label="chance")
    panel.legend(fontsize=8)


def draw_signals(panel: Axes, scale: Axes, readings: Sequence[Reading], names: Sequence[str]) -> None:
    """Draw a map of the layers' signals over the steps, the first layer on top; each reading is as wide as its
    interval.
    """
    measured = [reading for reading in readings if reading.layers]
    panel.set_title("signal of each layer: 1 inputs differ, 0 all look the same")
    if not measured:
        panel.text(0.5, 0.5, "no layer was watched", ha="center", transform=panel.transAxes)
        scale.set_visible(False)
        return
    signals = [{layer.name: layer.signal for layer in reading.layers} for reading in measured]
    rows = np.array([_mask_infinite([by_name.get(name, np.nan) for by_name in signals]) for name in names])
    lowest = np.log10(max(LEAST_SIGNAL, min(1e-3, float(np.nanmin(rows, initial=1)))))
    shown = np.ma.masked_invalid(np.log10(np.maximum(rows, 10**lowest)))
    edges = _compute_edges([reading.step for reading in measured])
    rows_edges = np.arange(len(names) + 1)  # as an image even in a vector format: it may have thousands of cells
    panel.pcolormesh(edges, rows_edges, shown, cmap=colormaps["cividis"], vmin=lowest, vmax=0, rasterized=True)
    panel.set_facecolor("lightgrey")  # what is no number
    panel.set_yticks(np.arange(len(names)) + 0.5, [_shorten_name(name) for name in names])
    panel.invert_yaxis()
    label = "signal"
    if np.isnan(rows).any():
        label = "signal (grey: not a number)"
    _draw_scale(scale, lowest, label)


def _shorten_name(name: str) -> str:
    """Return the end of a layer's name where the name is too long for the picture."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"…{name[1 - LONGEST_NAME :]}"


def _draw_scale(panel: Axes, lowest: float, label: str) -> None:
    """Draw the scale of colours from 10^lowest to 1, with marks at some powers of ten."""
    shades = np.linspace(lowest, 0, 256)[:, np.newaxis]
    panel.imshow(shades, cmap=colormaps["cividis"], aspect="auto", origin="lower", extent=(0, 1, lowest, 0))
    marks = np.arange(0, lowest, -np.ceil(-lowest / 6))
    labels = [f"1e{mark:.0f}" for mark in marks]
    labels[0] = "1"  # the first mark is at 10^0
    panel.set_yticks(marks, labels)
    panel.set_xticks([])
    panel.yaxis.tick_right()
    panel.yaxis.set_label_position("right")
    panel.set_ylabel(label, fontsize=9)
    panel.tick_params(labelsize=8)


def _compute_edges(steps: Sequence[int]) -> NDArray[np.float64]:
    """Return the edges of cells: half-way between readings; the outer edges are as far out as the inner ones are in."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (np.array(steps[:-1]) + np.array(steps[1:])) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def _mask_infinite(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the values with NaN, which is not drawn, for what is no finite number."""
    array = np.array(values, np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def _draw_legend(readings: Sequence[Reading]) -> list[tuple[str, str]]:
    if readings[0].layers[0].channels is None:
        return [(BLUE, "mean of the layer"), (GREEN, "standard deviation")]
    return [
        (ORANGE, "maximum of each channel"),
        (BLUE, "minimum of each channel"),
        (GREEN, "standard deviation of each channel"),
    ]


def _draw_panel(panel: Axes, steps: Sequence[int], readings: Sequence[Reading], index: int) -> None:
    layers = [reading.layers[index] for reading in readings]
    channels = [layer.channels for layer in layers]
    if any(channel is None for channel in channels):
        panel.plot(steps, [layer.mean for layer in layers], color=BLUE)
        panel.plot(steps, [layer.std for layer in layers], color=GREEN)
        return
    for colour, name in ((ORANGE, "maximum"), (BLUE, "minimum"), (GREEN, "std")):
        lines = _stack_channels(channels, name)
        panel.plot(steps, lines, color=colour, linewidth=0.7, alpha=max(0.15, min(0.8, 8 / lines.shape[1])))
    panel.set_yscale("symlog", linthresh=1.0)  # channels that explode, and those that die, in one picture


def _stack_channels(channels: Sequence[ChannelVitals | None], name: str) -> NDArray[np.float64]:
    """Return one row per reading, (steps, channels), with NaN where there is no number."""
    return _mask_infinite([getattr(channel, name) for channel in channels])
