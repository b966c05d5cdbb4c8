"""Tables of runs: what is read, and what is refused with its place and the way out."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.sources.csv_table import read
from ablate.sources.logged_run import Wanted

WANTED = Wanted("variant", "seed", {"acc": "acc"})


def write(tmp_path: Path, *rows: str) -> Path:
    file = tmp_path / "runs.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "cell",
    ["1,021.3", "81.2 %", "81.2%", "inf", "-inf", "Infinity", "1e999", "0.8x", "1_000", "0,81", "1 021.3", "0x10", "--",
     "None", "N/A", "null", "true", "0.5 ± 0.1", "1.2.3", "e5", "٣"],
)  # fmt: skip
def test_a_cell_that_is_no_number_is_refused_with_its_place(cell: str, tmp_path: Path) -> None:
    file = write(tmp_path, "variant,seed,acc", "plain,0,0.5", f'plain,1,"{cell}"', "plain,2,0.6")
    with pytest.raises(ValueError, match=r"row 3, column acc: .*not a number; write it as") as refusal:
        read(file, WANTED)
    assert cell in str(refusal.value) and str(file) in str(refusal.value)
    assert len(read(write(tmp_path, "variant,seed,acc,note", f'plain,1,0.5,"{cell}"'), WANTED)) == 1


@pytest.mark.parametrize(
    ("cell", "value"),
    [("0.5", 0.5), (".5", 0.5), ("5.", 5), ("-3", -3), ("+2", 2), ("1e-3", 0.001), (" 7 ", 7), ("1E5", 1e5)],
)
def test_numbers(cell: str, value: float, tmp_path: Path) -> None:
    (run,) = read(write(tmp_path, "variant,seed,acc", f"plain,0,{cell}"), WANTED)
    assert run.history == [{"acc": value}]


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN"])
def test_what_was_not_logged(cell: str, tmp_path: Path) -> None:
    file = write(tmp_path, "variant,seed,acc", f"plain,0,{cell}", "plain,1,0.5")
    assert [run.history for run in read(file, WANTED)] == [[{}], [{"acc": 0.5}]]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("variant,seed,acc,acc", "columns 3 and 4 are both called acc"),
        ("variant,seed,acc, acc ", "columns 3 and 4 are both called acc"),
        ("seed,seed,acc,x", "columns 1 and 2 are both called seed"),
        ("variant,seed,x,x", "columns 3 and 4 are both called x"),
        ("variant,seed,acc", "row 2: has 4 cells, and the first row names 3 columns"),
        ("variant,seed,acc,x,y", "row 2: has 4 cells, and the first row names 5 columns"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read(write(tmp_path, header, "plain,0,0.5,0.6", "plain,1,0.5,0.6"), WANTED)


def test_a_short_row_is_refused_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, "variant,seed,acc", '"plain', 'one",0,0.5', "", "plain,1")
    with pytest.raises(ValueError, match="row 5: has 2 cells"):
        read(file, WANTED)


def test_a_column_without_a_name_is_nobodys_business(tmp_path: Path) -> None:
    (run,) = read(write(tmp_path, ",variant,seed,acc", "0,plain,0,0.5"), WANTED)
    assert run.fields["variant"] == "plain"


def test_an_epoch_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 2, column at: 'first' is not a number"):
        read(write(tmp_path, "variant,seed,at,acc", "a,0,first,0.5"), replace(WANTED, epoch="at"))
    with pytest.raises(ValueError, match="row 2, column at: there is no epoch"):
        read(write(tmp_path, "variant,seed,at,acc", "a,0,,0.5"), replace(WANTED, epoch="at"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("variant;seed;acc;note\nplain;0;0,5;a,b\nplain;1;1.021;x\n", "utf-8"),  # a point beside decimal commas
        ("variant\tseed\tacc\nplain\t0\t1,021\nplain\t1\t1,340\n", "utf-8"),  # thousands, or decimals
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_refused(text: str, encoding: str, tmp_path: Path) -> None:
    (file := tmp_path / "runs.csv").write_text(text, encoding=encoding)
    with pytest.raises(ValueError, match=r"row \d, column acc: '1[.,]021' is not a number"):
        read(file, WANTED)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("variant;seed;acc\nplain;0;0,5\nplain;1;1,021\n", "utf-8-sig"),
        ("variant\tseed\tacc\nplain\t0\t0,5\nplain\t1\t1,021\n", "utf-16"),
        ("variant\tseed\tacc\r\nplain\t0\t0.5\r\nplain\t1\t1.021\r\n", "utf-8"),
        ('"variant";"seed";"acc"\n"plain";"0";"5e-1"\n"plain";"1";"1,021"\n', "utf-8"),
    ],
)
def test_tables_as_spreadsheets_write_them(text: str, encoding: str, tmp_path: Path) -> None:
    (file := tmp_path / "runs.csv").write_bytes(text.encode(encoding))
    assert [run.history for run in read(file, WANTED)] == [[{"acc": 0.5}], [{"acc": 1.021}]]
