"""What a study is about: found, and refused where it has the wrong form."""

from pathlib import Path
from typing import Any

import pytest

from ablate.config.options import config_dir, options
from ablate.report.study.definition import find

RECORDED = {"name": "mine", "title": "As recorded", "published": {"variants": {"plain": {"test_loss": {"final": 1.5}}}}}


def folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "one.yaml").write_text(text)
    return tmp_path


def test_what_a_run_recorded_serves_where_there_is_no_file() -> None:
    found = find("mine", RECORDED, [config_dir()])
    assert (found.title, found.option, found.baseline) == ("As recorded", None, "plain")
    assert found.published == {"plain": {"test_loss": 1.5}}


def test_the_file_as_it_stands_today_comes_first(tmp_path: Path) -> None:
    groups = folder(tmp_path, "study: {name: mine, title: Today}\nhydra: {sweeper: {params: {seed: '0,1'}}}\n")
    found = find("mine", RECORDED, [groups])
    assert (found.title, found.option, found.sweep) == ("Today", "one", {"seed": "0,1"})
    assert find("other", RECORDED, [groups]).title == "As recorded"


def test_the_first_study_has_its_six_conclusions() -> None:
    found = find("lenet_cifar10", {}, [config_dir()])
    conclusions = {claim["source"].partition(";")[0] for claim in found.claims}
    assert conclusions == {f"conclusion {number}" for number in range(1, 7)}
    assert found.published["bn_dropout"] == {
        "test_accuracy": 0.5338,
        "test_accuracy.maximum": 0.5463,
        "test_accuracy.minimum": 0.3693,
        "test_loss": 1.3977,
        "total_seconds": 12906.694,
    }


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"claims": "plain > bn"}, "claims must be a list"),
        ({"title": 3}, "title=3: must be a text"),
        ({"published": {"variants": {"plain": 3}}}, "published.variants.plain: must be a mapping"),
        ({"published": {"variants": {"plain": {"test_loss": {"final": "x"}}}}}, "test_loss.final=x: must be a number"),
        ({"published": {"epochs": "many"}}, "published.epochs=many: must be a whole number"),
    ],
)
def test_what_has_the_wrong_form_is_refused(study: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find("mine", study, ())


@pytest.mark.parametrize(("text", "message"), [("a: [", "cannot be read as YAML"), ("- 1\n", "is not a mapping")])
def test_a_broken_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"one\.yaml: .*{message}"):
        find("mine", RECORDED, [folder(tmp_path, text)])


def test_options_carry_what_their_defaults_name() -> None:
    models = options("model", [config_dir()])
    assert list(models["bn_dropout"]["edits"]) == ["drop3", "bn1"]
    assert models["dropout_p25"]["edits"]["drop3"]["layer"] == {"_target_": "torch.nn.Dropout2d", "p": 0.25}


def test_options_that_name_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / "model" / f"{name}.yaml").write_text(f"defaults: [{other}]\nname: {name}\n")
    assert options("model", [tmp_path]) == {"a": {"name": "a"}, "b": {"name": "b"}}


def test_what_the_file_does_not_say_is_what_the_runs_were_made_with(tmp_path: Path) -> None:
    recorded = {**RECORDED, "metric": "test_loss", "margin": 0.1, "test": "fixed", "pairing": "unpaired"}
    groups = folder(tmp_path, "study: {name: mine, metric: test_accuracy, test: anytime}\n")
    found = find("mine", recorded, [groups])
    assert (found.metric, found.margin, found.test, found.pairing) == ("test_accuracy", 0.1, "anytime", "unpaired")
    assert found.declared == {"metric": "test_loss", "margin": 0.1, "test": "fixed", "pairing": "unpaired"}
    typed = find("mine", recorded, [groups], typed=["study.metric=test_loss", "seed=0"])
    assert (typed.metric, typed.test) == ("test_loss", "anytime")


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"test": "often"}, "test=often: choose from auto, fixed, anytime"),
        ({"pairing": "pairwise"}, "pairing=pairwise: did you mean paired"),
        ({"margin": -1}, "margin=-1: must be a number above 0"),
        ({"margin": "much"}, "margin=much: must be a number above 0"),
    ],
)
def test_how_a_study_is_judged_is_checked(study: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find("mine", {"name": "mine", **study}, ())
