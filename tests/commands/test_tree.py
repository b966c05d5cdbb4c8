from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
import torch
from torch import nn

from ablate.commands.tree import difference, outline, show, tree, unnamed
from ablate.config.edits import Edit
from ablate.models.lenet import lenet5
from ablate.models.surgery import edit_model

SAMPLE = torch.zeros(2, 3, 32, 32)


def test_a_row_has_what_one_works_out_by_hand() -> None:
    rows = {row.name: row for row in outline(lenet5(), SAMPLE)}
    assert list(rows) == [name for name, _ in lenet5().named_modules() if name]
    c3 = rows["c3"]
    assert c3.shape == (16, 10, 10)
    assert c3.parameters == 16 * (6 * 25 + 1)
    assert c3.flops == 2 * 16 * 6 * 25 * 10 * 10
    assert rows["relu3"].parameters == rows["relu3"].flops == 0


def test_the_difference_marks_what_is_new_other_and_gone() -> None:
    base = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 1, 1)), nn.Flatten(), nn.Linear(1024, 2))
    before = outline(base, SAMPLE)
    edits = {
        "new": Edit(insert="after", at="1", layer={"_target_": "torch.nn.Dropout"}),
        "other": Edit(replace="0", layer={"_target_": "torch.nn.LazyConv2d", "out_channels": 1, "kernel_size": 1}),
        "kept": Edit(freeze="2"),
    }  # fmt: skip
    edit_model(base, edits)
    lines = difference(before, outline(base, SAMPLE)).splitlines()
    signs = [(line[0].strip(), line[1:].split()[0]) for line in lines[1:]]
    assert signs == [("~", "0"), ("-", "0.0"), ("-", "0.1"), ("", "1"), ("+", "new"), ("~", "2")]
    assert lines[1].split()[:5] == ["~", "0", "1x32x32", "4", "6,144"]
    assert lines[1].endswith("Conv2d(3, 1, kernel_size=(1, 1), stride=(1, 1)) (was Sequential)")
    assert lines[-1].endswith("Linear(in_features=1024, out_features=2, bias=True) frozen")


class Functional(nn.Module):
    def __init__(self, by_value: bool = False) -> None:
        super().__init__()
        self.layer, self.by_value = nn.Linear(2, 2), by_value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.by_value and x.sum() > 0:
            return x
        return torch.nn.functional.relu(self.layer(x)).relu() + x


def test_calls_without_a_name_are_counted_where_they_can_be_traced() -> None:
    assert unnamed(Functional()) == {"relu": 2, "add": 1}
    assert unnamed(Functional(by_value=True)) is None
    assert unnamed(nn.Sequential(nn.ReLU())) == {}


@pytest.mark.parametrize("model", ["resnet18", "resnet34", "mobilenet_v3_small", "efficientnet_b0", "vit"])
def test_torchvisions_families_take_the_datas_classes(model: str) -> None:
    text = show(tree([f"model={model}", "data=digits"]))
    assert text.startswith(f"{model}, for images of 3x32x32 and 10 classes\n  base: ")


def test_the_command_prints_the_tree_and_refuses_with_the_way_out(
    ablate: Callable[..., "CompletedProcess[str]"],
) -> None:
    command = ("tree", "data=digits", "model=dropout")
    done = ablate(*command)
    assert done.returncode == 0, done.stderr
    assert "\n+  drop3 " in done.stdout and "base: 13 layers, 62,006 parameters" in done.stdout
    refused = ablate(*command, "model.edits.drop3.at=relu9")
    assert refused.returncode == 2
    assert (
        refused.stderr
        == "model.edits.drop3.at=relu9: the model has no such layer; did you mean relu6 or relu5 or relu3?\n"
    )
