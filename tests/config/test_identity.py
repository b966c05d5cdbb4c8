"""Which configurations are one run, and which are one variant."""

import copy
import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from options_of_groups import FILES, NEEDED

from ablate.config.identity import identity, run_id
from ablate.config.plain import plain, read_config
from ablate.config.schema import Config
from ablate.files import Plain
from ablate.report.study.variants import group

Compose = Callable[..., Config]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs_of_format_1"


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "model=dropout",
        "optimizer=adamw",
        "optimizer.lr=0.002",
        "scheduler=cosine",
        "data=digits",
        "data.subset=10",
        "data.validation=10",
        "data.flip=false",
        "train.epochs=3",
        "train.batch_size=64",
        "hardware.precision=bf16",
        "model.base.num_classes=11",
    ],
)
def test_what_changes_a_result_changes_the_identity(override: str, compose: Compose) -> None:
    assert run_id(compose(override)) != run_id(compose())


@pytest.mark.parametrize(
    "override",
    [
        "data.root=somewhere",
        "hardware.threads=1",
        "hardware.device=cpu",
        "hardware.channels_last=false",
        "study.name=other",
        "study.metric=test_loss",
        "model.name=other",
        "optimizer.lr=1e-3",
        "rerun=all",
        "train.max_retries=3",
        "+allow=[mypackage]",
    ],
)
def test_what_changes_no_result_keeps_the_identity(override: str, compose: Compose) -> None:
    assert run_id(compose(override)) == run_id(compose())


def test_the_order_of_edits_is_part_of_the_identity(compose: Compose) -> None:
    edits = {
        "a": "{insert: after, at: c1, layer: {_target_: x.A}}",
        "b": "{insert: after, at: c1, layer: {_target_: x.B}}",
    }
    ids = {run_id(compose(*(f"+model.edits.{name}={edits[name]}" for name in order))) for order in ("ab", "ba")}
    assert len(ids) == 2


@given(value=st.integers(1, 10**6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_equal_numbers_are_one_identity(value: int, compose: Compose) -> None:
    cfg = compose("model=dropout")
    ids = []
    for written in (value, float(value), value + 0.5):
        assert cfg.model.edits["drop3"].layer is not None
        cfg.model.edits["drop3"].layer["p"] = written
        ids.append(run_id(cfg))
    assert ids[0] == ids[1] != ids[2]


def test_the_identity_is_the_same_in_another_process(compose: Compose) -> None:
    code = (
        "from ablate.config.compose import compose; from ablate.config.identity import run_id\n"
        "print(run_id(compose(['model=bn_dropout', 'seed=3'])))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == run_id(compose("model=bn_dropout", "seed=3"))


# What changes no result; of everything else, any change makes another run.
NO_RESULT = {
    "rerun", "allow", "store", "train.max_retries", "model.name", "data.root", "data.stream", "data.workers",
    "hardware.device", "hardware.threads", "hardware.channels_last", "hardware.rewrite",
    "hardware.graph", "hardware.deterministic", "model.weights",  # whose digest counts
}  # fmt: skip


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [f"{prefix}{key}"]


def changed(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    return 1 if value is None else [*value, 0.5]  # type: ignore[misc]


# Every option of every group, with others of the other groups.
MIXED = [
    [f"{group}={names[(place + number) % len(names)]}" for number, (group, names) in enumerate(FILES.items())]
    for place in range(max(map(len, FILES.values())))
]


@pytest.fixture
def drawn(compose: Compose) -> Callable[[st.DataObject], tuple[Plain, Plain, str]]:
    """Draws a configuration of options as plain data, the same with one key changed, and that key."""
    configurations = [
        plain(compose(*options, *(text for option in options for text in NEEDED.get(option, ())))) for options in MIXED
    ]

    def draw(data: st.DataObject) -> tuple[Plain, Plain, str]:
        before = data.draw(st.sampled_from(configurations))
        keys = [key for key in leaves(before) if not key.startswith(("study.", "metrics.", "logger."))]
        key = data.draw(st.sampled_from(keys))
        after = copy.deepcopy(before)
        *parts, last = key.split(".")
        node = functools.reduce(lambda node, part: node[part], parts, after)
        node[last] = changed(node[last])
        return before, after, key

    return draw


Draw = Callable[[st.DataObject], tuple[Plain, Plain, str]]


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_any_change_that_can_alter_a_result_is_another_run(data: st.DataObject, drawn: Draw) -> None:
    before, after, key = drawn(data)
    assert run_id(read_config(before)) == run_id(before)
    assert (run_id(after) == run_id(before)) == (key in NO_RESULT), key


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_runs_of_two_seeds_are_two_variants_exactly_where_another_change_makes_another_run(
    data: st.DataObject, drawn: Draw
) -> None:
    before, after, key = drawn(data)
    if key.startswith("model.edits."):  # a change of any may be no edit
        return
    alike = {*NO_RESULT, "seed"} - {"model.name"}  # which is the variant's name
    variants = group({"one": before, "other": {**after, "seed": 7}}, {"other": [f"{key}=typed"]})
    assert (variants["one"] == variants["other"]) == (key in alike), key


def test_the_identity_of_every_option_stays_what_it_is(compose: Compose) -> None:
    """Runs on disk are found by it."""
    recorded = json.loads((FIXTURES / "identities.json").read_text(encoding="utf-8"))
    assert len(recorded) > 60
    assert {typed: run_id(compose(*re.split(r" (?=\+?[\w.]+=)", typed))) for typed in recorded} == recorded


def test_the_identity_of_recorded_runs_stays_what_it_is() -> None:
    records = [json.loads(file.read_text(encoding="utf-8")) for file in FIXTURES.glob("before/*/*/run.json")]
    assert records
    for record in records:
        assert run_id(read_config(record["config"])) == record["id"]


def test_an_unset_key_and_one_that_is_not_known_yet_are_one_variant(compose: Compose) -> None:
    """A later version may declare a key that earlier runs know nothing of."""
    now = plain(compose("data=mnist"))
    earlier = {**now, "data": {key: value for key, value in now["data"].items() if key != "subset"}}
    assert run_id(earlier) == run_id(now)
    variants = group({"earlier": earlier, "now": now}, {})
    assert variants["earlier"] == variants["now"]


def test_the_identity_stays_what_it_is(compose: Compose) -> None:
    """Runs on disk are found by it, whatever the version of Python."""
    assert run_id(compose()) == "7cdf7215"


def test_the_identity_is_plain_data(compose: Compose) -> None:
    found = identity(compose("model=dropout"))
    assert json.loads(json.dumps(found)) == found
    assert found["model"]["edits"][0][0] == "drop3"
    assert "root" not in found["data"]
