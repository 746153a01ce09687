"""Files of numbers in rows and columns, as spreadsheets, pandas, R and NumPy write them -> one array."""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeps.errors import InputError

DELIMITERS = (";", "\t", ",")  # blanks separate cells where these do not
LARGEST = float(np.finfo(np.float32).max)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
GAPS = {"na", "n/a", "null", "none", "?", "-", "."}  # written where a number is missing
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
TRUTHS = {"true", "false", "yes", "no"}
ROW_NAMES = ("", "Unnamed: 0")
FEW_COLUMNS = 3  # so few whole numbers 0, 1, 2 may well be a row


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the file that is neither empty nor a comment.

    Attributes:
        number: its place in the file, from 1.
        cells: without the blanks around them.
    """

    number: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class NumberTable:
    """What a file of numbers holds.

    Attributes:
        numbers: float64, (rows, columns), finite and within the range of float32.
        names: of the columns; none where the file has none.
        words: of each row the last cell, where it was to be a word; then it is no column of `numbers`.
    """

    numbers: NDArray[np.float64]
    names: tuple[str, ...]
    words: tuple[str, ...] = ()


def read_number_table(path: Path, *, may_end_in_words: bool = False) -> NumberTable:
    """Read a file of numbers, a row per line.

    Cells are separated by commas, semicolons, tabs or blanks, and may be quoted. Lines of names at the beginning, empty
    lines, and comments, which begin with `#`, are no rows. A first column of row names, as pandas and R write it, is
    left out: its name is empty or missing, or `Unnamed: 0` where pandas wrote a file twice. A row may be broken into
    two lines, where all rows are.

    Args:
        may_end_in_words: the last column may hold a word in every row, such as the name of a class.

    Raises:
        InputError: no such file, or one that holds something else; it names the line and the column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not a text in UTF-8 ({exc.reason} at byte {exc.start}); save it as UTF-8") from exc
    except OSError as exc:
        raise InputError(f"{path}: {exc.strerror or exc}; give a file that can be read") from exc
    lines = _split_lines(path, text)
    names, rows = _separate_names(lines)
    rows = _join_broken_rows(rows)
    if not rows:
        raise InputError(f"{path}: not a table of numbers: there is no row; write a row of numbers per line")
    width = len(rows[0].cells)
    for row in rows:
        if len(row.cells) != width:
            raise InputError(
                f"{path}: line {row.number} has {len(row.cells)} cells, line {rows[0].number} has {width}: not a table "
                "of numbers; give all rows the same columns"
            )
    has_row_names = len(names) == width - 1 or (len(names) == width and names[0] in ROW_NAMES)
    first = int(bool(names) and has_row_names)
    named: tuple[str, ...] = ()
    if len(names) >= width - first:
        named = tuple(names[first - width :])
    words: tuple[str, ...] = ()
    if may_end_in_words and width - first > 1 and all(_is_word(row.cells[-1]) for row in rows):
        words = tuple(row.cells[-1] for row in rows)
        rows = [_Line(row.number, row.cells[:-1]) for row in rows]
        names = names[:-1]
        named = named[:-1]
    return NumberTable(np.array([_read_row(path, row, first, names) for row in rows]), named, words)


def _split_lines(path: Path, text: str) -> list[_Line]:
    """Split the text into lines of cells.

    Raises:
        InputError: a line that begins with # is a row of numbers, or one is too long.
    """
    numbered = [(number, line.strip(" \r")) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    delimiter = _find_delimiter([line for _, line in numbered])
    lines = []
    for number, line in numbered:
        if len(line) > csv.field_size_limit():
            raise InputError(f"{path}: line {number} has {len(line):,} characters; end each row with a line break")
        if not line.startswith("#"):
            lines.append(_Line(number, _split_cells(line, delimiter)))
            continue
        cells = _split_cells(line.lstrip("# "), delimiter)
        if len(cells) > 1 and all(map(_is_number, cells)):
            raise InputError(f"{path}: line {number} is a row of numbers behind a #; remove the # or the line")
    return lines


def _find_delimiter(lines: list[str]) -> str:
    """Return what separates cells: the first of DELIMITERS that half of the lines have."""
    for delimiter in DELIMITERS:
        if 2 * sum(delimiter in line for line in lines) >= max(len(lines), 1):
            return delimiter
    return " "


def _split_cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        line = line.replace("\t", " ").strip()
    (cells,) = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    return [cell.strip() for cell in cells]


def _is_number(cell: str) -> bool:
    if "_" in cell:  # which Python takes for a separator of thousands
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_word(cell: str) -> bool:
    """Return whether a cell is neither a number, well written or not, nor a gap."""
    bare = cell.lstrip("<>=~ ")
    is_number = _is_number(bare) or DECIMAL_COMMA.fullmatch(bare) or THOUSANDS.fullmatch(bare)
    return bool(cell) and cell.casefold() not in GAPS and not is_number


def _separate_names(lines: list[_Line]) -> tuple[list[str], list[_Line]]:
    """Separate what comes before the rows; return the last line of it, the names of columns, and the rows."""
    names: list[str] = []
    start = 0
    while start < len(lines) and _holds_names(lines[start].cells):
        if start and any(map(_is_number, lines[start].cells)):
            break  # a row with mistakes in it
        names = lines[start].cells
        start += 1
    if not start and _numbers_columns(lines):
        names = lines[0].cells
        start = 1
    return names, lines[start:]


def _holds_names(cells: list[str]) -> bool:
    """Return whether most cells are names; a few that are no numbers are gaps or mistakes in a row."""
    filled = [cell for cell in cells if cell and cell.casefold() not in GAPS]
    names = [cell for cell in filled if not _is_number(cell.lstrip("<>=~ ")) and not DECIMAL_COMMA.fullmatch(cell)]
    return 2 * len(names) > len(filled)


def _numbers_columns(lines: list[_Line]) -> bool:
    """Return whether the first line is 0, 1, 2 and so on, as pandas names the columns of an array."""
    if len(lines) < 2:
        return False
    cells = lines[0].cells
    if cells[0] == "":
        cells = cells[1:]
    if cells != [str(number) for number in range(len(cells))]:
        return False
    return len(cells) > FEW_COLUMNS or not all(cell.lstrip("+-").isdecimal() for cell in lines[1].cells)


def _join_broken_rows(rows: list[_Line]) -> list[_Line]:
    """Join each two lines where each first is longer than each second, as in StatLib's file of Boston's houses."""
    long = {len(row.cells) for row in rows[0::2]}
    short = {len(row.cells) for row in rows[1::2]}
    if len(rows) % 2 or len(long) != 1 or len(short) != 1 or max(long) <= max(short):
        return rows
    if len(rows) < 4:  # two lines of different length are more likely a mistake
        return rows
    return [_Line(one.number, one.cells + other.cells) for one, other in zip(rows[0::2], rows[1::2], strict=True)]


def _read_row(path: Path, row: _Line, first: int, names: list[str]) -> list[float]:
    """Return the numbers of a row from the column `first` on.

    Raises:
        InputError: a cell is no finite number, or too large for float32.
    """
    numbers = []
    for column, cell in enumerate(row.cells[first:], start=first):
        place = f"{path}: line {row.number}, column {column + 1}"
        if len(names) == len(row.cells) and names[column]:
            place += f" ({names[column]})"
        if not _is_number(cell):
            problem = f"{cell[:40]!r} is no number"
            if not cell:
                problem = "the cell is empty"
            raise InputError(f"{place}: {problem}, so this is not a table of numbers; {_advise(cell)}")
        number = float(cell)
        if not math.isfinite(number) or abs(number) > LARGEST:
            raise InputError(f"{place}: {cell} is not within the range of float32; mend the number or remove the row")
        numbers.append(number)
    return numbers


def _advise(cell: str) -> str:
    """Return what to write in the place of a cell that is no number."""
    if not cell or cell.casefold() in GAPS:
        return "fill it in or remove the row"
    if THOUSANDS.fullmatch(cell):
        return f"write {cell.replace(',', '')} without a separator of thousands, or a decimal point in place of a comma"
    if DECIMAL_COMMA.fullmatch(cell):
        return "write 1.5, not 1,5"
    if cell.casefold() in TRUTHS:
        return "write 1 and 0"
    return (
        "write numbers: number the classes from 0, give other categories a column of 0 and 1 each, or drop the column"
    )
