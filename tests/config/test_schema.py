"""What a configuration can say, as it is declared; how it is read; and what a design makes of it."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from options_of_groups import NEEDED, OPTIONS

from ablate.config.keys import Meaning
from ablate.config.plain import can_alter, loader_arguments, meaning, meanings, plain, read_config, select
from ablate.config.schema import OPTIONS as SCHEMAS
from ablate.config.schema import AdamConfig, Config, OptimizerConfig, SGDConfig


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_is_valid(option: str, compose: Callable[..., Config]) -> None:
    compose(option, *NEEDED.get(option, ()))


@pytest.mark.parametrize("option", NEEDED)
def test_what_an_option_needs_is_said(option: str, compose: Callable[..., Config]) -> None:
    key = NEEDED[option][0].partition("=")[0]
    with pytest.raises(ValueError, match=f"{key} is not set; set it with {key}=…"):
        compose(option)


def test_the_groups_are_those_of_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for option in OPTIONS:
        group, _, name = option.partition("=")
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{group}` |")]
        assert f"`{name}`" in row


def test_the_studies_defaults(compose: Callable[..., Config]) -> None:
    cfg = compose()
    assert (cfg.study.name, cfg.model.name, cfg.seed) == ("lenet_cifar10", "plain", 0)
    assert (cfg.train.epochs, cfg.train.batch_size) == (50, 128)
    assert (cfg.optimizer.lr, cfg.optimizer.weight_decay) == (1e-3, 5e-3)
    assert (cfg.data.padding, cfg.data.flip) == (4, True)


def test_edits_add_up_in_order(compose: Callable[..., Config]) -> None:
    assert list(compose("model=bn_dropout").model.edits) == ["drop3", "bn1"]
    added = compose(
        "model=dropout", "+model.edits.drop5={insert: after, at: relu5, layer: {_target_: torch.nn.Dropout}}"
    )
    assert list(added.model.edits) == ["drop3", "drop5"]
    assert compose("model=dropout", "~model.edits.drop3").model.edits == {}


def test_loader_arguments_are_what_data_sets_do_not_share(compose: Callable[..., Config]) -> None:
    assert loader_arguments(compose("data.root=x").data) == {"root": "x"}
    assert loader_arguments(compose("data=digits").data) == {}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_configuration_survives_as_plain_data(option: str, compose: Callable[..., Config]) -> None:
    config = compose(option, *NEEDED.get(option, ()))
    read = read_config(plain(config))
    assert read == config
    assert (type(read.optimizer), type(read.data)) == (type(config.optimizer), type(config.data))


def test_arguments_that_are_not_declared_are_kept(compose: Callable[..., Config]) -> None:
    config = compose("+optimizer.amsgrad=true")
    assert isinstance(config.optimizer, AdamConfig) and config.optimizer.further == {"amsgrad": True}
    assert plain(config)["optimizer"]["amsgrad"] is True
    assert read_config(plain(config)) == config
    assert isinstance(compose("optimizer=sgd").optimizer, SGDConfig)
    own = {"_target_": "torch.optim.Rprop", "lr": 0.1, "weight_decay": 0.0, "etas": [0.5, 1.2]}
    read = read_config({**plain(config), "optimizer": own}).optimizer
    assert type(read) is OptimizerConfig and read.further == {"etas": [0.5, 1.2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": {}}, "modle: there is no such key; did you mean model"),
        ({"train": {"epochs": 1, "batch_size": 2, "epoch": 3}}, "train.epoch: there is no such key; did you mean epo"),
        ({"train": {}}, "train.epochs is not set"),
        ({"train": {"epochs": 1}}, "train.batch_size is not set; set it with train.batch_size=…"),
        ({"train": {"epochs": "1", "batch_size": 2}}, "train.epochs=1: must be a whole number"),
        ({"train": {"epochs": True, "batch_size": 2}}, "train.epochs=True: must be a whole number"),
        ({"train": 3}, "train=3: must be a mapping of keys to values"),
        ({"optimizer": {"_target_": "x.Adam", "lr": "fast"}}, "optimizer.lr=fast: must be a number"),
        ({"optimizer": {"_target_": "x.Adam", "lr": 1, "betas": 0.9}}, "optimizer.betas=0.9: must be a list"),
        ({"hardware": {"graph": 1}}, "hardware.graph=1: must be true or false"),
        ({"allow": [3]}, "allow=3: must be a text"),
        ({"logger": []}, r"logger=\[\]: must be a mapping"),
        ({"model": {"name": "m", "base": {}, "edits": [1]}}, r"model.edits=\[1\]: must be a mapping of edits by name"),
        ({"model": {"name": "m", "base": {}, "edits": {"x": 1}}}, "model.edits.x=1: an edit is a mapping"),
    ],
)  # fmt: skip
def test_plain_data_that_is_no_configuration_is_refused(
    change: dict[str, Any], message: str, compose: Callable[..., Config]
) -> None:
    with pytest.raises(ValueError, match=message):
        read_config({**plain(compose()), **change})


def test_whole_numbers_are_numbers(compose: Callable[..., Config]) -> None:
    read = read_config({**plain(compose()), "optimizer": {"_target_": "x.Adam", "lr": 1}})
    assert isinstance(read.optimizer.lr, float)


def test_options_agree_in_what_their_common_keys_mean() -> None:
    """Identity, labels and cohorts ask by key, and know nothing of the option that a run took."""
    seen: dict[tuple[type, str], dict[str, Any]] = {}
    for kind in SCHEMAS.values():
        base = kind.__mro__[1]
        for item in dataclasses.fields(kind):
            told = {name: value for name, value in item.metadata.get("meaning", {}).items() if name != "help"}
            assert seen.setdefault((base, item.name), told) == told, (kind, item.name)
    assert len(seen) > 20


def test_a_key_has_what_it_does_not_say_from_its_section() -> None:
    assert meaning("data.size").cohort and meaning("data.size").clock and meaning("data.size").alters
    assert not meaning("data.root").clock and meaning("data.root").cohort
    assert meaning("hardware.precision").alters and not meaning("hardware.threads").alters
    assert meaning("optimizer.amsgrad") == dataclasses.replace(meaning("optimizer"), help="")
    assert meaning("model.edits.drop3.layer.p") is meaning("model.edits")
    assert meaning("settings.depth") == Meaning()


def test_the_parts_that_can_alter_a_result() -> None:
    parts = {key for key in meanings() if "." not in key and can_alter(key)}
    assert parts == {"seed", "model", "optimizer", "scheduler", "loss", "augment", "data", "train", "hardware"}


def test_the_part_of_a_configuration_with_a_meaning(compose: Callable[..., Config]) -> None:
    config = plain(compose("data=folder", "data.path=x", "+optimizer.amsgrad=true"))
    timed = select(config, lambda meaning: meaning.clock)
    assert list(timed) == ["model", "optimizer", "loss", "augment", "data", "train", "hardware"]
    assert (
        timed["hardware"] == {"precision": "fp32"}
        and timed["train"]["batch_size"] == 128
        and "epochs" not in timed["train"]
    )
    assert timed["optimizer"]["amsgrad"] is True
    assert {"stream", "workers", "path"} <= timed["data"].keys()


def test_every_key_says_what_it_sets_unless_its_name_does() -> None:
    silent = {key for key, each in meanings().items() if not each.help and "." in key}
    assert not {key for key in silent if re.search(r"root|path|workers|graph|components|base", key)}
