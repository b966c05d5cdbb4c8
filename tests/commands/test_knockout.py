"""Parts knocked out of trained networks, against networks that are built and evaluated by hand."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from warm import ROOT, Server

from ablate import load_runs
from ablate.__main__ import run_command
from ablate.commands.knockout import read_edit, replace_output
from ablate.config.edits import Edit
from ablate.config.plain import read_config
from ablate.config.schema import Config
from ablate.data.batches import EvaluationBatches, Normalise
from ablate.models.lenet import lenet5
from ablate.records.run_directory import RunDirectory
from ablate.runs.prepare import assemble, load_data, prepare
from ablate.seeding import CPU

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def trained(warm: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    options = ["study=demo", "hydra/launcher=cohort", "data.subset=20", "train.epochs=2", "hardware=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    variants = ["model=plain,dropout,bn_dropout", "seed=0,1"]
    done = warm.run("ablate", "-m", *options, *variants, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "demo"


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "demo"))


def newest(study: Path) -> dict[str, dict[str, float]]:
    content = json.loads(max((study / "knockout").glob("*.json")).read_text())
    return {
        each["run"]: {side: each[side]["test_accuracy"] for side in ("before", "after")} for each in content["runs"]
    }


def by_hand(study: Path, replaced: Callable[[nn.Module, torch.Tensor], None]) -> dict[str, float]:
    """Returns the test accuracy of each plain run's network after something was done to it, given training images."""
    accuracies = {}
    for folder in (study / "plain").iterdir():
        record = RunDirectory(folder).read_record()
        assert record is not None
        cfg = read_config(record.config)
        data = load_data(cfg.data, cfg.seed)
        normalise = Normalise(data, CPU, channels_last=False)
        splits = [EvaluationBatches(split, CPU) for split in (data.train, data.test)]
        train, test = (torch.cat([normalise(pixels) for pixels, _ in split]) for split in splits)
        model = lenet5(len(data.classes), 3)
        model.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])
        with torch.inference_mode():
            replaced(model.eval(), train)
            accuracies[record.run] = (model(test).argmax(1) == data.test.labels).double().mean().item()
    return accuracies


class Constant(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value.expand(len(x), *self.value.shape[1:])


def test_outputs_are_those_of_networks_changed_by_hand(study: Path) -> None:
    def zeroed(model: nn.Module, _: torch.Tensor) -> None:
        model.c5 = Constant(torch.zeros(1, 120, 1, 1))

    def averaged(model: nn.Module, train: torch.Tensor) -> None:
        assert isinstance(model, nn.Sequential)
        model.c3 = Constant(model[: list(dict(model.named_children())).index("c3") + 1](train).mean(0, keepdim=True))

    def bypassed(model: nn.Module, _: torch.Tensor) -> None:
        model.relu6 = nn.Identity()

    for edit, change in {"zero: c5": zeroed, "mean: c3": averaged, "bypass: relu6": bypassed}.items():
        assert run_command(["knockout", str(study), edit]) == 0
        found = newest(study)
        expected = by_hand(study, change)
        assert len(expected) == 2
        assert {run: found[run]["after"] for run in expected} == pytest.approx(expected, abs=1e-6)
        shutil.rmtree(study / "knockout")


class Twice(nn.Module):
    """Runs one layer twice on each batch, with different inputs, and another one never."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.idle, self.pair = nn.Linear(3, 10), nn.Linear(3, 10), nn.Flatten()
        self.pair.register_forward_hook(lambda _layer, _input, output: (output, output))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.pair(x.mean((2, 3)))
        first: torch.Tensor = self.layer(x) + self.layer(2 * x)
        return first


def test_a_layer_that_runs_twice_gives_the_mean_of_both(quick: Callable[..., Config]) -> None:
    cfg = quick("model=plain")
    prepared = prepare(cfg, rewrite=False)
    model = Twice()
    prepared = replace(prepared, trainee=replace(prepared.trainee, model=model))
    training = assemble(cfg, [prepared], [cfg.seed])
    normalise = Normalise(prepared.data, CPU, channels_last=False)
    train = torch.cat([normalise(pixels) for pixels, _ in EvaluationBatches(prepared.data.train, CPU)]).mean((2, 3))
    with torch.inference_mode(), ExitStack() as hooks:
        expected = torch.cat([model.layer(train), model.layer(2 * train)]).mean(0)
        replace_output(hooks, training, prepared, "mean", "layer")
        assert torch.allclose(model(torch.ones(1, 3, 2, 2)), 2 * expected, atol=1e-5)
    for kind, name, message in (("zero", "pair", "gives no tensor"), ("mean", "idle", "never runs this layer")):
        with pytest.raises(ValueError, match=message), ExitStack() as hooks:
            replace_output(hooks, training, prepared, kind, name)


def test_the_report_shows_it_beside_training_without_the_part(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["knockout", str(study), "bypass: bn1"]) == 0
    said = capsys.readouterr().out
    assert "plain is left out: bypass=bn1: the model has no such layer" in said
    found = newest(study)
    assert {run.partition("/")[0] for run in found} == {"bn_dropout"}
    assert run_command(["report", str(study)]) == 0
    text = (study / "report" / "report.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith("| bypass: bn1"))
    change = 100 * sum(each["after"] - each["before"] for each in found.values()) / 2
    by_seed = load_runs(study).runs.pivot(index="seed", columns="variant", values="test_accuracy")
    without = 100 * (by_seed["dropout"] - by_seed["bn_dropout"]).mean()
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[6] == f"{change:+.2f} pp".replace("-", "−")
    assert cells[8:10] == ["dropout", f"{without:+.2f} pp".replace("-", "−")]


def test_a_run_alone_and_what_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted((study / "plain").iterdir())
    assert run_command(["knockout", str(first), "zero: f6"]) == 0
    assert len(newest(study)) == 1
    for arguments, message in (
        ([str(first), "zero: c9"], "zero: c9: the model has no such layer; choose from c1, relu1"),
        ([str(study / "dropout" / "x"), "zero: c3"], "there is no complete run"),
        ([str(study), "bypass: drop3"], "changes nothing that a trained network computes"),
        ([str(study), "freeze: c3"], "freezing changes nothing of a trained network"),
    ):
        assert run_command(["knockout", *arguments]) == 2
        assert message in capsys.readouterr().err
    shutil.copy(first / "checkpoint.pt", second / "checkpoint.pt")  # of another run
    assert run_command(["knockout", str(second), "zero: f6"]) == 2
    assert "its checkpoint gives a test accuracy of" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["c3", "zero: [c3]", "{zero: c3, at: c1}", "}", "{bypass: c1, remove: c3}", "mean: 3"])
def test_what_is_no_edit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"edit|takes the name"):
        read_edit(text)
    assert read_edit("mean: c3") == ("mean", "c3")
    assert read_edit("{set: {p: 0.2}, at: drop3}") == Edit(set={"p": 0.2}, at="drop3")
