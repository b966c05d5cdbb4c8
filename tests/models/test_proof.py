"""Variants that would train or evaluate something else than they say: proved right, or refused."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import small_networks as networks
import torch
from torch import Tensor, nn

from ablate.config.edits import Edit
from ablate.models.proof import fused_kernels
from ablate.models.variant import Variant, build

Network = Callable[[], nn.Module]
IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def variant(network: Network, images: Tensor = IMAGES, **edits: Edit) -> Variant:
    base = {"_target_": f"{network.__module__}.{network.__qualname__}"}
    return build(base, edits, 0, tuple(images.shape[1:]), 10, images)


def drop(where: str, at: str, **more: Any) -> Edit:
    return Edit(insert=where, at=at, layer={"_target_": "torch.nn.Softsign"}, **more)


def scores(model: nn.Module, training: bool = False) -> Tensor:
    model = copy.deepcopy(model).train(training)
    with torch.no_grad():
        return model(IMAGES.clone())  # type: ignore[no-any-return]


def same(edited: Variant, by_hand: nn.Module) -> None:
    """Holds an edited model against one written by hand, with the same weights, in both modes."""
    for training in (False, True):
        torch.testing.assert_close(scores(edited.model, training), scores(by_hand, training))


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("where", ["before", "after"])
def test_an_insertion_beside_a_reused_layer_leaves_its_other_uses(at: int, where: str) -> None:
    edited = variant(networks.reused_act, new=drop(where, str(at)))
    layers = list(variant(networks.reused_act).model)
    layers.insert(at + (where == "after"), nn.Softsign())
    same(edited, nn.Sequential(*layers))


@pytest.mark.parametrize("kind", ["replace", "remove", "bypass"])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_an_edit_of_a_reused_layer_is_about_the_place_that_is_named(kind: str, at: int) -> None:
    new = {"layer": {"_target_": "torch.nn.Softsign"}} if kind == "replace" else {}
    edited = variant(networks.reused_act, x=Edit(**{kind: str(at)}, **new))  # type: ignore[arg-type]
    by_hand = variant(networks.reused_act).model
    by_hand[at] = nn.Softsign() if kind == "replace" else nn.Identity()  # type: ignore[operator]
    same(edited, by_hand)


def test_an_insertion_at_one_place_leaves_others_that_an_earlier_one_has_reached() -> None:
    both = drop("after", "act?")
    one = Edit(insert="after", at="act1", layer={"_target_": "torch.nn.Hardtanh", "min_val": -0.1, "max_val": 0.2})
    edited = variant(networks.SharedAct, both=both, one=one)

    class ByHand(networks.SharedAct):
        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.softsign(self.act1(self.conv1(x)).clamp(-0.1, 0.2))
            return self.head(nn.functional.softsign(self.act2(self.conv2(x))).mean((2, 3)))  # type: ignore[no-any-return]

    by_hand = ByHand()
    by_hand.load_state_dict(edited.model.state_dict())
    same(edited, by_hand)


def test_a_pattern_reaches_all_places_of_a_reused_layer() -> None:
    edited = variant(
        networks.reused_act, x=Edit(replace="**", type="torch.nn.Tanh", layer={"_target_": "torch.nn.ELU"})
    )
    assert [type(layer).__name__ for layer in edited.model][1:6:2] == ["ELU"] * 3  # type: ignore[arg-type]
    assert edited.model.get_submodule("1") is edited.model.get_submodule("5")  # shared as before
    inserted = variant(networks.reused_act, new=drop("after", "[135]"))
    assert list(inserted.model._modules)[2:9:3] == ["new_1", "new_3", "new_5"]


def test_two_attributes_of_one_layer_come_apart() -> None:
    edited = variant(networks.SharedAct, new=drop("after", "act1"))

    class ByHand(networks.SharedAct):
        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.softsign(self.act1(self.conv1(x)))
            return self.head(self.act2(self.conv2(x)).mean((2, 3)))  # type: ignore[no-any-return]

    by_hand = ByHand()
    by_hand.load_state_dict(edited.model.state_dict())
    same(edited, by_hand)


def test_an_edit_within_a_shared_block_is_about_the_name_it_uses() -> None:
    edited = variant(networks.SharedBlocks, x=Edit(replace="second.act", layer={"_target_": "torch.nn.Softsign"}))
    by_hand = variant(networks.SharedBlocks).model
    by_hand.second = nn.Sequential(by_hand.first.conv, nn.Softsign())  # type: ignore[union-attr]
    same(edited, by_hand)
    weights = edited.model.get_parameter("first.conv.weight"), edited.model.get_parameter("second.conv.weight")
    assert weights[0] is weights[1]  # still the same ones
    both = variant(networks.SharedBlocks, new=drop("after", "*.act"))
    assert both.model.get_submodule("first") is both.model.get_submodule("second")


def test_statistics_that_places_share_cannot_come_apart() -> None:
    with pytest.raises(ValueError, match=r"1 \(BatchNorm2d\) is one module with 4, .*running statistics"):
        variant(networks.shared_norm, x=Edit(bypass="1"))


@pytest.mark.parametrize("first", ["before", "after"])
@pytest.mark.parametrize("second", ["before", "after"])
@pytest.mark.parametrize("network", [networks.SharedBlocks, networks.Transformer])
def test_the_last_insertion_is_next_to_its_anchor(network: Network, first: str, second: str) -> None:
    at = "again.conv" if network is networks.SharedBlocks else "blocks.0.linear1"
    edited = variant(
        network,
        a=Edit(insert=first, at=at, layer={"_target_": "torch.nn.Softsign"}),
        b=Edit(insert=second, at=at, layer={"_target_": "torch.nn.Hardtanh", "min_val": -0.1, "max_val": 0.2}),
    )
    by_hand = variant(network).model
    anchor = by_hand.get_submodule(at)
    a, b = nn.Softsign(), nn.Hardtanh(-0.1, 0.2)
    before = [layer for layer, where in ((a, first), (b, second)) if where == "before"]
    after = [layer for layer, where in ((b, second), (a, first)) if where == "after"]
    by_hand.set_submodule(at, nn.Sequential(*before, anchor, *after))
    for training in (False, True):
        with fused_kernels(False):
            expected = scores(by_hand, training)
        torch.testing.assert_close(scores(edited.model, training), expected)


REPLACED = {"_target_": "torch.nn.Conv2d", "in_channels": 4, "out_channels": 4, "kernel_size": 1}


@pytest.mark.parametrize(
    "other",
    [
        Edit(replace="again.conv", layer=REPLACED),
        Edit(remove="again.conv"),
        Edit(bypass="again.conv"),
        Edit(set={"bias": False}, at="again.conv"),
        Edit(freeze="again.conv"),
        Edit(reinit="again.conv"),
    ],
)
@pytest.mark.parametrize("inserted_first", [True, False])
def test_an_insertion_stays_when_its_anchor_is_edited(other: Edit, inserted_first: bool) -> None:
    edits = {"new": drop("after", "again.conv"), "other": other}
    edited = variant(networks.SharedBlocks, **(edits if inserted_first else dict(reversed(edits.items()))))
    alone = variant(networks.SharedBlocks, other=other).model
    alone.again.conv = nn.Sequential(alone.again.conv, nn.Softsign())  # type: ignore[union-attr]
    same(edited, alone)


def test_frozen_and_bypassed_layers_stay_so_when_arguments_change() -> None:
    frozen = variant(
        networks.SharedBlocks, f=Edit(freeze="stem"), s=Edit(set={"padding": 1}, at="stem")
    ).model.get_submodule("stem")
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    with pytest.raises(ValueError, match=r"model.edits.s: changes nothing"):
        variant(networks.SharedBlocks, b=Edit(bypass="again.conv"), s=Edit(set={"dilation": 1}, at="again.conv"))


def test_what_another_edit_undoes_is_refused() -> None:
    gone = {"new": drop("after", "again.conv"), "x": Edit(replace="again", layer=REPLACED)}
    with pytest.raises(ValueError, match=r"model.edits.new \(Softsign\(\)\): changes nothing"):
        variant(networks.SharedBlocks, **gone)
    with pytest.raises(ValueError, match=r"model.edits.new: nothing is left of it at first.conv, where another edit"):
        variant(networks.SharedBlocks, new=drop("after", "first.conv"), x=Edit(remove="first.new"))
    with pytest.raises(ValueError, match=r"model.edits.new: the new layer never runs"):
        wide = {"new": Edit(insert="after", at="again.conv", layer=REPLACED), "x": Edit(bypass="again")}
        variant(networks.SharedBlocks, **wide)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(
    "edit",
    [Edit(bypass="blocks.0.norm1"), Edit(remove="blocks.0.norm2"), Edit(bypass="blocks.0.linear1"),
     Edit(replace="blocks.0.norm1", layer={"_target_": "torch.nn.Tanh"}), drop("after", "blocks.0.norm1"),
     Edit(bypass="blocks.0.dropout1")],
)  # fmt: skip
def test_a_transformer_evaluates_what_it_trains(edit: Edit, norm_first: bool) -> None:
    network = NormFirst if norm_first else networks.Transformer
    if edit.bypass == "blocks.0.linear1":
        with pytest.raises(ValueError, match="do not fit together"):
            variant(network, x=edit)
        return
    if edit.bypass == "blocks.0.dropout1":  # of a rate of 0
        with pytest.raises(ValueError, match="changes nothing"):
            variant(network, x=edit)
        return
    edited = variant(network, x=edit).model
    torch.testing.assert_close(scores(edited), scores(edited, training=True))  # there is no dropout
    plain = variant(network).model
    assert not torch.allclose(scores(edited), scores(plain), atol=1e-4)


class NormFirst(networks.Transformer):
    def __init__(self) -> None:
        super().__init__(2, norm_first=True)


def test_flops_of_attention_are_counted() -> None:
    counted = variant(networks.Transformer).record.after.flops
    tokens, width, inner = 16, 8, 16
    attention = 4 * tokens * width * width + 2 * tokens * tokens * width
    products = tokens * width * 3 * 16 + attention + 2 * tokens * width * inner + width * 10
    assert counted == 2 * products


def test_an_edit_that_runs_in_one_mode_only_is_refused() -> None:
    with pytest.raises(ValueError, match=r"norm runs once in training and never in evaluation"):
        variant(networks.TrainsOtherwise, x=Edit(bypass="norm"))
    with pytest.raises(ValueError, match=r"model.edits.x: .*never runs: the model leaves .* reads its weights"):
        variant(
            networks.Transformer,
            x=Edit(replace="blocks.0.self_attn.out_proj",
                   layer={"_target_": "torch.nn.Linear", "in_features": 8, "out_features": 8}),
        )  # fmt: skip


def test_a_sequence_that_is_taken_apart_is_not_edited_silently() -> None:
    with pytest.raises(ValueError, match=r"model.edits.x: parts.2 runs never in training, and once without the edits"):
        variant(networks.Indexed, x=drop("after", "parts.0"))
    with pytest.raises(ValueError, match=r"x: the new layer runs twice, and parts.0, beside which it stands, once"):
        variant(networks.TakesOneTwice, x=drop("before", "parts.0"))


def test_a_bypass_does_not_take_images_apart() -> None:
    with pytest.raises(ValueError, match=r"self_attn gives a tuple, and now a Tensor"):
        variant(networks.Transformer, x=Edit(bypass="blocks.0.self_attn"))


@pytest.mark.parametrize(("network", "at"), [(networks.reused_act, "0"), (networks.SharedBlocks, "stem")])
def test_an_in_place_layer_is_seen_to_change_what_it_changes(network: Network, at: str) -> None:
    new = {"_target_": "torch.nn.ReLU", "inplace": True}
    before = IMAGES.clone()
    edited = variant(network, x=Edit(insert="before", at=at, layer=new))
    assert torch.equal(IMAGES, before)
    by_hand = variant(network).model
    torch.testing.assert_close(scores(edited.model), by_hand.eval()(IMAGES.relu()).detach())


def test_an_in_place_layer_that_breaks_training_is_refused() -> None:
    spoiling = {"_target_": "torch.nn.ReLU", "inplace": True}
    with pytest.raises(ValueError, match=r"model.edits \(x\): cannot be trained: .*in place"):
        variant(networks.reused_act, x=Edit(insert="after", at="1", layer=spoiling))


def test_a_base_that_returns_more_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model.base: the model returns a tuple in training; .*auxiliary outputs off"):
        variant(networks.Auxiliary)


def test_googlenet_says_how_to_turn_its_outputs_off() -> None:
    base = {"_target_": "torchvision.models.GoogLeNet", "init_weights": False, "num_classes": 10}
    images = torch.randn(2, 3, 64, 64)
    with pytest.raises(ValueError, match=r"GoogLeNetOutputs in training; .*\+model.base.aux_logits=false"):
        build(base, {}, 0, (3, 64, 64), 10, images)
    assert build({**base, "aux_logits": False}, {}, 0, (3, 64, 64), 10, images).record.after.parameters


class Parametrised(nn.Sequential):
    def __init__(self) -> None:
        normed = nn.utils.parametrizations.weight_norm(nn.Linear(768, 8))
        super().__init__(nn.Flatten(), normed, nn.Tanh(), nn.Linear(8, 10))


class Spectral(nn.Sequential):
    def __init__(self) -> None:
        normed = nn.utils.parametrizations.spectral_norm(nn.Linear(768, 8))
        super().__init__(nn.Flatten(), normed, nn.Tanh(), nn.Linear(8, 10))


class WeightNormOfOld(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(768, 8), nn.Tanh(), nn.Linear(8, 10))
        normed = self[1]
        normed.weight_g = nn.Parameter(normed.weight.norm(dim=1, keepdim=True).detach())
        normed.weight_v = nn.Parameter(normed.weight.detach())
        del normed._parameters["weight"]
        normed.register_forward_pre_hook(_compute_weight)
        _compute_weight(normed, ())


def _compute_weight(module: Any, _: Any) -> None:
    module.weight = (module.weight_v / module.weight_v.norm(dim=1, keepdim=True) * module.weight_g).detach()


@pytest.mark.parametrize("network", [Parametrised, Spectral, WeightNormOfOld])
@pytest.mark.parametrize("edit", [Edit(set={"bias": False}, at="1"), Edit(reinit="1")])
def test_weights_that_are_computed_are_not_silently_new(network: Network, edit: Edit) -> None:
    with pytest.raises(ValueError, match=r"model.edits.x.(set|reinit).*use replace instead|no reset_parameters"):
        variant(network, x=edit)


def test_a_layer_that_was_changed_after_it_was_made_is_not_made_anew() -> None:
    with pytest.raises(
        ValueError, match=r"model.edits.s.set: again \(Residual\) .*(by an edit within it|keep its arg)"
    ):
        variant(networks.SharedBlocks, new=drop("after", "again.conv"), s=Edit(set={"channels": 4}, at="again"))


def test_tied_weights_stay_tied() -> None:
    images = torch.randn(4, 3, 4, 4)
    edited = variant(networks.tied, images, s=Edit(set={"bias": False}, at="3")).model
    assert edited.get_parameter("3.weight") is edited.get_parameter("4.weight")
