"""A report in a real browser: it asks for nothing, complains of nothing, sorts, filters, turns pages and prints."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from studies import material, mixed, space, trial

from sweeps.report import findings, page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SPACE = space("budget.trials=24")
MANY = [
    *mixed(SPACE),
    *(
        trial(
            "learned",
            SPACE,
            {"learning_rate": 0.002 + n / 1e6},
            seed=100 + n,
            top1=0.11 + n / 2000,
            reason=f"number {n}",
        )
        for n in range(600)
    ),
]
Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    paths = {}
    for name, trials in (("few", mixed(SPACE)), ("many", MANY)):
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(page.render_page(findings.find_results(material(SPACE, trials))), encoding="utf-8")
    return paths


@pytest.fixture
def show(chromium: "Browser", files: dict[str, Path]) -> Iterator[Open]:
    """Open one of the pages; in the end nothing was asked for but the page, and nothing was complained of."""
    shown: list[tuple[Page, list[str], str]] = []
    complaints: list[str] = []

    def open_it(name: str, **options: Any) -> "Page":
        it, requests, address = chromium.new_page(**options), list[str](), files[name].resolve().as_uri()
        it.on("request", lambda request: requests.append(request.url))
        it.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        it.on("pageerror", lambda error: complaints.append(str(error)))
        it.goto(address)
        shown.append((it, requests, address))
        return it

    yield open_it
    for it, requests, address in shown:
        it.close()
        assert requests == [address]
    assert complaints == []


def column(of: "Page", name: str) -> list[str]:
    """The cells of a column that are seen."""
    heads = [head.inner_text().split("\n")[0].strip() for head in of.locator("#trials-table thead th").all()]
    found: list[str] = of.locator(
        f"#trials-table tbody tr:not(.later) td:nth-child({heads.index(name) + 1})"
    ).all_inner_texts()
    return found


def sort(of: "Page", name: str) -> None:
    of.locator("#trials-table thead th button").filter(has_text=re.compile(f"^{name}$")).click()


def told(of: "Page") -> str:
    return of.locator("#trials-told").inner_text()


def test_a_column_is_sorted_as_what_it_holds_and_back(show: Open) -> None:
    it = show("few")
    sort(it, "trial")
    assert column(it, "trial") == [str(n) for n in range(19)], "2 comes before 10"
    sort(it, "trial")
    assert column(it, "trial") == [str(n) for n in reversed(range(19))]
    sort(it, "fate")
    assert column(it, "fate") == sorted(column(it, "fate"))
    assert it.locator("th[aria-sort=ascending]").count() == 1
    for _ in range(2):
        sort(it, "loss")
        assert column(it, "loss")[-1] == "", "what is empty comes last, either way"


def test_words_and_conditions_filter(show: Open) -> None:
    it = show("few")
    it.fill("#trials-query", "selu unit_norm")
    assert column(it, "activation") == ["selu"] * 4
    assert told(it) == "1 to 4 of 4 found of 19"
    it.fill("#trials-query", "learning_rate<0.002")
    assert column(it, "trial") == ["15"]
    it.fill("#trials-query", "top-1>=50 constraint=unit_norm")
    assert len(column(it, "trial")) == 8
    it.fill("#trials-query", "")
    it.select_option("#trials-fate", "at chance")
    assert column(it, "trial") == ["8", "9", "10", "11", "12"]
    it.fill("#trials-query", "no such word")
    assert told(it) == "none of 19"
    assert column(it, "trial") == []


def test_conditions_may_have_spaces_and_names_no_punctuation(show: Open) -> None:
    it = show("few")
    it.fill("#trials-query", "top-1>=50 constraint=unit_norm")
    expected = column(it, "trial")
    assert len(expected) == 8
    it.fill("#trials-query", "TOP1 >= 50%  constraint = unit_norm")
    assert column(it, "trial") == expected
    it.fill("#trials-query", "learningrate< 0.002")
    assert column(it, "trial") == ["15"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("top1x>10", "no column top1x; columns: trial, fate, top-1,"),
        ("learning_rate>=abc", "learning_rate>= needs a number, not abc"),
        ("top-1 >", "top-1> needs a number."),
        ("activation<selu", "activation holds words: write activation=word"),
        ("> 5", "no column before >; columns: trial,"),
    ],
)
def test_what_is_no_condition_is_told_and_filters_nothing(show: Open, query: str, said: str) -> None:
    it = show("few")
    it.fill("#trials-query", query)
    assert told(it).startswith(said)
    assert told(it).endswith("1 to 19 of 19")
    assert len(column(it, "trial")) == 19
    it.fill("#trials-query", f"fate=learned {query}" if query[0] != ">" else "fate=learned")
    assert column(it, "trial") == [str(n) for n in range(8)], "the other conditions hold"


def test_of_many_rows_a_page_is_shown_and_all_can_be_reached(show: Open) -> None:
    it = show("many")
    assert told(it) == "1 to 50 of 619"
    assert len(column(it, "trial")) == 50
    sort(it, "trial")
    seen = column(it, "trial")
    while it.locator("#trials-on").is_enabled():
        it.locator("#trials-on").click()
        seen += column(it, "trial")
    assert seen == [str(n) for n in range(619)]
    assert told(it) == "601 to 619 of 619"
    it.fill("#trials-query", "reason=number trial>617")
    assert column(it, "reason") == []
    it.fill("#trials-query", "number trial>617")
    assert column(it, "reason") == ["number 599"]


def test_without_scripts_the_first_rows_are_there_in_full_and_no_dead_controls(show: Open) -> None:
    it = show("many", java_script_enabled=False)
    assert it.locator("#trials-table tbody tr").count() == 500
    assert not it.locator("#trials-controls").is_visible()
    assert it.locator("#answer").inner_text().count("learned") > 0
    assert it.locator("figure svg").count() >= 3


@pytest.mark.parametrize("width", [320, 800, 1600])
def test_nothing_sticks_out_of_the_window(show: Open, width: int) -> None:
    it = show("few", viewport={"width": width, "height": 900})
    assert it.evaluate("document.documentElement.scrollWidth") <= width
    for figure in it.locator("figure").all():  # one that is wider than the window scrolls within
        box = figure.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1
    letters = [text.bounding_box() for text in it.locator("figure svg text").all()]
    assert min(box["height"] for box in letters if box) >= 8, "they can be read"


def test_letters_of_a_figure_do_not_cover_each_other(show: Open) -> None:
    it = show("few")
    covered = it.evaluate(
        """() => [...document.querySelectorAll('figure > svg')].flatMap(svg => {
            const texts = [...svg.querySelectorAll('text')];
            const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
            return boxes.flatMap(([a, one], index) => boxes.slice(index + 1).filter(([b, other]) =>
                one.left < other.right - 1 && other.left < one.right - 1 &&
                one.top < other.bottom - 2 && other.top < one.bottom - 2).map(([b]) => [a, b]));
        })"""
    )
    assert covered == []


def test_it_prints_all_rows_that_stand_without_a_script_on_sheets_that_lie_on_their_side(show: Open) -> None:
    it = show("many")
    it.emulate_media(media="print")
    assert not it.locator("nav").is_visible()
    assert it.locator("#trials-table tbody tr").last.is_visible(), "as many rows as without a script, not one page"
    printed = it.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 8
    assert b"/MediaBox [0 0 842" in printed or b"/MediaBox [0 0 841" in printed, "the table lies on its side"


def test_it_can_be_read_without_colours_and_worked_without_a_mouse(show: Open) -> None:
    it = show("few", forced_colors="active")
    assert it.locator(".map tbody td").first.inner_text() == "0\u202f/\u202f5"
    it.locator("#trials-table thead th button").first.focus()
    it.keyboard.press("Enter")
    assert column(it, "trial")[0] == "0"
