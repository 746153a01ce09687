"""Regression: tables of numbers, and targets in units of the training rows' spread."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes

from sweeps import data
from sweeps.config import DataConfig
from sweeps.data.csv_files import read_number_table
from sweeps.errors import InputError
from sweeps.verdict import Chance

ROWS = np.random.default_rng(0).normal(5, 3, (200, 4))


def csv(path: Path, **values: Any) -> DataConfig:
    return DataConfig(**{"source": "csv", "path": str(path), "task": "regression", "images": 1000, **values})


def test_a_csv_file_is_split_by_the_seed_and_its_target_standardised(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    np.savetxt(path, ROWS, delimiter=",", header="a,b,c,price", comments="")
    arrays = data.load_arrays(csv(path), 64)
    assert arrays.train_images.shape == (136, 3)
    assert arrays.classes == 0
    assert isinstance(arrays.train_images, np.ndarray)
    rows = np.concatenate([arrays.train_images[np.arange(136)], arrays.holdout_images])
    assert np.allclose(np.sort(rows[:, 0]), np.sort(ROWS[:, 0]), rtol=1e-6)
    assert arrays.train_labels.mean() == pytest.approx(0, abs=1e-5)
    assert arrays.train_labels.std() == pytest.approx(1, abs=1e-5)
    by_first = {round(row[0], 4): row[3] for row in ROWS}
    targets = np.array([by_first[round(float(row[0]), 4)] for row in arrays.holdout_images])
    train_targets = np.array([by_first[round(float(row[0]), 4)] for row in arrays.train_images])
    assert np.allclose(arrays.holdout_labels, (targets - train_targets.mean()) / train_targets.std(), atol=1e-5)
    other = data.load_arrays(csv(path, seed=1), 64)
    assert not np.array_equal(other.holdout_images, arrays.holdout_images)
    np.savetxt(path, ROWS, delimiter=",")  # without names
    data.load_arrays.cache_clear()
    assert np.array_equal(data.load_arrays(csv(path), 64).holdout_images, arrays.holdout_images)


def test_chance_of_a_regression_is_the_mean_and_r2_its_gain() -> None:
    rng = np.random.default_rng(1)
    train, kept = rng.normal(2, 3, 500), rng.normal(2, 3, 400)
    chance = Chance.of(train, kept, 0)
    assert chance.loss == pytest.approx(np.mean((kept - train.mean()) ** 2))
    assert np.isnan(chance.top1)
    predicted = kept + rng.normal(0, 1, 400)
    r2 = 1 - ((kept - predicted) ** 2).sum() / ((kept - train.mean()) ** 2).sum()
    assert chance.skill_score(float(np.mean((kept - predicted) ** 2))) == pytest.approx(r2)


def test_the_diabetes_table_is_scikit_learn_s() -> None:
    arrays = data.load_arrays(DataConfig(source="diabetes", task="regression", images=1000), 100)
    rows, _ = load_diabetes(return_X_y=True, scaled=False)
    assert arrays.train_images.shape == (342, 10)
    there = {tuple(row) for row in rows.astype(np.float32).tolist()}
    assert {tuple(row) for row in arrays.holdout_images.tolist()} <= there


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a table"),
        ("a,b\n1,2\n3,x\n", "not a table of numbers"),
        ("1,2\n3\n", "not a table of numbers"),
        ("1\n" * 100, "one column"),
        ("1,2\n" * 30, "30 rows.*at least 64"),
        ("a,b\n1,2\n3,\n", r"line 3, column 2 \(b\): the cell is empty"),
        (",2\n3,4\n", "line 1, column 1: the cell is empty"),
        ("NA,2,5\n3,4,5\n", "line 1, column 1: 'NA'"),
        ("NA,?,5\n3,4,5\n", "line 1, column 1: 'NA'"),
        ("a,b\n\n1,2\nnan,4\n", r"line 4, column 1 \(a\)"),
        ("a,b\n1,2\n3,-inf\n", r"line 3, column 2 \(b\)"),
        ("a,b\n1,2\n1e39,4\n", r"line 3, column 1 \(a\)"),
        ("1,2\n#3,4\n5,6\n", "line 2 is a row of numbers behind a #"),
        ("1,5;2\n2,5;3\n", "write 1.5, not 1,5"),
        ("1,2,3\n4,5,6\n7,8\n", "line 3 has 2 cells, line 1 has 3"),
        ("".join(f"{n},7\n" for n in range(100)), "the target is 7.0 in every row"),
    ],
)
def test_tables_that_cannot_be_learnt_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        data.load_arrays(csv(tmp_path / "bad.csv"), 64)


def written(delimiter: str, cell: str = "{}") -> list[str]:
    """Return the table's rows as lines; each number as `cell` has it."""
    return [delimiter.join(cell.format(repr(float(number))) for number in row) for row in ROWS]


def broken_in_two(prose: str) -> str:
    """Return the table as StatLib has its file of Boston's houses: prose, then each row on two lines."""
    rows = [[repr(float(number)) for number in row] for row in ROWS]
    return prose + "\n".join(f" {'  '.join(row[:3])}\n  {'  '.join(row[3:])}" for row in rows)


FORMS = {
    "plain": "\n".join(written(",")),
    "byte order mark": "\ufeff" + "\n".join(written(",")),
    "Windows": "\r\n".join(["a,b,c,price", *written(",")]) + "\r\n",
    "quotes": "\n".join(['"a","b, in m","c","price"', *written(",", '"{}"')]),
    "semicolons": "\n".join(["a;b;c;price", *written(";")]),
    "tabs": "\n".join(written("\t")),
    "blanks": "\n".join(f"   {line} " for line in written("   ")),
    "NumPy's header": "\n".join(["# a b c price", *written(" ")]),
    "comments": "\n".join(["# of 2024", "a,b,c,price", *written(","), "", "# the end"]),
    "pandas, of an array": "\n".join(["0,1,2,3", *written(",")]),
    "pandas, with its index": "\n".join([",a,b,c,price", *(f"{n},{line}" for n, line in enumerate(written(",")))]),
    "R, with its row names": "\n".join(['"a" "b" "c" "d"', *(f'"{n}" {line}' for n, line in enumerate(written(" ")))]),
    "StatLib": broken_in_two(" Prices of 200 houses.\n Variables in order:\n CRIM   crime rate by town\n\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_is_read_in_each_form_that_programs_write(tmp_path: Path, form: str) -> None:
    (tmp_path / "t.csv").write_text(FORMS[form], newline="")
    assert np.array_equal(read_number_table(tmp_path / "t.csv").numbers, ROWS)


def test_small_whole_numbers_in_the_first_line_are_a_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,1\n1,0\n")
    assert read_number_table(tmp_path / "t.csv").numbers.tolist() == [[0, 1], [1, 0]]


@given(
    table=arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(4, 7)), elements=st.floats(-1e30, 1e30)),
    names=st.booleans(),
    delimiter=st.sampled_from([",", ";", "\t", " "]),
)
def test_no_row_is_lost_or_invented(
    tmp_path_factory: pytest.TempPathFactory, table: NDArray[np.float64], names: bool, delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("table") / "t.csv"
    lines = [delimiter.join(map(repr, row)) for row in table.tolist()]
    if names:
        lines.insert(0, delimiter.join(f"name_{column}" for column in range(table.shape[1])))
    path.write_text("\n".join(lines))
    assert np.array_equal(read_number_table(path).numbers, table)


def test_a_table_may_hold_classes(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "t.csv", np.c_[ROWS, np.arange(200) % 3], delimiter=",")
    arrays = data.load_arrays(csv(tmp_path / "t.csv", task="classification", classes=3), 64)
    assert arrays.train_images.shape == (136, 4)
    assert set(arrays.train_labels.tolist()) == {0, 1, 2}


def test_an_index_that_pandas_wrote_twice_is_no_feature_and_columns_have_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Unnamed: 0,a,b\n0,1.5,2\n1,3.5,4\n")
    table = read_number_table(tmp_path / "t.csv")
    assert table.numbers.tolist() == [[1.5, 2], [3.5, 4]]
    assert table.names == ("a", "b")


def test_names_of_digits_and_underscores_are_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("2020_1,2020_2,2020_3\n5,6,7\n")
    table = read_number_table(tmp_path / "t.csv")
    assert table.numbers.tolist() == [[5, 6, 7]]
    assert table.names == ("2020_1", "2020_2", "2020_3")


@pytest.mark.parametrize(
    ("cell", "mend"),
    [
        ("12_3", "numbers"),
        ("24,000", "write 24000"),
        ("1,5", "1.5, not 1,5"),
        ("0,126", "1.5, not 1,5"),
        ("<0.01", "<0.01"),
        ("True", "1 and 0"),
        ("setosa", "number the classes"),
    ],
)
def test_a_cell_that_is_no_number_gets_the_mend_that_fits(tmp_path: Path, cell: str, mend: str) -> None:
    (tmp_path / "t.csv").write_text(f"a;b;c\n1;2;3\n1;2;{cell}\n4;5;6\n")
    with pytest.raises(InputError, match=mend):
        read_number_table(tmp_path / "t.csv")


@pytest.mark.parametrize("head", ["a,b,c,d,y\n", ""])
@pytest.mark.parametrize("row", ["<0.01,<0.01,<0.01,0.3,1", "error,error,error,0.3,1"])
def test_rows_with_words_at_the_beginning_are_rows_with_mistakes(tmp_path: Path, head: str, row: str) -> None:
    """None is lost without a word; a first line of words may still be the columns' names."""
    (tmp_path / "t.csv").write_text(f"{head}{row}\n{row}\n1,2,3,4,0\n5,6,7,8,1\n")
    with pytest.raises(InputError, match=r"line [12], column 1"):
        read_number_table(tmp_path / "t.csv")


def test_a_line_without_an_end_is_told_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"' + "1," * 200_000)
    with pytest.raises(InputError, match=r"t\.csv.* line break"):
        read_number_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sepal,petal,species\n5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,6.0,virginica\n", ("sepal", "petal")),
        ("5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,6.0,virginica\n", ()),
        (",sepal,petal,species\n0,5.1,1.4,setosa\n1,7.0,4.7,versicolor\n2,6.3,6.0,virginica\n", ("sepal", "petal")),
        ("5.1 1.4 'setosa'\n7.0 4.7 'versicolor'\n6.3 6.0 'virginica'\n", ()),
    ],
)
def test_rows_may_end_in_the_name_of_a_class(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "iris.csv").write_text(text)
    table = read_number_table(tmp_path / "iris.csv", may_end_in_words=True)
    assert table.numbers.tolist() == [[5.1, 1.4], [7.0, 4.7], [6.3, 6.0]]
    assert tuple(word.strip("'") for word in table.words) == ("setosa", "versicolor", "virginica")
    assert table.names == names
    with pytest.raises(InputError, match="setosa"):
        read_number_table(tmp_path / "iris.csv")


@pytest.mark.parametrize("cell", ["3", "", "?", "1,5", "<2"])
def test_a_last_column_with_a_row_that_is_no_word_holds_no_classes(cell: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"a;b;c\n1;2;red\n1;2;{cell}\n4;5;blue\n")
    with pytest.raises(InputError, match=r"line [23], column 3"):
        read_number_table(tmp_path / "t.csv", may_end_in_words=True)


def test_classes_of_a_table_have_names(tmp_path: Path) -> None:
    rows = [f"{index},{index % 3}.5,{('owl', 'ant', 'bee')[index % 3]}" for index in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    config = DataConfig(source="csv", path=str(tmp_path / "t.csv"), classes=3, images=200)
    arrays = data.load_arrays(config, 100)
    assert arrays.class_names == ("ant", "bee", "owl")
    expected = {0.5: "owl", 1.5: "ant", 2.5: "bee"}
    for row, label in zip(arrays.holdout_images, arrays.holdout_labels, strict=True):
        assert arrays.class_names[label] == expected[float(row[1])]
