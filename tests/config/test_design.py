import itertools
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate import load_runs
from ablate.__main__ import run_command
from ablate.commands.tree import tree
from ablate.config.design import DESIGNS, variant_name, variants_of_design
from ablate.config.identity import run_id
from ablate.config.schema import Config

Compose = Callable[..., Config]
NAMES = st.lists(st.text("abcdefg", min_size=1, max_size=3), min_size=1, max_size=5, unique=True)


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("leave_one_out", ["m", "m-a", "m-b", "m-c"]),
        ("add_one_in", ["none", "a", "b", "c"]),
        ("one_at_a_time", ["a+c", "c", "a+b+c", "a"]),
        ("factorial", ["none", "a", "b", "c", "a+b", "a+c", "b+c", "a+b+c"]),
    ],
)
def test_the_variants_of_three_components(design: str, expected: list[str]) -> None:
    components = {"a": True, "b": False, "c": True}
    assert [
        variant_name("m", list(components), used, design) for used in variants_of_design(design, components)
    ] == expected


@given(st.sampled_from(DESIGNS), NAMES, st.data())
def test_variants_differ_and_but_for_factorials_by_one_component_from_the_first(
    design: str, names: list[str], data: st.DataObject
) -> None:
    states = {name: data.draw(st.booleans()) for name in names}
    found = variants_of_design(design, states)
    assert len(set(found)) == len(found) == (2 ** len(names) if design == "factorial" else 1 + len(names))
    assert len({variant_name("m", names, used, design) for used in found}) == len(found)
    if design != "factorial":
        assert all(len(set(found[0]) ^ set(used)) == 1 for used in found[1:])
    else:
        assert set(found) == {c for size in range(len(names) + 1) for c in itertools.combinations(names, size)}


def test_a_factorial_that_nobody_runs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"9 components would be 512 variants; .*leave_one_out"):
        variants_of_design("factorial", dict.fromkeys("abcdefghi", True))


def test_a_variant_by_design_is_the_run_of_the_same_edits(compose: Compose) -> None:
    designed = compose("model=bn_dropout", "study.variant=[drop3]", "study.design=leave_one_out")
    assert run_id(designed) == run_id(compose("model=dropout"))
    assert (designed.model.name, designed.study.baseline) == ("bn_dropout-bn1", "bn_dropout")
    assert list(designed.model.edits) == ["drop3"]


def test_what_is_no_component_stays(compose: Compose) -> None:
    cfg = compose("model=bn_dropout", "study.components=[bn1]", "study.variant=[]", "study.design=add_one_in")
    assert list(cfg.model.edits) == ["drop3"]
    assert (cfg.model.name, cfg.study.baseline) == ("none", "none")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study.design=leave_one"], "study.design=leave_one: there is no such design; did you mean leave_one_out"),
        (["study.variant=[bn2]"], "study.variant=bn2: there is no such component; did you mean bn1"),
        (["study.components=[bn2]", "study.design=factorial"], "model=bn_dropout has no such edit; did you mean bn1"),
    ],
)  # fmt: skip
def test_names_that_are_none_are_refused(overrides: list[str], message: str, compose: Compose) -> None:
    with pytest.raises(ValueError, match=message):
        compose("model=bn_dropout", *overrides)


def test_the_tree_of_a_variant_by_design() -> None:
    text = tree(["model=bn_dropout", "study.variant=[bn1]", "data=digits"])
    assert (
        text.startswith("bn_dropout-drop3, for images") and "+  bn1" in text and "drop3 " not in text.partition("\n")[2]
    )


QUICK = ["-m", "study=own", "study.name=parts", "data=digits", "data.subset=30", "train.epochs=1", "seed=0,1"]


@pytest.mark.usefixtures("undrawn")
def test_a_design_is_swept_and_leads_its_report(ablate: Callable[..., "CompletedProcess[str]"], tmp_path: Path) -> None:
    ablate(*QUICK, "model=bn_dropout", "study.design=leave_one_out")
    study = tmp_path / "outputs" / "parts"
    runs, _ = load_runs(study)
    assert set(runs["variant"]) == {"bn_dropout", "bn_dropout-drop3", "bn_dropout-bn1"}
    run_command(["report", str(study)])
    text = (study / "report" / "report.md").read_text(encoding="utf-8")
    first = text.index("\n## ")
    assert text[first:].startswith("\n## Effects\n\nThe variants are a design, leave_one_out, of drop3 and bn1.")
    by_hand = runs.pivot(index="seed", columns="variant", values="test_accuracy").mean() * 100
    lost = by_hand["bn_dropout"] - by_hand["bn_dropout-bn1"]
    assert f"{lost:+.2f} pp".replace("-", "−") in text[first : text.index("\n## ", first + 1)]
    again = ablate(*QUICK, "model=bn_dropout", "study.design=leave_one_out")
    assert (again.stdout + again.stderr).count("is complete already") == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study.design=factorial", "study=own", "study.name=x"], "makes variants for a sweep; add -m"),
        (["-m", "study.design=factorial"], "makes its variants of one model; name it with model=…"),
        (["-m", "study=own", "study.name=x", "study.design=factorial"], "there is nothing to make variants of: the model has no edits"),
    ],
)  # fmt: skip
def test_a_design_that_cannot_be_made_is_refused_before_anything(
    arguments: list[str], message: str, ablate: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = ablate(*arguments, "data=digits")
    assert done.returncode == 2 and message in done.stderr
    assert not list(tmp_path.rglob("run.json"))
