from typing import Any

import pytest
import torch
from torch import nn

from ablate.config.edits import Edit
from ablate.models.variant import Variant, build, weight_digests
from ablate.records.record import Size

LENET = {"_target_": "ablate.models.lenet.lenet5"}
RESNET = {"_target_": "torchvision.models.resnet18", "num_classes": 10}
DROP3 = Edit(insert="after", at="relu3", layer={"_target_": "torch.nn.Dropout2d", "p": 0.5})
BN1 = Edit(insert="after", at="c1", layer={"_target_": "torch.nn.LazyBatchNorm2d"})


def variant(seed: int = 0, base: dict[str, Any] = LENET, **edits: Edit) -> Variant:
    return build(base, edits, seed, (3, 32, 32), 10)


def layer(name: str, **arguments: Any) -> Edit:
    return Edit(insert="after", at="relu3", layer={"_target_": f"torch.nn.{name}", **arguments})


@pytest.mark.parametrize(
    "edits",
    [
        {"drop3": DROP3},
        {"drop3": DROP3, "bn1": BN1},
        {"conv": layer("LazyConv2d", out_channels=16, kernel_size=3, padding=1)},
        {"pool": Edit(replace="s2", layer={"_target_": "torch.nn.AvgPool2d", "kernel_size": 2})},
        {"no_relu": Edit(remove="relu1")},
    ],
)
def test_an_edit_leaves_the_other_layers_weights_bit_for_bit(edits: dict[str, Edit]) -> None:
    plain, edited = variant().model.state_dict(), variant(**edits).model.state_dict()
    assert set(plain) <= set(edited)
    assert all(torch.equal(plain[name], edited[name]) for name in plain)


def test_a_new_layers_weights_come_from_its_own_stream() -> None:
    conv = layer("LazyConv2d", out_channels=16, kernel_size=3, padding=1)
    alone = variant(conv=conv).model.get_parameter("conv.weight")
    together = variant(drop3=DROP3, bn1=BN1, conv=conv).model.get_parameter("conv.weight")
    renamed = variant(other=conv).model.get_parameter("other.weight")
    assert torch.equal(alone, together)
    assert not torch.equal(alone, renamed)


def test_seeds_differ() -> None:
    zero, one = weight_digests(variant(0).model), weight_digests(variant(1).model)
    assert (
        zero.keys()
        == one.keys()
        == {f"{layer}.{kind}" for layer in ("c1", "c3", "c5", "f6", "f7") for kind in ("weight", "bias")}
    )
    assert zero["c1.weight"].startswith("6x3x5x5 ")
    assert all(zero[name] != one[name] for name in zero)
    assert zero == weight_digests(variant(0).model)


def test_building_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    variant(drop3=DROP3, bn1=BN1)
    assert torch.equal(before, torch.get_rng_state())


def test_the_record_says_what_changed() -> None:
    record = variant(drop3=DROP3, bn1=BN1).record
    # Two operations for each of a layer's products: outputs x (inputs to each).
    flops = 2 * (28 * 28 * 6 * 75 + 10 * 10 * 16 * 150 + 120 * 400 + 84 * 120 + 10 * 84)
    assert record.before == Size(layers=13, parameters=62006, trainable=62006, flops=flops)
    assert record.after == Size(layers=15, parameters=62006 + 12, trainable=62006 + 12, flops=flops)
    assert record.layers["drop3"] == "Dropout2d(p=0.5, inplace=False)"
    conv = variant(conv=layer("Conv2d", in_channels=16, out_channels=16, kernel_size=1)).record
    assert conv.after.flops == flops + 2 * 10 * 10 * 16 * 16
    assert conv.after.parameters == 62006 + 16 * 17
    assert variant(x=Edit(remove="relu1")).record.after.layers == 12


def test_trying_a_batch_does_not_train() -> None:
    model = variant(bn1=BN1).model
    statistics = dict(model.named_buffers())
    assert statistics["bn1.running_mean"].tolist() == [0] * 6
    assert statistics["bn1.num_batches_tracked"].item() == 0
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training


def test_resnet_with_nested_edits() -> None:
    edits = {
        "bn": Edit(insert="before", at="layer1.0.conv1", layer={"_target_": "torch.nn.LazyBatchNorm2d"}),
        "drop": Edit(insert="after", at="layer2.0", layer={"_target_": "torch.nn.Dropout2d"}),
    }
    plain, edited = variant(base=RESNET), variant(base=RESNET, **edits)
    assert edited.record.after.parameters - plain.record.after.parameters == 128
    assert "layer1.0.bn.weight" in weight_digests(edited.model)
    before, after = plain.model.state_dict(), edited.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"x": layer("ReLU")}, r"model.edits.x \(ReLU\(\)\): changes nothing"),
        ({"x": layer("Dropout", p=0)}, r"changes nothing; change its arguments, or leave it out with ~model.edits.x"),
        ({"x": layer("Identity")}, "changes nothing"),
        ({"drop3": DROP3, "x": layer("ReLU")}, r"model.edits.x \(ReLU\(\)\): changes nothing"),
        ({"x": Edit(replace="relu1", layer={"_target_": "torch.nn.ReLU"})}, "changes nothing"),
        ({"x": layer("AvgPool2d", kernel_size=2)}, r"at c5 \(Conv2d\), given \(8, 16, 2, 2\)"),
        ({"x": Edit(remove="s2")}, r"do not fit together at f6 \(Linear\), given \(8, 7680\)"),
        ({"x": Edit(remove="f7")}, r"change the output's shape from \(8, 10\) to \(8, 84\)"),
        ({"x": layer("Dropout", pp=1)}, "model.edits.x.layer.pp: Dropout has no such argument; did you mean p"),
        ({"x": layer("Dropout", p=2)}, r"model.edits.x.layer: Dropout\(p=2\): dropout probability"),
        ({"x": layer("Dropout", p="a")}, r"model.edits.x.layer: Dropout\(p=a\)"),
        ({"x": layer("Conv2d", in_channels=3)}, "missing a required argument: 'out_channels'"),
        ({"x": layer("Dropot")}, "torch.nn has no Dropot; did you mean Dropout"),
        ({"x": Edit(insert="after", at="c1", layer={"_target_": "trch.nn.ReLU"})}, "there is no module trch"),
        ({"x": Edit(insert="after", at="c1", layer={"_target_": "torch.nn"})}, "cannot be called"),
        ({"x": Edit(insert="after", at="c1", layer={"_target_": "builtins.dict"})}, "is not a torch.nn.Module"),
    ],
)
def test_refusals(edits: dict[str, Edit], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variant(**edits)


def test_an_edit_that_others_build_on_is_not_refused() -> None:
    wider = Edit(
        replace="c1", layer={"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 8, "kernel_size": 5}
    )
    fitting = Edit(
        replace="c3", layer={"_target_": "torch.nn.Conv2d", "in_channels": 8, "out_channels": 16, "kernel_size": 5}
    )
    assert variant(wider=wider, fitting=fitting).record.after.parameters == 62006 + 2 * 76 + 2 * 16 * 25


def test_bases_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"model.base: gives an output of shape \(8, 7\)"):
        variant(base={**LENET, "num_classes": 7})
    with pytest.raises(ValueError, match=r"model.base: the layers do not fit together at c1"):
        variant(base={**LENET, "in_channels": 1})
    with pytest.raises(
        ValueError, match=r"model.base.num_clases: lenet5 has no such argument; did you mean num_classes"
    ):
        variant(base={**LENET, "num_clases": 10})
    with pytest.raises(ValueError, match=r"the model returns a tuple"):
        build({"_target_": "torch.nn.LSTM", "input_size": 32, "hidden_size": 4}, {}, 0, (3, 32), 10)


def test_the_layers_are_those_of_the_model() -> None:
    built = variant(drop3=DROP3, bn1=BN1)
    assert built.layers["drop3"] is built.model.get_submodule("drop3")
    assert isinstance(built.layers["bn1"], nn.BatchNorm2d)


def test_a_base_takes_what_it_needs_from_the_data() -> None:
    grey = build(LENET, {}, 0, (1, 32, 32), 7).model
    assert grey(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    vit = {"_target_": "torchvision.models.VisionTransformer", "patch_size": 8, "num_layers": 1, "num_heads": 1}
    model = build({**vit, "hidden_dim": 8, "mlp_dim": 8}, {}, 0, (3, 32, 32), 5).model
    assert (model.image_size, model.heads.head.out_features) == (32, 5)
    set_by_hand = {**LENET, "num_classes": 9}
    with pytest.raises(ValueError, match="the data has 10 classes"):
        build(set_by_hand, {}, 0, (3, 32, 32), 10)


def test_a_layer_of_a_pattern_draws_from_a_stream_of_its_place() -> None:
    linear = {"_target_": "torch.nn.LazyConv2d", "out_channels": 64, "kernel_size": 1}
    one = Edit(insert="after", at="layer1.?.conv1", layer=linear)
    both = Edit(insert="after", at="layer?.?.conv1", layer=linear)
    few, many = (
        variant(base=RESNET, mix=one).model,
        variant(base=RESNET, mix=Edit(**{**vars(both), "at": "layer1.*.conv1"})).model,
    )
    weights = [few.get_parameter(f"layer1.{block}.mix_conv1.weight") for block in (0, 1)]
    assert not torch.equal(*weights)
    assert torch.equal(weights[1], many.get_parameter("layer1.1.mix_conv1.weight"))


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="all weights are frozen"):
        variant(frozen=Edit(freeze="**"))


def test_freezing_changes_something_only_where_there_are_weights() -> None:
    assert "frozen" not in variant(frozen=Edit(freeze="c1")).layers
    with pytest.raises(ValueError, match=r"model.edits.frozen: changes nothing"):
        variant(frozen=Edit(freeze="relu1"))
