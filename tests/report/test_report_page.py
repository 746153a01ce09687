"""The page of a report: well-formed, of one piece, escaped, and whole whatever the study lacks."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from math import nan
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from studies import material, mixed, space, trial

from sweeps.report import figures, findings, page, svg
from sweeps.report.material import Material
from sweeps.space import file

VOID = {"meta", "br", "img", "input", "link", "hr"}
EVIL = "<script>alert(1)</script> \"' & ' é 汉字 \u202edesrever\u202c 😀 $x$ ]]> --> {{ 7 * 7 }}"
SPACE = space("budget.trials=24")


class Page(HTMLParser):
    """What a browser would see; complains of tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute of {tag} is there twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def words(self, *within: str) -> str:
        """The text of all elements that are within these."""
        some = [text for path, text in self.texts if set(within) <= set(path) and not {"script", "style"} & set(path)]
        return " ".join(" ".join(some).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute)) is not None]


def written(made_of: Material, remarks: Iterable[str] = ()) -> str:
    return page.render_page(findings.find_results(made_of), list(remarks))


@pytest.fixture(scope="module")
def text() -> str:
    return written(material(SPACE, mixed(SPACE)))


def test_tags_match_ids_are_unique_and_links_lead_somewhere(text: str) -> None:
    parsed = Page(text)
    counts = Counter(parsed.values("id"))
    assert [name for name, count in counts.items() if count > 1] == []
    links = [link for link in parsed.values("href") if link.startswith("#")]
    assert len(links) > 10
    assert {link[1:] for link in links} <= set(counts)
    used = set(re.findall(r"url\(#([^)]*)\)", text))
    assert used
    assert used <= set(counts)


def test_nothing_is_asked_for_from_elsewhere_nor_allowed_to_be(text: str) -> None:
    parsed = Page(text)
    outside = [value for name in ("src", "href", "action", "data", "xlink:href") for value in parsed.values(name)]
    assert [value for value in outside if not value.startswith(("#", "data:image/png;base64,"))] == []
    assert not re.search(r"@import|url\((?!#)", text)
    policy = next(attrs["content"] or "" for tag, attrs in parsed.tags if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_policy_allows_the_style_and_the_script_of_the_page_and_no_style_attribute_is_there(text: str) -> None:
    parsed = Page(text)
    policy = next(attrs["content"] or "" for tag, attrs in parsed.tags if attrs.get("http-equiv"))
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert parsed.values("style") == []
    assert [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")] == []


def test_it_has_a_language_a_title_headings_in_order_and_texts_for_figures(text: str) -> None:
    parsed = Page(text)
    assert dict(parsed.tags)["html"] == {"lang": "en"}
    assert parsed.words("title") == "tiny: report of a sweep"
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(level - before <= 1 for before, level in pairwise(levels))
    drawn = [attrs for tag, attrs in parsed.tags if tag == "svg"]
    assert len(drawn) > 10
    for attrs in drawn:
        assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true"
        assert "width" not in attrs
        assert "height" not in attrs
        assert attrs["viewbox"]
    heads = [attrs for tag, attrs in parsed.tags if tag == "th"]
    assert sum("scope" in attrs for attrs in heads) / len(heads) > 0.95


def test_the_answer_the_maps_and_every_trial_are_there_without_the_script(text: str) -> None:
    parsed = Page(text)
    assert "Of 16 runs 8 learned" in parsed.words("main")
    assert "Learning went most with constraint" in parsed.words("main")
    rows = re.search(r'<table id="trials-table">(.*?)</table>', text, re.DOTALL)
    assert rows is not None
    assert rows[1].count("<tr>") == 1 + 19
    (cell,) = re.findall(r"<th scope=\"row\">selu</th><td[^>]*>(.*?)</td><td class=\"(c\d+)\">(.*?)</td>", text)
    assert cell == ("0&#8239;/&#8239;2", "c10", "4&#8239;/&#8239;4")


def test_what_users_wrote_is_text_and_nothing_else() -> None:
    evil = file.parse_space(
        "[study]\nname = '''" + EVIL + "'''\nquestion = '''" + EVIL + "'''\n"
        "[budget]\ntrials = 2\nsteps = 100\nreport_interval = 20\n"
        "[space]\nactivation = 'relu'\nlearning_rate = [0.1, 0.2]\n"
    )
    trials = [
        trial("failed", evil, reason=EVIL, traceback=EVIL * 3, gpu=EVIL, steps=0),
        trial("collapsed", evil, reason=EVIL),
    ]
    text = written(material(evil, trials), [EVIL])
    parsed = Page(text)
    assert parsed.words("h1") == " ".join(EVIL.split())
    assert parsed.words("title") == " ".join(f"{EVIL}: report of a sweep".split())
    assert " ".join(EVIL.split()) in parsed.words("p")
    assert [tag for tag, attrs in parsed.tags if tag == "script" and not attrs] == ["script"]
    assert "<script>alert" not in text
    assert "49" not in parsed.words("h1")


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[31m", "half \ud800 a sign", "\u2028</script><!--"])
def test_what_no_page_can_hold_is_replaced(text: str) -> None:
    trials = [trial("learned", SPACE, reason=text) for _ in range(2)]
    whole = written(material(SPACE, trials))
    assert whole.encode()
    assert not re.search("[\x00-\x08\x1b]", whole)
    Page(whole)


MADE = {
    "no trial": [],
    "one that failed": [trial("failed", SPACE, top1=None, loss=None, gain=None, steps=0)],
    "one that failed before it had a recipe": [
        trial("failed", SPACE, config=None, top1=None, loss=None, gain=None, steps=0)
    ],
    "three": mixed(SPACE)[6:9],
    "outranked alone": [trial("outranked", SPACE, steps=20)],
    "diverged at once": [trial("diverged", SPACE, steps=0, loss=None, gain=None)],
    "learned alone": [trial("learned", SPACE, seed=n) for n in range(9)],
}


@pytest.mark.parametrize("trials", MADE.values(), ids=MADE)
def test_whatever_a_study_lacks_the_page_is_whole(trials: list[trial]) -> None:  # type: ignore[valid-type]
    text = written(material(SPACE, trials))
    parsed = Page(text)
    assert "The answer" in parsed.words("main")
    contents = [link[1:] for link in parsed.values("href") if link[1:] in parsed.values("id")]
    sections = [attrs["id"] for tag, attrs in parsed.tags if tag == "section"]
    assert set(sections) <= set(contents)


def test_a_study_of_thousands_keeps_its_bounds_and_hands_all_rows_to_the_script() -> None:
    many = [trial("learned", SPACE, {"learning_rate": 0.001 + n / 1e6}, seed=n, reason=EVIL) for n in range(1200)]
    text = written(material(SPACE, many))
    assert len(text) < 1_500_000
    table = re.search(r'<table id="trials-table">(.*?)</table>', text, re.DOTALL)
    assert table is not None
    assert table[1].count("<tr>") == 1 + page.MOST_ROWS
    assert "700 more are shown by the page's script" in Page(text).words("p")
    others = re.search(r'<script type="application/json" id="trials-others">(.*?)</script>', text, re.DOTALL)
    assert others is not None
    rows = json.loads(others[1])
    assert len(rows) == 700
    assert rows[0][-1] == EVIL
    assert len(rows[0]) == len(findings.find_results(material(SPACE, many[:1])).table.columns)


def test_colours_become_lighter_and_letters_stand_out_from_them() -> None:
    found = re.findall(r"\.c(\d+) \{ background: #(\w{6}); color: (#\w+); \}", page._make_shades())
    assert [int(step) for step, _, _ in found] == list(range(11))

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = [luminance(colour) for _, colour, _ in found]
    assert lights == sorted(lights)
    for (_, _, letters), light in zip(found, lights, strict=True):
        other = 1.0 if letters == "#fff" else 0.0
        assert (max(light, other) + 0.05) / (min(light, other) + 0.05) >= 4.5, "as WCAG asks for"


def test_a_figure_is_well_formed_and_keeps_its_texts() -> None:
    def draw() -> Figure:
        figure = Figure()
        panel = figure.subplots()
        panel.plot([0, 1], [1, 2], label="a < b & $c$")
        panel.legend()
        return figure

    drawn = svg.render_svg(draw, "key", 'what "it" shows <here>')
    root = ElementTree.fromstring(drawn)
    assert "a < b & $c$" in "".join(root.itertext())
    assert root.attrib["aria-label"] == 'what "it" shows <here>'
    assert all(each.startswith("key-") for node in root.iter() if (each := node.attrib.get("id")))
    assert drawn == svg.render_svg(draw, "key", 'what "it" shows <here>'), "the same figure is the same text"


def test_odd_names_of_layers_are_drawn_as_they_are() -> None:
    found = findings.find_results(material(SPACE, [trial("collapsed", SPACE)]))
    (death,) = found.deaths
    odd = tuple(
        replace(look, layers=tuple(replace(layer, name="<a>$b^{$ 汉\x01") for layer in look.layers))
        for look in death.readings
    )
    drawn = figures.draw_layers(replace(death, readings=odd), "odd")
    assert "<a>$b^{$ 汉�" in "".join(ElementTree.fromstring(drawn).itertext())


def test_losses_that_are_no_numbers_leave_gaps() -> None:
    found = findings.find_results(material(SPACE, [trial("diverged", SPACE)]))
    (curves,) = found.curves
    (curve,) = curves.drawn
    broken = replace(curve, loss=(2.3, *[nan] * (len(curve.x) - 1)))
    drawn = figures.draw_curves(replace(found, curves=(replace(curves, drawn=(broken,)),)))
    assert "nan" not in drawn.lower()
