"""Texts of others on each surface: what hypothesis throws at them is shown, and neither obeyed nor run."""

import csv
import io
import re
import subprocess
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.table import Table
from rich.text import Text

from sweeps.cli.consoles import SafeConsole
from sweeps.store import notes
from sweeps.surfaces import escape_formula, escape_markdown, fence_code, make_printable, quote_argument, quote_code

# The characters that do harm, often; and any other.
HOSTILE = st.sampled_from(list("\x1b\x9b\x07\u202e\u2066\u2028[]/`*_|<>#~\\'\"$=+-@{}()!&\r\n\t "))
TEXT = st.text(st.one_of(HOSTILE, st.characters()), max_size=30)
OBEYED = {"Cc", "Cs", "Zl", "Zp"}
BIDIRECTIONAL = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmful(text: str) -> set[str]:
    return {
        character
        for character in text
        if (unicodedata.category(character) in OBEYED or character in BIDIRECTIONAL) and character not in "\n\t"
    }


@given(TEXT)
def test_nothing_printable_is_obeyed_and_the_rest_stays(text: str) -> None:
    shown = make_printable(text)
    assert not harmful(shown)
    assert len(shown) == len(text)
    assert all(new in {old, "\N{REPLACEMENT CHARACTER}"} for new, old in zip(shown, text, strict=True))


@given(TEXT)
def test_a_console_writes_escape_codes_of_its_own_alone(text: str) -> None:
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, width=60)
    table = Table("name", title=Text(text))
    table.add_row(Text(text), style="red")
    console.print(table)
    console.print(text, markup=False)
    console.print(Text(text, "bold"))
    own = re.compile(r"\x1b\[[0-9;]*m")
    assert own.search(stream.getvalue())
    assert not harmful(own.sub("", stream.getvalue()))


@given(TEXT)
def test_markdown_shows_a_text_as_it_is_in_one_line(text: str) -> None:
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    tokens = MarkdownIt().parse(f"x {escaped} y")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    kinds = {child.type for child in tokens[1].children or []}
    assert kinds <= {"text", "text_special"}, kinds
    shown = "".join(child.content for child in tokens[1].children or [])
    assert shown.split() == ["x", *make_printable(text).split(), "y"]


@given(TEXT)
def test_code_in_markdown_is_code_to_its_end(text: str) -> None:
    shown = " ".join(make_printable(text).split())
    if shown:
        (paragraph,) = [token for token in MarkdownIt().parse(f"x {quote_code(text)} y") if token.type == "inline"]
        kinds = [child.type for child in paragraph.children or []]
        assert kinds == ["text", "code_inline", "text"]
        assert (paragraph.children or [])[1].content.strip() == shown
    (block,) = MarkdownIt().parse(fence_code("toml", text))
    assert block.type == "fence"
    assert block.content == make_printable(text) + "\n"


@given(TEXT)
def test_no_cell_of_csv_begins_like_a_formula(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow([escape_formula(text)])
    (cell,) = next(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    assert cell in {text, f"'{text}"}
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXT.map(lambda text: text.replace("\0", "")), min_size=1, max_size=12))
def test_bash_reads_each_argument_as_it_was(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    words = [quote_argument(text).removeprefix("-- ") for text in texts]
    assert not any(harmful(word) for word in words)
    script = "printf '%s\\0' " + " ".join(words)
    ran = subprocess.run(["bash", "-c", script], check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"})
    assert ran.stdout.decode().split("\0")[:-1] == texts


@pytest.mark.parametrize("name", ["-rf", "--help"])
def test_a_name_that_begins_with_a_dash_is_no_option(name: str) -> None:
    assert quote_argument(name) == f"-- {name}"


@given(TEXT)
def test_a_note_that_holds_the_dividing_line_does_not_grow(text: str) -> None:
    ours = f"## {text}\n{notes.END}\n{text}"
    attributes = dict(notes.changed_attributes({}, None, ours))
    sizes = []
    for round_ in range(3):
        attributes |= notes.changed_attributes(attributes, None, f"{ours}\n{round_}")
        sizes.append(len(notes.note_text(attributes, None)))
    assert len(set(sizes)) == 1
