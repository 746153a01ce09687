"""Texts that others wrote (names, questions, reasons, paths) made safe for the surface on which they are shown.

Consoles, logs and pages do it for all that they show; who writes Markdown, CSV or a command does it for each text.
"""

import re
import shlex

# Control characters of C0 and C1 but for tab and line feed, what turns the direction of writing, separators of lines,
# halves of surrogate pairs, and what is no character: a terminal obeys some of them, and XML takes none.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# What XML does not take; on a page the direction of writing is the browser's matter, and harms nobody.
UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a text that begins with one for a formula


def make_printable(text: str) -> str:
    """Return a text with a replacement for each character that a terminal would obey or cannot show."""
    return UNPRINTABLE.sub(REPLACEMENT, text)


def make_showable(text: str) -> str:
    """Return a text with a replacement for each character that a page, or a drawing in XML, cannot hold."""
    return UNSHOWABLE.sub(REPLACEMENT, text)


def escape_markdown(text: str) -> str:
    """Return a text that Markdown shows as it is, in one line."""
    return MARKDOWN.sub(r"\\\1", " ".join(make_printable(text).split()))


def quote_code(text: str) -> str:
    """Return a text as code within a line of Markdown."""
    shown = " ".join(make_printable(text).split())
    longest = _count_ticks(shown)
    if not longest:
        return f"`{shown}`"
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}"


def fence_code(language: str, content: str) -> str:
    """Return a block of code in Markdown, whatever is in it."""
    shown = make_printable(content)
    fence = "`" * max(3, _count_ticks(shown) + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def _count_ticks(text: str) -> int:
    """Return the length of the longest run of backticks."""
    return max((len(ticks) for ticks in re.findall("`+", text)), default=0)


def escape_formula(text: str) -> str:
    """Return a cell of CSV, or a name of a column, that no spreadsheet runs: an apostrophe comes before a formula."""
    if text.startswith(FORMULA):
        return f"'{text}"
    return text


def quote_word(text: str) -> str:
    """Return a word of a command as bash takes it; what a terminal would obey is written as an escape of its code."""
    if UNPRINTABLE.search(text) or "\n" in text or "\t" in text:
        return "$'" + "".join(map(_escape_character, text)) + "'"
    return shlex.quote(text)


def quote_argument(text: str) -> str:
    """Return a word as bash takes it, as the last argument of a command; one that begins with a dash comes behind
    `--`, where it is no option.
    """
    if text.startswith("-"):
        return f"-- {quote_word(text)}"
    return quote_word(text)


def _escape_character(character: str) -> str:
    """Return a character as bash reads it in a word of the form $'...'."""
    if character in "\\'":
        return f"\\{character}"
    if UNPRINTABLE.match(character) or character in "\n\t":
        return f"\\U{ord(character):08x}"
    return character
