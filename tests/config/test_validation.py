from collections.abc import Callable

import pytest

from ablate.config.plain import plain, read_config
from ablate.config.schema import Config
from ablate.files import FOLDER_NAME
from ablate.messages import nearest

DROP = "{insert: after, at: c1, layer: {_target_: torch.nn.Dropout}}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=-1"], "seed=-1"),
        (["train.epochs=0"], "train.epochs=0"),
        (["train.batch_size=0"], "train.batch_size=0"),
        (["optimizer.lr=-1"], "optimizer.lr=-1.0: must be above 0"),
        (["optimizer.lr=nan"], "optimizer.lr=nan: must be a finite number"),
        (["optimizer.weight_decay=-1"], "optimizer.weight_decay"),
        (["optimizer.betas=[0.9]"], "optimizer.betas"),
        (["optimizer.betas=[0.9,1.0]"], "optimizer.betas=1.0"),
        (["optimizer=sgd", "optimizer.momentum=0"], "nesterov"),
        (["scheduler=one_cycle", "scheduler.pct_start=1"], "scheduler.pct_start"),
        (["scheduler=one_cycle", "scheduler.div_factor=0"], "scheduler.div_factor"),
        (["scheduler=cosine", "scheduler.eta_min=-1"], "scheduler.eta_min"),
        (["data.subset=0"], "data.subset=0"),
        (["data.validation=-1"], "data.validation"),
        (["hardware.device=cdua"], "did you mean cuda"),
        (["hardware.precision=fp16"], "did you mean bf16"),
        (["hardware.threads=0"], "hardware.threads=0"),
        (["study.name=../elsewhere"], "study.name"),
        (["model.name=a/b"], "model.name"),
        (["model=dropout", "model.edits.drop3.insert=aftr"], "did you mean after"),
        (["+model.edits.x=3"], "model.edits.x=3: an edit is a mapping"),
        (["+model.edits.x={insert: after, att: c1}"], "model.edits.x.att: an edit has no such key; did you mean at"),
        (["+model.edits.x={insert: after, layer: {_target_: torch.nn.ReLU}}"], "model.edits.x.at is not set"),
        (["+model.edits.x={layer: {_target_: torch.nn.ReLU}}"], "this one has none of them"),
        (["+model.edits.x={remove: c1, replace: c1}"], "this one has replace and remove"),
        (["+model.edits.x={remove: c1, at: c1}"], "only insert and set take it; remove names its layer itself"),
        (["+model.edits.x={remove: c1, layer: {_target_: torch.nn.ReLU}}"], "remove takes no layer; use replace"),
        (["+model.edits.x={replace: c1}"], "model.edits.x.layer._target_ is not set"),
        (["+model.edits.x={replace: c1, layer: ReLU}"], "model.edits.x.layer=ReLU: a layer is a mapping"),
        ([f"+model.edits.a-b={DROP}"], "model.edits.a-b: a new layer's name"),
    ],
)
def test_impossible_values_are_named(overrides: list[str], message: str, compose: Callable[..., Config]) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        compose(*overrides)


def test_edits_are_typed(compose: Callable[..., Config]) -> None:
    (edit,) = compose("model=dropout").model.edits.values()
    assert (edit.insert, edit.at, edit.replace, edit.remove) == ("after", "relu3", None, None)
    assert edit.layer == {"_target_": "torch.nn.Dropout2d", "p": 0.5}


def test_nearest() -> None:
    assert nearest("modle", ["model", "data"]) == "did you mean model? (choose from model, data)"
    assert nearest("xyz", ["model", "data"]) == "choose from model, data"
    assert nearest("relu9", [f"relu{number}" for number in range(9)]).startswith("did you mean relu")
    assert nearest("xyz", map(str, range(50))).endswith("…")


@pytest.mark.parametrize("key", ["model.name", "study.name"])
@pytest.mark.parametrize("length", [1, 100, 101, 255])
def test_a_name_that_can_be_trained_can_be_reported(key: str, length: int, compose: Callable[..., Config]) -> None:
    raw = plain(compose())
    part, _, leaf = key.partition(".")
    raw[part][leaf] = "x" * length
    if length > 100:
        with pytest.raises(ValueError, match=f"{key}=.*at most 100 letters"):
            read_config(raw)
    else:
        read_config(raw)
    assert (FOLDER_NAME.fullmatch("x" * length) is not None) == (length <= 100)
