import itertools
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate import load_runs
from ablate.__main__ import run_command
from ablate.commands.tree import show, tree
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
    text = show(tree(["model=bn_dropout", "study.variant=[bn1]", "data=digits"]))
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
    first = text.index("\n## Effects")
    assert text.index("\n## Ablation") < first < text.index("\n## Variants")
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
        (["-m", "study=own", "study.name=x", "study.design=factorial"], "there is nothing to make variants of"),
    ],
)  # fmt: skip
def test_a_design_that_cannot_be_made_is_refused_before_anything(
    arguments: list[str], message: str, ablate: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = ablate(*arguments, "data=digits")
    assert done.returncode == 2 and message in done.stderr
    assert not list(tmp_path.rglob("run.json"))


BUNDLES = ["model=bn_dropout", "study.components={smooth: {on: {optimizer.weight_decay: 0.1}}, "
           "slow: {on: {optimizer.lr: 1e-4}, off: {optimizer.lr: 0.01}}, drop3: edit}"]  # fmt: skip


@pytest.mark.parametrize(
    ("used", "decay", "lr", "edits", "name"),
    [
        ("[smooth,slow,drop3]", 0.1, 1e-4, ["drop3", "bn1"], "bn_dropout"),
        ("[slow]", 0.005, 1e-4, ["bn1"], "bn_dropout-drop3-smooth"),
        ("[smooth,drop3]", 0.1, 0.01, ["drop3", "bn1"], "bn_dropout-slow"),
        ("[]", 0.005, 0.01, ["bn1"], "bn_dropout-drop3-smooth-slow"),
    ],
)
def test_components_are_edits_and_settings(
    used: str, decay: float, lr: float, edits: list[str], name: str, compose: Compose
) -> None:
    cfg = compose(*BUNDLES, f"study.variant={used}", "study.design=leave_one_out")
    assert (cfg.optimizer.weight_decay, cfg.optimizer.lr) == (decay, lr)
    assert (sorted(cfg.model.edits), cfg.model.name) == (sorted(edits), name)
    assert cfg.study.baseline == "bn_dropout"
    # The record says of both sides what they set, so that a report can tell them apart.
    assert cfg.study.components["smooth"] == {
        "on": {"optimizer.weight_decay": 0.1},
        "off": {"optimizer.weight_decay": 0.005},
    }


def test_a_variant_of_settings_is_the_run_of_the_same_settings(compose: Compose) -> None:
    bundled = compose(*BUNDLES, "study.variant=[smooth,slow,drop3]")
    typed = compose("model=bn_dropout", "optimizer.weight_decay=0.1", "optimizer.lr=1e-4")
    assert run_id(bundled) == run_id(typed)
    option = compose("study.variants={adam: {}, sgd: {optimizer: sgd, scheduler: cosine}}", "study.variant=sgd")
    assert run_id(option) == run_id(compose("optimizer=sgd", "scheduler=cosine"))
    assert option.model.name == "sgd" and option.study.baseline == "adam"


def test_what_follows_from_a_setting_follows_a_bundle(compose: Compose) -> None:
    words = ["study.title=${train.epochs} epochs", "study.variants={short: {train.epochs: 3}, long: {train.epochs: 9}}"]
    assert compose(*words, "study.variant=short").study.title == "3 epochs"
    assert compose(*words, "study.variant=long").train.epochs == 9


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study.components={pos: {off: {model.base.use_pos: false}}}", "study.variant=[]"],
         r"components.pos.off.model.base.use_pos: there is no such key; .*\+model.base.use_pos for a new one"),
        (["study.components={lr: {on: {optimizer.lrr: 1}}}", "study.variant=[lr]"], "did you mean lr"),
        (["study.components={lr: {on: {optimizer.lr: 1e-3}}}", "study.variant=[lr]"],
         "study.components.lr.on: changes nothing: optimizer.lr is so already"),
        (["study.components={a: {on: {optimizer.lr: 1}}, b: {off: {optimizer: {lr: 2}}}}", "study.variant=[a]"],
         "a and b both set optimizer.lr; make them one component"),
        (["study.components={drop3: edit, b: {off: {model.edits.drop3.layer.p: 0.1}}}", "study.variant=[b]"],
         "drop3 and b both set model.edits.drop3.layer.p"),
        (["study.components={lr: {on: {}}}", "study.variant=[]"], "a component is `edit`, or"),
        (["study.components={lr: {up: {optimizer.lr: 1}}}", "study.variant=[]"], "a component is `edit`, or"),
        (["study.components={lr: {on: {seed: 1}}}", "study.variant=[lr]"], "lr.on.seed: is no part of a variant"),
        (["study.components={lr: {on: {+seed: 1}}}", "study.variant=[lr]"], r"lr.on.\+seed: is no part of a variant"),
        (["study.components={a: {on: {optimizer.lr: 1}}, b: {on: {+optimizer.lr: 2}}}", "study.variant=[a]"],
         "a and b both set optimizer.lr; make them one component"),
        (["study.components={lr: {on: {optimizer.lr: x}}}", "study.variant=[lr]"], "optimizer.lr=x"),
        (["study.components={2lr: {on: {optimizer.lr: 1}}}", "study.variant=[]"], "a name is of letters"),
        (["study.variants={a: {optimizer.lr: 1}, b: {optimizer.lr: 1}}", "study.variant=a"], "a and b are the same"),
        (["study.variants={a: {optimizer: adan}}", "study.variant=a"], "no such option; did you mean adam"),
        (["study.variants={a: {}, b: {optimizer.lr: 1}}", "study.variant=c"], "=c: there is no such variant"),
        (["study.variants={a: {}}", "study.design=factorial"], "study.variants names the variants already"),
        (["study.components={lr: {on: {optimizer.lr: 1}}}", "study.variant=lr"], r"name the components .*as \[lr\]"),
    ],
)  # fmt: skip
def test_components_and_variants_that_cannot_be_made_are_refused(
    overrides: list[str], message: str, compose: Compose
) -> None:
    with pytest.raises(ValueError, match=message):
        compose("model=dropout", *overrides)


@pytest.mark.usefixtures("undrawn")
def test_a_factorial_of_an_edit_and_settings_is_one_command(
    ablate: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    (tmp_path / "conf" / "study").mkdir(parents=True)
    (tmp_path / "conf" / "study" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults: [override /data: digits, override /model: dropout, override /hydra/launcher: cohort]\n"
        "study:\n"
        "  name: mine\n"
        "  design: factorial\n"
        "  components: {drop3: edit, decay: {on: {optimizer.weight_decay: 0.1}}, flip: {on: {data.flip: true}}}\n"
        "data: {subset: 12}\n"
        "train: {epochs: 1, batch_size: 64}\n"
        "hydra: {sweeper: {params: {seed: '0,1'}}}\n"
    )
    done = ablate("-m", "--config-dir", "conf", "study=mine")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "mine"
    runs, _ = load_runs(study)
    assert sorted(set(runs["variant"])) == sorted(
        ["none", "drop3", "decay", "flip", "drop3+decay", "drop3+flip", "decay+flip", "drop3+decay+flip"]
    )
    assert run_command(["report", str(study)]) == 0
    text = (study / "report" / "report.md").read_text(encoding="utf-8")
    assert "a design, factorial, of decay, flip and drop3" in text
    assert "drop3 × decay × flip" in text and "started from the same weights in all layers (5)" in text
    assert "different weights" not in text and "different orders" not in text
    by_hand = runs.pivot(index="seed", columns="variant", values="test_accuracy").mean() * 100
    main = by_hand.filter(like="decay").mean() - by_hand.drop(by_hand.filter(like="decay").index).mean()
    row = next(line for line in text.splitlines() if line.startswith("| decay ") and "main effect" in line)
    assert f"{main:+.2f} pp".replace("-", "−") in row


@pytest.mark.usefixtures("undrawn")
def test_variants_by_name_are_one_command_and_missing_ones_are_named(
    ablate: Callable[..., "CompletedProcess[str]"], tmp_path: Path
) -> None:
    named = "study.variants={own: {}, sgd: {optimizer: sgd, optimizer.momentum: 0.9}, small: {train.batch_size: 16}}"
    command = [
        "-m",
        "study=own",
        "study.name=named",
        "data=digits",
        "data.subset=20",
        "train.epochs=1",
        named,
    ]
    assert ablate(*command, "seed=0", "study.variant=own,sgd").returncode == 0
    study = tmp_path / "outputs" / "named"
    assert run_command(["report", str(study)]) == 0
    text = (study / "report" / "report.md").read_text(encoding="utf-8")
    assert "| small     | missing" in text and "study.variant=small" in text
    assert ablate(*command, "seed=0").returncode == 0
    assert set(load_runs(study).runs["variant"]) == {"own", "sgd", "small"}
    assert run_command(["report", str(study)]) == 0
    assert "sgd" in (study / "report" / "report.md").read_text(encoding="utf-8")
