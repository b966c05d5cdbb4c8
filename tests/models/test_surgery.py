import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from ablate.config.edits import Edit
from ablate.models.lenet import lenet5
from ablate.models.surgery import edit_model, matches


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


def node(layer: type[nn.Module], **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"{layer.__module__}.{layer.__qualname__}", **arguments}


def insert(position: str, at: str, layer: dict[str, Any] | None = None) -> Edit:
    return Edit(insert=position, at=at, layer=layer or node(nn.Identity))


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
    edit_model(model, {"new": insert(position, "c1")})
    assert names(model)[:2].index("new") == place
    assert list(model.state_dict()) == list(lenet5().state_dict())


def test_insertions_at_one_place_go_next_to_it() -> None:
    model = lenet5()
    edits = {"a": insert("after", "c1"), "b": insert("after", "c1"), "c": insert("before", "b")}
    edit_model(model, edits)
    assert names(model)[:5] == ["c1", "c", "b", "a", "relu1"]


@pytest.mark.parametrize(
    ("position", "expected"), [("after", (1 * 2 * 5 + 1) * 3 + 1), ("before", (1 * 5 * 2 + 1) * 3 + 1)]
)
def test_insertion_in_a_list_runs_once(position: str, expected: float) -> None:
    model = Listed()
    edit_model(model, {"new": insert(position, "steps.0", node(Scale, factor=5))})
    assert model(torch.ones(1)).item() == expected
    assert "new" in names(model)


def test_resnet_nested_names() -> None:
    torch.manual_seed(0)
    original = resnet18(num_classes=10).eval()
    model = copy.deepcopy(original)
    edits = {
        "doubled": insert("after", "layer1.0.conv1", node(Scale, factor=2)),
        "halved": insert("before", "layer1.0.bn1", node(Scale, factor=0.5)),
        "gelu": Edit(replace="layer2.1.relu", layer=node(nn.GELU)),
        "no_pool": Edit(remove="maxpool"),
    }
    edit_model(model, edits)
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
    layer: Any = edit_model(model, {"new": insert("after", "steps.0", node(Scale, factor=5))})["new"]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        layer.factor = 7
        assert twin(torch.ones(1)).item() == 34
        layer.factor = 5
        twin.new.factor = 1
        assert twin(torch.ones(1)).item() == 10


def test_an_anchor_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"model.edits.x.at=relu9: the model has no such layer; did you mean relu"):
        edit_model(lenet5(), {"x": insert("after", "relu9")})
    with pytest.raises(ValueError, match=r"model.edits.x.replace=s3: .*choose from c1, relu1"):
        edit_model(lenet5(), {"x": Edit(replace="s3", layer=node(nn.ReLU))})
    with pytest.raises(ValueError, match=r"model.edits.x.remove=layer1.0.conv3: .*layer1.0.conv"):
        edit_model(resnet18(), {"x": Edit(remove="layer1.0.conv3")})


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the model already has c3"):
        edit_model(lenet5(), {"c3": insert("after", "c1")})
    with pytest.raises(ValueError, match=r"the model already has layer1.0.bn1"):
        edit_model(resnet18(), {"bn1": insert("after", "layer1.0.conv1")})


def test_a_pattern_reaches_repeated_parts() -> None:
    model = resnet18(num_classes=10)
    drop = node(nn.Dropout, p=0.1)
    layers = edit_model(model, {"drop": Edit(insert="after", at="layer[12].?.relu", layer=drop)})
    blocks = [f"layer{stage}.{block}" for stage in (1, 2) for block in (0, 1)]
    assert list(layers) == [f"drop/{block}.relu" for block in blocks]
    assert {name for name in names(model) if "drop" in name} == {f"{block}.drop_relu" for block in blocks}
    assert len({id(layer) for layer in layers.values()}) == 4


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("layer1.*.conv1", ["layer1.0.conv1", "layer1.1.conv1"]),
        ("**.downsample", ["layer2.0.downsample", "layer3.0.downsample", "layer4.0.downsample"]),
        ("**.conv1", ["conv1", *(f"layer{stage}.{block}.conv1" for stage in range(1, 5) for block in range(2))]),
        ("layer?", ["layer1", "layer2", "layer3", "layer4"]),
        ("layer1**", ["layer1"]),  # what lies within is its
    ],
)
def test_patterns_of_dotted_names(pattern: str, expected: list[str]) -> None:
    assert matches(resnet18(), "model.edits.x", Edit(freeze=pattern)) == expected


def test_all_of_a_type_are_replaced_with_attributes_of_the_old_layer() -> None:
    model = resnet18(num_classes=10)
    widths = [module.num_features for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    group_norm = node(nn.GroupNorm, num_groups=8, num_channels="@num_features")
    edit_model(model, {"gn": Edit(replace="**", type="torch.nn.BatchNorm2d", layer=group_norm)})
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert [module.num_channels for module in model.modules() if isinstance(module, nn.GroupNorm)] == widths
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_bypassed_layer_passes_its_input_on_and_keeps_its_weights() -> None:
    model = lenet5()
    edit_model(model, {"no_relu": Edit(bypass="relu?"), "no_pool": Edit(bypass="s2")})
    x = torch.randn(2, 6, 28, 28)
    assert torch.equal(model.relu1(x), x) and torch.equal(model.s2(x), x)
    assert isinstance(copy.deepcopy(model).relu1, nn.ReLU)
    assert torch.equal(pickle.loads(pickle.dumps(model)).relu1(x), x)
    model = resnet18()
    edit_model(model, {"block": Edit(bypass="layer1.1")})
    assert torch.equal(model.layer1[1](x), x)
    assert list(model.state_dict()) == list(resnet18().state_dict())


def test_frozen_layers_get_no_gradient() -> None:
    model = lenet5()
    edit_model(model, {"frozen": Edit(freeze="c*")})
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    without = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"c1", "c3", "c5"}


def test_weights_are_drawn_anew_from_the_edits_own_stream() -> None:
    drawn: list[str] = []

    @contextmanager
    def stream(name: str) -> Iterator[None]:
        drawn.append(name)
        torch.manual_seed(1)
        yield

    model = lenet5()
    before = copy.deepcopy(model)
    edit_model(model, {"anew": Edit(reinit="f6")}, stream)
    torch.manual_seed(1)
    assert torch.equal(model.f6.weight, nn.Linear(120, 84).weight)
    assert torch.equal(model.f7.weight, before.f7.weight)
    assert drawn == ["anew"]
    with pytest.raises(ValueError, match=r"model.edits.x.reinit: relu1 \(ReLU\) has no weights"):
        edit_model(model, {"x": Edit(reinit="relu1")})


def test_an_argument_is_changed_and_weights_that_fit_are_kept() -> None:
    model = lenet5()
    before = copy.deepcopy(model)
    edits = {
        "wide": Edit(set={"kernel_size": 3, "padding": 1}, at="c3"),
        "padded": Edit(set={"padding": 2}, at="c1"),
        "leaky": Edit(set={"inplace": True}, type="torch.nn.ReLU"),
    }
    edit_model(model, edits)
    assert repr(model.c3) == repr(nn.Conv2d(6, 16, 3, padding=1))
    assert torch.equal(model.c3.bias, before.c3.bias)  # of the same shape
    assert repr(model.c1) == repr(nn.Conv2d(3, 6, 5, padding=2))
    assert torch.equal(model.c1.weight, before.c1.weight)
    assert all(module.inplace for module in model.modules() if isinstance(module, nn.ReLU))
    no_bias = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    edit_model(no_bias, {"x": Edit(set={"stride": 2}, at="0")})
    assert repr(no_bias[0]) == repr(nn.Conv2d(1, 1, 1, stride=2, bias=False))


def test_what_a_pattern_or_an_argument_misses_is_said() -> None:
    with pytest.raises(ValueError, match=r"model.edits.x.freeze=d\*: no layer's name fits; choose from c1"):
        edit_model(lenet5(), {"x": Edit(freeze="d*")})
    with pytest.raises(ValueError, match=r"model.edits.x.type=torch.nn.GELU: no layer is one; there are Conv2d, .*"):
        edit_model(lenet5(), {"x": Edit(remove="**", type="torch.nn.GELU")})
    with pytest.raises(ValueError, match=r"model.edits.x.type=torch.relu: is not a class"):
        edit_model(lenet5(), {"x": Edit(remove="**", type="torch.relu")})
    with pytest.raises(ValueError, match=r"model.edits.x.set.q: .*no such argument; choose from p, inplace"):
        model = nn.Sequential(nn.Dropout(0.5))
        edit_model(model, {"x": Edit(set={"q": 0.2}, at="0")})
    with pytest.raises(ValueError, match=r"layer.num_channels=@nums: BatchNorm2d has no nums; .*num_features"):
        gn = node(nn.GroupNorm, num_groups=1, num_channels="@nums")
        edit_model(resnet18(), {"x": Edit(replace="bn1", layer=gn)})
    with pytest.raises(ValueError, match=r"0 \(Forgetful\) does not keep its argument secret; use replace"):
        edit_model(nn.Sequential(Forgetful(1)), {"x": Edit(set={"other": 2}, at="0")})


class Forgetful(nn.Module):
    def __init__(self, secret: int, other: int = 0) -> None:
        super().__init__()
