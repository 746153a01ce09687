"""A report as one HTML page, which can be read without a network and without scripts."""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup
from matplotlib import colormaps

from sweeps.analysis.summary import format_objective
from sweeps.outputs import GENERATOR
from sweeps.report import figures
from sweeps.report.answer import describe_stopping, format_interval, format_learned_share, make_best_title, write_answer
from sweeps.report.findings import StudyFindings
from sweeps.report.levels import Count
from sweeps.report.runs import get_length_unit
from sweeps.report.words import format_objective_name, format_percent
from sweeps.surfaces import make_showable
from sweeps.verdict import Rules
from sweeps.version import __version__

MOST_ROWS = 500  # of the table of trials, without the script
MOST_DATA = 10_000  # rows of it with the script, so that the page opens quickly
MOST_NUMBERS = 6  # trials that are named in a cell
SHADES = 10


def render_page(findings: StudyFindings, remarks: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        remarks: paragraphs that follow the tables of confirmations.
    """
    style = _read_file("report.css") + _make_shades()
    script = _read_file("report.js")
    rows = findings.table.rows
    values = {
        "findings": findings,
        "name": findings.space.name,
        "question": findings.space.question,
        "generator": f"{GENERATOR} {__version__}",
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": _hash_text(style),
        "script_hash": _hash_text(script),
        "contents": list(_list_sections(findings)),
        "answer": write_answer(findings),
        "stopping": describe_stopping(findings),
        "objective": format_objective_name(findings.summary.objective),
        "unit": get_length_unit(findings.space),
        "remarks": remarks,
        "figures": _draw_figures(findings),
        "rows": rows[:MOST_ROWS],
        "others": _encode_rows(rows[MOST_ROWS:MOST_DATA]),
        "table_fates": list(dict.fromkeys(row[1] for row in rows)),
        "glossary": list(_list_definitions(findings.space.verdict)),
    }
    values |= _make_captions(findings)
    return _make_environment(findings).get_template("report.html.j2").render(values)


def _make_environment(findings: StudyFindings) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_file),
        autoescape=True,
        finalize=_finalize_value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": format_percent,
        "between": lambda ends: format_interval(findings, ends),
        "value": lambda value: format_objective(findings.summary.objective, value),
        "words": lambda name: name.replace("_", " "),
        "few": _join_numbers,
        "learned_of": lambda rule: format_learned_share(Count(rule.learned, rule.tried)),
    }
    return environment


def _finalize_value(value: object) -> object:
    """Return a value as the template writes it; markup, which we made, is left as it is."""
    if type(value) is str:
        return make_showable(value)
    return value


def _draw_figures(findings: StudyFindings) -> dict[str, object]:
    """Return the SVG element of each kind of figure, or an empty text where there is nothing to draw."""
    drawings: dict[str, object] = {"best": "", "survival": "", "curves": ""}
    if findings.standings:
        drawings["best"] = Markup(figures.draw_best(findings))
    if any(survival.ends[-1] > 0 for survival in findings.survival):
        drawings["survival"] = Markup(figures.draw_survival(findings))
    if findings.curves:
        drawings["curves"] = Markup(figures.draw_curves(findings))
    drawings["deaths"] = [
        Markup(figures.draw_layers(death, f"death{index}")) for index, death in enumerate(findings.deaths)
    ]
    return drawings


def _list_sections(findings: StudyFindings) -> Iterator[tuple[str, str]]:
    """Return the sections that have contents: (id, title)."""
    judged = bool(findings.judged.tried)
    sections = (
        ("answer", "The answer", True),
        ("best", make_best_title(findings), bool(findings.standings)),
        ("decides", "What decides", judged),
        ("maps", "Learned of tried", judged),
        ("fates", "Fates and steps saved", bool(findings.fates)),
        ("curves", "Learning curves", bool(findings.curves)),
        ("deaths", "Why runs did not learn", bool(findings.deaths)),
        ("failures", "Failures", bool(findings.failures)),
        ("trials", "All trials", bool(findings.table.rows)),
        ("ran", "What was run", True),
    )
    return ((section_id, title) for section_id, title, has_contents in sections if has_contents)


def _make_captions(findings: StudyFindings) -> dict[str, str]:
    summary = findings.summary
    count = len(findings.table.rows)
    if summary.running:
        running = f"; {summary.running:,} are running"
    else:
        running = ""
    if findings.configurations > len(findings.standings):
        first = f"The first {len(findings.standings)} of {findings.configurations:,}. "
    else:
        first = ""
    if count > MOST_ROWS:
        more = f" {min(count, MOST_DATA) - MOST_ROWS:,} more are shown by the page's script."
    else:
        more = ""
    if count > MOST_DATA:
        left_out = f" The last {count - MOST_DATA:,} are left out."
    else:
        left_out = ""
    return {
        "standing": f"{summary.done:,} of {summary.trials:,} trials have finished{running}. "
        f"Objective: {format_objective_name(summary.objective)}.",
        "best_title": make_best_title(findings),
        "best_caption": f"{first}Of a single run, or of equal ones, the interval tells what another hold-out set "
        "would, not what another seed would: that may be much more.",
        "maps_note": "Bars are shares that learned, lines across them 95 % intervals (Wilson). A bin has its lower "
        "end and not its upper one. Not counted: runs that failed, and those stopped because others were better.",
        "curves_caption": "Dotted: guessing. A dot is where a run ended. Of runs that learned the best are drawn, of "
        "others some spaced over the study; losses far above guessing are drawn at the upper edge.",
        "trials_note": "The best value first; a stopped run's value is that of its last reading."
        f"{more}{left_out} CSV or Parquet of all: sweeps report STUDY --trials FILE.",
    }


def _list_definitions(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield the terms of a report with their definitions."""
    yield (
        "learned",
        (
            f"top-1 above {rules.learned_factor:g} times chance, or a hold-out loss of at most "
            f"{rules.learned_loss:.0%} of that of guessing"
        ),
    )
    yield "guessing", "answering the class frequencies whatever the input; in regression the mean"
    yield "at chance", "inputs may be told apart, but the answers are no better than guessing"
    yield "collapsed", "every input gives the same output, so that only the class frequencies can be learnt"
    yield "frozen", "the steps are so small that the weights would not have moved in the rest of the budget"
    yield "diverged", "a weight or the loss became NaN or infinite"
    yield "outranked", "stopped because others were better; whether it would have learned is not known"
    yield "control", "a run that the judge may not stop, so that one sees what stopping loses"
    yield "signal", "of a layer: the variance of its outputs over inputs, divided by their mean square"
    yield "spread", "standard deviation over seeds"


def _join_numbers(numbers: Sequence[int]) -> str:
    more = len(numbers) - MOST_NUMBERS
    text = ", ".join(str(number) for number in numbers[:MOST_NUMBERS])
    if more > 0:
        text += f" and {more} more"
    return text


def _encode_rows(rows: Sequence[Sequence[str]]) -> Markup | str:
    """Return rows as JSON for a script element; nothing in it can end that element."""
    if not rows:
        return ""
    printable_rows = [[make_showable(cell) for cell in row] for row in rows]
    text = json.dumps(printable_rows, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _make_shades() -> str:
    """Return the style classes c0 to c10: backgrounds of rising lightness, with a colour of letters that contrasts."""
    lines = []
    for step in range(SHADES + 1):
        red, green, blue, _ = colormaps["cividis"](step / SHADES)
        background = "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue))
        letters = _choose_letter_colour(red, green, blue)
        lines.append(f".c{step} {{ background: {background}; color: {letters}; }}\n")
    return "".join(lines)


def _choose_letter_colour(red: float, green: float, blue: float) -> str:
    """Return black or white, whichever contrasts more with a background (WCAG 2.2, relative luminance).

    Args:
        red: in [0, 1], like `green` and `blue`.
    """
    luminance = 0.2126 * _make_linear(red) + 0.7152 * _make_linear(green) + 0.0722 * _make_linear(blue)
    if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05):
        return "#000"
    return "#fff"


def _make_linear(part: float) -> float:
    """Return a part of an sRGB colour in linear light."""
    if part <= 0.04045:
        return part / 12.92
    return float(((part + 0.055) / 1.055) ** 2.4)


def _hash_text(text: str) -> str:
    """Return the hash of a text as a content security policy writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _read_file(name: str) -> str:
    return (files("sweeps.report") / name).read_text(encoding="utf-8")
