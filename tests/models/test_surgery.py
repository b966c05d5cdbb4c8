import copy
import pickle

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from ablate.config import Edit
from ablate.models.lenet import lenet5
from ablate.models.surgery import edit_model


class Scale(nn.Module):
    """A layer whose effect can be computed by hand."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Listed(nn.Module):
    """Runs its children from a ModuleList."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Scale(2), Scale(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x) + 1
        return x


def insert(position: str, at: str) -> Edit:
    return Edit(insert=position, at=at, layer={})


def names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name]


def test_lenets_layers_are_named_as_in_the_source() -> None:
    expected = "c1 relu1 s2 c3 relu3 s4 c5 relu5 flatten f6 relu6 f7 sig7"
    model = lenet5()
    assert names(model) == expected.split()
    assert sum(parameter.numel() for parameter in model.parameters()) == 456 + 2416 + 48120 + 10164 + 850
    output = model(torch.randn(2, 3, 32, 32))
    torch.testing.assert_close(output.exp().sum(1), torch.ones(2))


@pytest.mark.parametrize(("position", "place"), [("after", 1), ("before", 0)])
def test_insertion_in_a_sequence_stands_in_order(position: str, place: int) -> None:
    model = lenet5()
    edit_model(model, {"new": insert(position, "c1")}, {"new": nn.Identity()})
    assert names(model)[:2].index("new") == place
    assert list(model.state_dict()) == list(lenet5().state_dict())


def test_insertions_at_one_place_go_next_to_it() -> None:
    model = lenet5()
    edits = {"a": insert("after", "c1"), "b": insert("after", "c1"), "c": insert("before", "b")}
    edit_model(model, edits, {name: nn.Identity() for name in edits})
    assert names(model)[:5] == ["c1", "c", "b", "a", "relu1"]


@pytest.mark.parametrize(
    ("position", "expected"), [("after", (1 * 2 * 5 + 1) * 3 + 1), ("before", (1 * 5 * 2 + 1) * 3 + 1)]
)
def test_insertion_in_a_list_runs_once(position: str, expected: float) -> None:
    model = Listed()
    edit_model(model, {"new": insert(position, "steps.0")}, {"new": Scale(5)})
    assert model(torch.ones(1)).item() == expected
    assert "new" in names(model)


def test_resnet_nested_names() -> None:
    torch.manual_seed(0)
    original = resnet18(num_classes=10).eval()
    model = copy.deepcopy(original)
    edits = {
        "doubled": insert("after", "layer1.0.conv1"),
        "halved": insert("before", "layer1.0.bn1"),
        "gelu": Edit(replace="layer2.1.relu", layer={}),
        "no_pool": Edit(remove="maxpool"),
    }
    edit_model(model, edits, {"doubled": Scale(2), "halved": Scale(0.5), "gelu": nn.GELU()})
    assert {"layer1.0.doubled", "layer1.0.halved"} <= set(names(model))
    assert list(model.state_dict()) == list(original.state_dict())
    assert isinstance(model.get_submodule("layer2.1.relu"), nn.GELU)
    assert isinstance(model.maxpool, nn.Identity)

    image = torch.randn(2, 3, 32, 32)
    undone = copy.deepcopy(original)
    undone.layer2[1].relu = nn.GELU()
    undone.maxpool = nn.Identity()
    torch.testing.assert_close(model(image), undone(image))
    assert not torch.allclose(model(image), original(image))


def test_a_copy_runs_its_own_layer() -> None:
    model = Listed()
    layer = Scale(5)
    edit_model(model, {"new": insert("after", "steps.0")}, {"new": layer})
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        layer.factor = 7
        assert twin(torch.ones(1)).item() == 34
        layer.factor = 5
        twin.new.factor = 1
        assert twin(torch.ones(1)).item() == 10


def test_an_anchor_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"model.edits.x.at=relu9: the model has no such layer; did you mean relu"):
        edit_model(lenet5(), {"x": insert("after", "relu9")}, {"x": nn.ReLU()})
    with pytest.raises(ValueError, match=r"model.edits.x.replace=s3: .*choose from c1, relu1"):
        edit_model(lenet5(), {"x": Edit(replace="s3", layer={})}, {"x": nn.ReLU()})
    with pytest.raises(ValueError, match=r"model.edits.x.remove=layer1.0.conv3: .*layer1.0.conv"):
        edit_model(resnet18(), {"x": Edit(remove="layer1.0.conv3")}, {})


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the model already has c3"):
        edit_model(lenet5(), {"c3": insert("after", "c1")}, {"c3": nn.ReLU()})
    with pytest.raises(ValueError, match=r"the model already has layer1.0.bn1"):
        edit_model(resnet18(), {"bn1": insert("after", "layer1.0.conv1")}, {"bn1": nn.ReLU()})
