"""Whatever a run directory holds, the report stands, and says what it left out.

ABLATE_EXAMPLES says how many are tried; `make test-faults` tries 300.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablate.report.analysis.analyse import analyse
from ablate.report.output.csv_files import frames
from ablate.report.output.document import Picture, Table
from ablate.report.output.latex import latex
from ablate.report.output.page import build
from ablate.report.output.render import html, markdown
from ablate.report.output.results_json import results
from ablate.report.study.collect import collect

Make = Callable[..., Path]
EXAMPLES = int(os.environ.get("ABLATE_EXAMPLES", "15"))
BN = {"insert": "after", "at": "c1", "layer": {"_target_": "torch.nn.LazyBatchNorm2d"}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=5), values, max_size=2),
    max_leaves=4,
)


def written(study: Path) -> str:
    """Returns the report's Markdown, having made all of it but the figures' files."""
    analysis = analyse(collect(study))
    tables = frames(analysis)
    document = build(analysis, tables)
    pictures: dict[str, str] = {}
    for block in document.blocks:
        if isinstance(block, Table):
            latex(block)
        elif isinstance(block, Picture):
            pictures[block.name] = "<svg/>"
    html(document, pictures)
    results(analysis, tables)
    return markdown(document)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@given(data=st.data())
@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_place_of_a_record(data: st.DataObject, make_run: Make, study: Path) -> None:
    if not study.exists():
        for seed in range(2):
            make_run("plain", seed)
            make_run("bn", seed, edits={"bn1": BN}, record={"overrides": ["model=bn"]}, folder=f"seed{seed}-bn")
    file = study / "bn" / "seed1-bn" / "run.json"
    before = file.read_text()
    record = json.loads(before)
    path = data.draw(st.sampled_from(list(places(record))))
    node = record
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = data.draw(json_values)
    file.write_text(json.dumps(record))
    try:
        assert "# " in written(study)
    finally:
        file.write_text(before)


@given(content=st.binary(max_size=200), name=st.sampled_from(["run.json", "epochs.csv", "train.log"]))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_any_file(content: bytes, name: str, make_run: Make, study: Path) -> None:
    if not study.exists():
        make_run("plain", 0)
        make_run("plain", 1, folder="seed1-x")
    file = study / "plain" / "seed1-x" / name
    before = file.read_bytes() if file.exists() else b""
    file.write_bytes(content)
    try:
        page = written(study)
        assert "complete run" in page
        assert name == "train.log" or "plain/seed1-x" in page or content == before
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", ["seed", "variant", "clock", "epoch"])
def test_a_result_called_like_a_column_of_ours_is_named_and_left_out(name: str, make_run: Make, study: Path) -> None:
    parts = {"final": 0.5, "maximum": 0.5, "maximum_epoch": 1, "minimum": 0.5, "minimum_epoch": 1}
    results = {"test_accuracy": parts, name: parts}
    make_run("plain", 0)
    make_run("plain", 1, record={"task": "t", "results": results})
    found = collect(study)
    assert list(found.runs["seed"]) == [0]
    assert [f"a result called {name}" in why for why in found.broken.values()] == [True]
