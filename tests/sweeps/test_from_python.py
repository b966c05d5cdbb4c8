"""Sweeps and comparisons without a command line, and the notebooks that show them."""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

import ablate
from ablate.records.record import RunFailed

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cells(notebook: Path) -> list[str]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_from_top_to_bottom(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(ablate.__file__).parents[1]))
    names: dict[str, Any] = {}
    shown = 0
    for cell in cells(notebook):
        *lines, last = ast.parse(cell).body
        is_shown = isinstance(last, ast.Expr)
        exec(compile(ast.Module(lines if is_shown else [*lines, last], []), notebook.name, "exec"), names)
        if isinstance(last, ast.Expr):
            html = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)._repr_html_()
            assert "<table" in html
            shown += 1
    assert shown >= 3


def test_there_are_two_notebooks() -> None:
    assert len(NOTEBOOKS) == 2


def sheet() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    cells = [(method, fold) for method in ("b (x=1)", "a") for fold in range(6)]
    return pd.DataFrame(
        [{"method": m, "fold": f, "f1": 0.5 + 0.1 * (m == "a") + generator.normal(0, 0.01)} for m, f in cells]
    )


def test_numbers_are_those_of_a_t_test_over_the_pairs() -> None:
    frame = sheet()
    (row,) = ablate.compare(frame, "f1", "a", variant="method", seed="fold").to_dict("records")
    first, second = (frame.loc[frame["method"] == name, "f1"].to_numpy() for name in ("b (x=1)", "a"))
    expected = ttest_rel(first, second)
    assert (row["first"], row["second"], row["pairs"]) == ("b (x=1)", "a", 6)
    assert row["mean"] == pytest.approx((first - second).mean()) and row["p"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    (row,) = ablate.compare(frame.drop(columns="fold"), variant="method", seed="none").to_dict("records")
    assert row["second"] == "b (x=1)" and row["mean"] == pytest.approx((second - first).mean())


def test_a_frame_that_cannot_be_compared_is_refused() -> None:
    frame = sheet()
    with pytest.raises(ValueError, match="variant: the frame has no such column; choose from method, fold, f1"):
        ablate.compare(frame)
    with pytest.raises(ValueError, match="baseline c: there is no such variant"):
        ablate.compare(frame, "f1", "c", variant="method", seed="fold")
    with pytest.raises(ValueError, match="f1: its column does not hold numbers alone"):
        ablate.compare(frame.assign(f1="high"), "f1", variant="method", seed="fold")
    with pytest.raises(ValueError, match="row 0 and row 1 are both"):
        ablate.compare(frame.assign(fold=1), "f1", variant="method", seed="fold")


def test_a_function_that_fails_is_resumed() -> None:
    calls = []

    def train(run: Any, gain: float) -> None:
        calls.append(gain)
        if len(calls) == 2:
            raise RuntimeError("no memory")
        run.log(acc=gain)

    variants = {"plain": {"gain": 0.0}, "wide": {"gain": 0.5}}
    with pytest.raises(RuntimeError, match="no memory"):
        ablate.sweep(train, variants=variants, seeds=[1, 2], study="mine")
    runs = ablate.sweep(train, variants=variants, seeds=[1, 2], study="mine").runs
    assert calls == [0.0, 0.5, 0.5, 0.0, 0.5] and len(runs) == 4
    with pytest.raises(ValueError, match="there is nothing to sweep over"):
        ablate.sweep(train)
    with pytest.raises(ValueError, match="lenet: there is no such study"):
        ablate.sweep("lenet")


def test_a_study_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(ablate.__file__).parents[1]))
    with pytest.raises(RunFailed, match="the sweep of demo ended with exit code 2"):
        ablate.sweep("demo", "modle=plain")
    assert "modle" in capsys.readouterr().out
