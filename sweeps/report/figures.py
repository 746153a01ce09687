"""The figures of a report: the best configurations, survival, learning curves and the layers of runs that died.

Colours are those of Okabe and Ito; no figure tells things apart by colour alone.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweeps import store
from sweeps.diagnosis.plots import BLUE, GREEN, ORANGE, draw_signals
from sweeps.report import svg
from sweeps.report.best import Standing
from sweeps.report.deaths import Death
from sweeps.report.findings import StudyFindings
from sweeps.report.runs import Curve, Curves, Survival, get_length_unit
from sweeps.report.words import format_objective_name
from sweeps.surfaces import make_showable
from sweeps.verdict import Fate

WIDE = 8.6  # inches: as wide as the page's text, so that letters are as large as its own
SKY = "#56B4E9"
PURPLE = "#CC79A7"
YELLOW = "#E69F00"
GREY = "#666666"
COLOURS: dict[str, str] = {
    Fate.LEARNED: BLUE,
    Fate.ABOVE_CHANCE: "#6699CC",
    Fate.INFERENCE_LAGS: "#882255",
    Fate.MEMORISED: "#999933",
    Fate.HOLDOUT_DIFFERS: "#44AA99",
    Fate.AT_CHANCE: YELLOW,
    Fate.COLLAPSED: ORANGE,
    Fate.FROZEN: SKY,
    Fate.DIVERGED: PURPLE,
    Fate.NOT_FINITE: "#000000",
    Fate.OUTRANKED: GREEN,
    store.FAILED: GREY,
}
LINES: dict[str, str | tuple[float, tuple[float, ...]]] = {
    Fate.LEARNED: "-",
    Fate.ABOVE_CHANCE: (0, (6, 1)),
    Fate.INFERENCE_LAGS: (0, (4, 1, 1, 1)),
    Fate.MEMORISED: (0, (2, 1)),
    Fate.HOLDOUT_DIFFERS: (0, (4, 2, 4, 2, 1, 2)),
    Fate.AT_CHANCE: "--",
    Fate.COLLAPSED: "-.",
    Fate.FROZEN: (0, (1, 1)),
    Fate.DIVERGED: (0, (5, 1, 1, 1, 1, 1)),
    Fate.NOT_FINITE: (0, (1, 3)),
    Fate.OUTRANKED: (0, (8, 3)),
}
ABOVE = 1.3  # upper end of an axis over the highest loss of interest; higher losses are drawn at the edge
COLUMNS = 3
TALLEST = 12.0  # inches: the height of a map of layers


def draw_best(findings: StudyFindings) -> str:
    """Return a figure of the best configurations: a ring for each run, and means with their intervals."""
    standings = findings.standings
    objective = format_objective_name(findings.summary.objective)
    if findings.space.measure.unit == "%":
        scale = 100
        label = f"{objective}, %"
    else:
        scale = 1
        label = objective
    shown = [standing for standing in standings if standing.learned] or standings
    view = _choose_view([value for standing in shown for value in standing.values], findings.space.measure.bounds)

    def draw() -> Figure:
        figure = Figure(figsize=(WIDE, 0.28 * len(standings) + 0.9), layout="constrained")
        panel = figure.subplots()
        panel.set_xlim(*(scale * end for end in view))
        for standing in standings:
            _draw_standing(panel, standing, scale, view)
        panel.set_yticks([standing.rank for standing in standings])
        panel.set_ylim(len(standings) + 0.6, 0.4)
        panel.set_ylabel("rank")
        panel.set_xlabel(label)
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        return figure

    return svg.render_svg(
        draw,
        "best",
        f"{format_objective_name(findings.summary.objective)} of the best configurations with their intervals",
    )


def _choose_view(values: Sequence[float], bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the ends of an axis on which these values can be told apart; values beyond them are cut off."""
    low = min(values)
    high = max(values)
    margin = 0.5 * (high - low) or 0.1 * abs(high) or 0.1
    return max(bounds[0], low - margin), min(bounds[1], high + margin)


def _draw_standing(panel: Axes, standing: Standing, scale: float, view: tuple[float, float]) -> None:
    y = standing.rank
    if standing.interval is not None:
        ends = [scale * end for end in standing.interval]
        panel.plot(ends, [y, y], color=BLUE, linewidth=3, alpha=0.45, solid_capstyle="butt")
    values = [scale * value for value in standing.values]
    panel.plot(values, [y] * len(values), "o", color=BLUE, mfc="white", ms=4)
    if len(values) > 1:
        mean_size = 4.0
    else:
        mean_size = 2.5  # smaller than the ring of the only run, which is at the same place
    panel.plot([scale * standing.mean], [y], "D", color="black", ms=mean_size)
    _draw_arrows(panel, standing, scale, view)


def _draw_arrows(panel: Axes, standing: Standing, scale: float, view: tuple[float, float]) -> None:
    """Draw an arrow at each edge of the view beyond which the interval or the mean of a configuration reaches."""
    low, high = standing.interval or (standing.mean, standing.mean)
    if view[0] <= standing.mean <= view[1]:
        colour = BLUE
    else:
        colour = "black"
    if low < view[0]:
        panel.plot([scale * view[0]], [standing.rank], "<", color=colour, ms=5, clip_on=False)
    if high > view[1]:
        panel.plot([scale * view[1]], [standing.rank], ">", color=colour, ms=5, clip_on=False)


def draw_survival(findings: StudyFindings) -> str:
    """Return a figure of the share of runs that still train, over steps, by fate."""

    def draw() -> Figure:
        figure = Figure(figsize=(WIDE, 3.0), layout="constrained")
        panel = figure.subplots()
        longest = max(survival.ends[-1] for survival in findings.survival)
        for index, survival in enumerate(findings.survival):
            # The first are the widest: lines that lie on each other are all seen.
            _draw_survivors(panel, survival, longest, 1.4 + 0.7 * (len(findings.survival) - 1 - index))
        panel.set_ylim(-2, 105)
        panel.set_xlim(0, longest * 1.01 or 1)
        panel.set_xlabel(get_length_unit(findings.space))
        panel.set_ylabel("still training, %")
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3.4)
        return figure

    return svg.render_svg(draw, "survival", "Share of the runs of each fate that still train, over the length of a run")


def _draw_survivors(panel: Axes, survival: Survival, longest: float, width: float) -> None:
    """Draw the share of the runs of a fate that still train; at `longest` it stays as it was before.

    Runs that trained as long as the longest run did not end early.
    """
    x = [0.0]
    percents = [100.0]
    for end, share in zip(survival.ends, survival.shares, strict=True):
        if end < longest:
            x.append(end)
            percents.append(100 * share)
    x.append(longest)
    percents.append(percents[-1])
    panel.step(
        x,
        percents,
        where="post",
        color=COLOURS.get(survival.fate, GREY),
        linestyle=LINES.get(survival.fate, "-"),
        linewidth=width,
        label=f"{survival.fate} ({survival.runs:,})",
    )


def draw_curves(findings: StudyFindings) -> str:
    """Return a figure of the hold-out loss over the length of a run, by fate, and of the score of runs that learned."""
    shown = findings.curves
    learners = [curves for curves in shown if curves.fate == Fate.LEARNED]
    count = len(shown) + len(learners)

    def draw() -> Figure:
        rows = -(-count // COLUMNS)
        figure = Figure(figsize=(WIDE, 2.3 * rows + 0.2), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        top = _choose_upper_end(shown, findings.chance.loss)
        for panel, curves in zip(panels, shown, strict=False):
            _draw_losses(panel, curves, findings.chance.loss, top)
        for panel in panels[len(shown) : count]:
            _draw_scores(panel, learners[0], findings)
        longest = max((x for curves in shown for curve in curves.drawn for x in curve.x), default=1)
        for index, panel in enumerate(panels):
            panel.set_visible(index < count)
            panel.set_xlim(0, longest or 1)
            panel.set_xlabel(get_length_unit(findings.space))
            if index % COLUMNS and index < len(shown):
                panel.set_ylabel("")
        return figure

    title = "Hold-out loss over the length of a run, by fate; and the score of those that learned"
    return svg.render_svg(draw, "curves", title)


def _choose_upper_end(shown: Sequence[Curves], chance: float) -> float:
    """Return the upper end of the axis of losses.

    It is not far above guessing, where that is known: higher losses are drawn at the edge.
    """
    losses = [loss for curves in shown for curve in curves.drawn for loss in curve.loss if isfinite(loss)]
    if losses:
        usual = float(np.quantile(losses, 0.9))
    else:
        usual = 1.0
    if isfinite(chance):
        highest = max(chance, min(usual, 2 * chance))
    else:
        highest = usual
    return ABOVE * highest


def _draw_losses(panel: Axes, curves: Curves, chance: float, top: float) -> None:
    colour = COLOURS.get(curves.fate, GREY)
    style = LINES.get(curves.fate, "-")
    for curve in curves.drawn:
        losses = [min(loss, top) for loss in curve.loss]
        panel.plot(curve.x, losses, color=colour, linestyle=style, linewidth=0.8, alpha=_choose_opacity(curves))
        _draw_end(panel, curve, losses, colour)
    if isfinite(chance):
        panel.axhline(chance, color="black", linestyle=":", linewidth=1.2)
    lowest = min((loss for curve in curves.drawn for loss in curve.loss if isfinite(loss)), default=0.0)
    panel.set_ylim(min(0.0, lowest), top * 1.02)
    panel.set_ylabel("hold-out loss")
    if len(curves.drawn) < curves.runs:
        counts = f"{len(curves.drawn)} of {curves.runs:,}"
    else:
        counts = f"{curves.runs}"
    panel.set_title(f"{curves.fate} ({counts})")


def _draw_end(panel: Axes, curve: Curve, values: Sequence[float], colour: str) -> None:
    points = [(x, y) for x, y in zip(curve.x, values, strict=True) if isfinite(y)]
    if points:
        x, y = points[-1]
        panel.plot(x, y, ".", color=colour, ms=4, clip_on=False)


def _choose_opacity(curves: Curves) -> float:
    return max(0.35, min(0.9, 8 / len(curves.drawn)))


def _draw_scores(panel: Axes, curves: Curves, findings: StudyFindings) -> None:
    is_classification = findings.chance.classes > 0
    if is_classification:
        chance = findings.chance.top1
        scale = 100
    else:
        chance = 0.0
        scale = 1
    for curve in curves.drawn:
        values = [scale * value for value in curve.score]
        panel.plot(curve.x, values, color=BLUE, linewidth=0.8, alpha=_choose_opacity(curves))
        _draw_end(panel, curve, values, BLUE)
    if isfinite(chance):
        panel.axhline(scale * chance, color="black", linestyle=":", linewidth=1.2)
    if is_classification:
        panel.set_ylim(0, None)
        panel.set_ylabel("hold-out top-1, %")
        panel.set_title("learned: top-1")
    else:
        panel.set_ylim(-0.2, 1)
        panel.set_ylabel("hold-out R^2")
        panel.set_title("learned: R^2")


def draw_layers(death: Death, key: str) -> str:
    """Return a figure of the signal of each layer of a run that died, over its steps."""
    names = [layer.name for layer in max(death.readings, key=lambda reading: len(reading.layers)).layers]

    def draw() -> Figure:
        figure = Figure(figsize=(WIDE, min(TALLEST, 0.17 * len(names) + 1.1)), layout="constrained")
        panel, scale = figure.subplots(1, 2, width_ratios=(50, 1))
        draw_signals(panel, scale, death.readings, [make_showable(name) for name in names])
        panel.set_xlabel("steps")
        return figure

    return svg.render_svg(draw, key, f"Signal of each layer of trial {death.number} over its steps")
