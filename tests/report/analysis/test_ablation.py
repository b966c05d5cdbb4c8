"""The ablation table: its rows, values and marks, against scipy and cases worked by hand."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from ablate.config.edits import read_edits
from ablate.report.analysis.ablation import AblationTable, by_data
from ablate.report.analysis.analyse import analyse
from ablate.report.analysis.effects import components
from ablate.report.study.collect import collect, collect_others
from ablate.report.study.definition import define
from ablate.report.study.variants import Variant
from ablate.sources import csv_table
from ablate.sources.inference import infer
from ablate.sources.logged_run import Wanted

Make = Callable[..., Path]
EDITS = {"plain": {}, "bn": {"bn1": {}}, "drop": {"drop3": {}}, "both": {"bn1": {}, "drop3": {}}}
FINAL = {"plain": (0.60, 0.62, 0.61), "bn": (0.63, 0.65, 0.63), "drop": (0.50, 0.51, 0.53), "both": (0.62, 0.66, 0.64)}


@pytest.fixture
def tables(make_run: Make, study: Path) -> Callable[..., list[AblationTable]]:
    """Returns the tables of four variants with three seeds each, by what a study says of them."""

    def make(**said: Any) -> list[AblationTable]:
        for variant, finals in FINAL.items():
            for seed, final in enumerate(finals):
                make_run(variant, seed, (0.3, 0.3, final), edits=EDITS[variant], study=said)
        return analyse(collect(study)).tables

    return make


def of(tmp_path: Path, values: dict[str, dict[str, list[float]]], better: str = "higher") -> AblationTable:
    """Returns the table of runs that are given as numbers alone: of each metric, by variant and seed."""
    labels = {label: len(each) for of_metric in values.values() for label, each in of_metric.items()}
    rows = [
        {"variant": label, "seed": seed, **{name: values[name][label][seed] for name in values}}
        for label, seeds in labels.items()
        for seed in range(seeds)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    main, baseline = next(iter(values)), next(iter(labels))
    known = {} if better == "?" else {name: {"better": better} for name in values}
    said = {"name": "s", "metric": main, "baseline": baseline, "metrics": known}
    wanted = Wanted("variant", "seed", {name: name for name in values}, baseline=baseline)
    runs, full, _ = infer(csv_table.read(tmp_path / "runs.csv", wanted), wanted)
    study = collect_others("runs", "csv", runs, full, define("s", {"study": said}, None))
    return analyse(study, list(values)).tables[0]


def test_a_study_has_a_table_with_no_word_said(tables: Callable[..., list[AblationTable]]) -> None:
    (table,) = tables()
    assert [row.name for row in table.rows] == ["plain", "bn", "drop", "both"]
    assert table.components == ["bn1", "drop3"]
    assert [tuple(row.components.values()) for row in table.rows] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    values = {row.name: row.values["test_accuracy", ""] for row in table.rows}
    for name, finals in FINAL.items():
        assert values[name].middle == pytest.approx(np.mean(finals))
        assert values[name].sd == pytest.approx(np.std(finals, ddof=1))
    assert table.against == "plain"
    assert values["plain"].answer is None
    answer = values["bn"].answer
    assert answer is not None
    assert answer.evidence.mean == pytest.approx(np.mean(np.subtract(FINAL["bn"], FINAL["plain"])))
    assert answer.p == pytest.approx(reference.ttest_rel(FINAL["bn"], FINAL["plain"]).pvalue)


def test_the_best_and_what_is_not_told_apart_from_it(tables: Callable[..., list[AblationTable]]) -> None:
    values = {row.name: row.values["test_accuracy", ""] for row in tables()[0].rows}
    assert {name: value.place for name, value in values.items()} == {"both": 1, "bn": 2, "plain": 3, "drop": 4}
    p = {name: reference.ttest_rel(FINAL["both"], FINAL[name]).pvalue for name in ("bn", "plain", "drop")}
    near = {name for name in p if 3 * p[name] >= 0.05}
    assert near == {"bn", "plain"} == {name for name, value in values.items() if value.is_near}


def test_the_marked_hold_the_true_best_in_at_least_19_of_20_studies(tmp_path: Path) -> None:
    """Four variants of one mean: the first is as truly the best as any, whichever comes out on top."""
    rng = np.random.default_rng(1)
    metrics = {f"m{m}": {f"v{v}": list(rng.normal(0, 1, 5)) for v in range(4)} for m in range(40)}
    values = of(tmp_path, metrics).rows[0].values.values()
    held = sum(value.place == 1 or value.is_near for value in values)
    assert len(values) == 40
    assert held >= 36  # 38 are expected at the least; 35 or fewer have a probability of 5 %


def test_less_is_better_where_it_is(tmp_path: Path) -> None:
    losses = {"a": [0.50, 0.52, 0.51], "b": [0.40, 0.41, 0.42], "c": [0.90, 0.91, 0.93]}
    for name, better in {"test_loss": "?", "fid": "lower"}.items():
        table = of(tmp_path, {name: losses}, better)
        assert {row.name: row.values[name, ""].place for row in table.rows} == {"a": 2, "b": 1, "c": 3}


def test_nothing_is_marked_where_nothing_can_be(tmp_path: Path) -> None:
    single = of(tmp_path, {"score": {"a": [0.5], "b": [0.6], "c": [0.7]}})
    assert not any(value.place or value.is_near for value in single.values)
    undeclared = of(tmp_path, {"oddness": {"a": [0.5, 0.6, 0.5], "b": [0.7, 0.8, 0.9]}}, "?")
    assert not any(value.place or value.is_near for value in undeclared.values)


def test_a_variant_that_lost_runs_is_not_marked(make_run: Make, study: Path) -> None:
    for seed in range(4):
        make_run("plain", seed, (0.5, 0.5, 0.50 + seed / 100))
        make_run("bn", seed, (0.5, 0.5, 0.60 + seed / 90), edits={"bn1": {}})
        status = "diverged" if seed == 3 else "complete"
        make_run("drop", seed, (0.5, 0.5, 0.90 + seed / 80), edits={"drop3": {}}, status=status)
    values = {row.name: row.values["test_accuracy", ""] for row in analyse(collect(study)).tables[0].rows}
    assert {name: (value.place, value.lost) for name, value in values.items()} == {
        "plain": (2, 0), "bn": (1, 0), "drop": (0, 1)
    }  # fmt: skip
    assert np.isnan(values["drop"].p)


def test_data_sets_are_columns_with_their_average_and_rank(make_run: Make, study: Path) -> None:
    finals = {"plain": {"digits": 0.9, "svhn": 0.7}, "bn": {"digits": 0.8, "svhn": 0.8}, "only": {"svhn": 0.6}}
    for variant, by_set in finals.items():
        for data, final in by_set.items():
            for seed in range(3):
                size = {"digits": 8, "svhn": 32}[data]  # goes with the data set
                settings = {"name": data, "size": size}
                edits = {"only": {"o": {}}}.get(variant, EDITS.get(variant))
                make_run(variant, seed, (0.3, 0.3, final + seed / 100), edits=edits, data=settings)
    found = collect(study)
    rows, data = by_data(found, "data.name")
    assert (list(rows), data) == (["plain", "bn", "only"], ["digits", "svhn"])
    table = analyse(found).tables[0]
    averages = {row.name: row.averages.get("test_accuracy") for row in table.rows}
    assert averages["plain"] == pytest.approx((0.81, 1.5))  # first of digits, second of svhn, of the two on both
    assert averages["bn"] == pytest.approx((0.81, 1.5))
    assert averages["only"] is None
    assert {key: value.place for key, value in table.rows[0].values.items()} == {
        ("test_accuracy", "digits"): 1, ("test_accuracy", "svhn"): 2
    }  # fmt: skip


def test_a_setting_of_the_data_that_varies_on_one_data_set_is_no_data_set(make_run: Make, study: Path) -> None:
    for padding in (0, 4):
        for name in ("digits", "svhn"):
            make_run(data={"name": name, "padding": padding})
    rows, data = by_data(collect(study), "data.name")
    assert len(rows) == 2
    assert data == ["digits", "svhn"]
    assert all(set(labels) == {"digits", "svhn"} for labels in rows.values())


def test_what_a_study_chooses(tables: Callable[..., list[AblationTable]]) -> None:
    chosen = {
        "rows": {"With": ["b*"], "Without": ["plain"]},
        "columns": ["test_loss", "test_accuracy"],
        "components": ["drop3"],
        "against": "full",
        "beside": ["parameters", "time"],
        "cells": "median",
    }
    table, other = tables(tables={"one": chosen, "two": {"against": "none"}})
    assert [(row.name, row.group) for row in table.rows] == [("bn", "With"), ("both", "With"), ("plain", "Without")]
    assert [kind.name for kind in table.metrics] == ["test_loss", "test_accuracy"]
    assert (table.components, table.against) == (["drop3"], "both")
    assert table.rows[0].values["test_accuracy", ""].middle == 0.63
    assert table.rows[0].beside == {"parameters": 10, "time": pytest.approx(1.0)}
    assert np.isnan(table.rows[1].beside["time"])
    assert (len(other.rows), other.against) == (4, "")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"tables": {"a": {"rows": ["plian"]}}},
            "study.tables.a.rows: there is no 'plian' in this table; did you mean plain?",
        ),
        ({"tables": {"a": {"rows": "plain"}}}, "study.tables.a.rows=plain: must be a list of variants"),
        ({"tables": {"a": {"colums": []}}}, "study.tables.a.colums: there is no such key; did you mean columns?"),
        ({"tables": {"a": {"columns": ["test_acuracy"]}}}, "study.tables.a.columns: there is no metric 'test_acuracy'"),
        ({"tables": {"a": {"components": ["bn2"]}}}, "study.tables.a.components: there is no 'bn2' in this table; did"),
        ({"tables": {"a": {"names": {"bnn": "x"}}}}, "study.tables.a.names: there is no 'bnn' in this table; did you"),
        (
            {"tables": {"a": {"headings": {"bn2": "x"}}}},
            "study.tables.a.headings: there is no 'bn2' in this table",
        ),
        (
            {"tables": {"a": {"against": "ful"}}},
            "study.tables.a.against: there is no 'ful' in this table; did you mean",
        ),
        (
            {"tables": {"a": {"marks": ["bets"]}}},
            "study.tables.a.marks=bets: there is no such choice; did you mean best",
        ),
        ({"tables": {"a": {"cells": "std"}}}, "study.tables.a.cells=std: there is no such choice; did you mean sd?"),
        ({"tables": {"a": {"rows": []}}}, "study.tables.a.rows=[]: must be a list of variants"),
        ({"tables": {"a/b": {}}}, "study.tables.a/b: names files, so use letters"),
        ({"tables": {"a": None}}, "study.tables.a=None: must be a mapping"),
        ({"metrics": {"fid": {"better": "low"}}}, "study.metrics.fid.better=low: there is no such choice"),
    ],
)
def test_what_is_not_there_is_named(said: dict[str, Any], message: str, make_run: Make, study: Path) -> None:
    make_run("plain", 0, study=said)
    make_run("bn", 0, edits={"bn1": {}}, study=said)
    with pytest.raises(ValueError, match=re.escape(message)):
        analyse(collect(study))


def test_a_table_may_name_what_has_no_runs_yet(make_run: Make, study: Path) -> None:
    said = {"tables": {"a": {"rows": ["plain", "bn", "drop"], "names": {"drop": "D"}, "components": ["drop3", "bn1"]}}}
    make_run("plain", 0, study=said)
    make_run("bn", 0, edits={"bn1": {}}, study=said)
    make_run("bn", 1, edits={"bn1": {}}, study=said, status="running")
    (table,) = analyse(collect(study)).tables
    assert ([row.name for row in table.rows], table.components) == (["plain", "bn"], ["bn1"])


def test_a_layer_that_is_removed_is_a_component_that_others_have() -> None:
    edits = ({}, {"no_relu": {"remove": "relu3"}}, {"x": {"freeze": "c1"}, "no_relu": {"remove": "relu3"}})
    variants = [Variant("", "m", {}, {}, parts={**read_edits(each), "flip": "flip = true"}) for each in edits]
    assert components(variants) == [
        {"relu3": True, "x": False}, {"relu3": False, "x": False}, {"relu3": False, "x": True}
    ]  # fmt: skip
    assert components(variants[1:2]) == [{}]
