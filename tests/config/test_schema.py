import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from ablate.config.identity import identity, run_id
from ablate.config.options import config_dir
from ablate.config.schema import loader_arguments
from ablate.config.validation import validate

GROUPS = ("model", "optimizer", "scheduler", "data", "hardware", "study", "metrics", "logger")
FILES = {group: [path.stem for path in (config_dir() / group).glob("*.yaml")] for group in GROUPS}
NEEDED = {"data=folder": ["data.path=x"], "data=npz": ["data.path=x"], "data=function": ["data._target_=x.load"]}
OPTIONS = [f"{group}={name}" for group in GROUPS for name in sorted(FILES[group])]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_is_valid(option: str, compose: Callable[..., DictConfig]) -> None:
    validate(compose(option, *NEEDED.get(option, ())))


@pytest.mark.parametrize("option", NEEDED)
def test_what_an_option_needs_is_said(option: str, compose: Callable[..., DictConfig]) -> None:
    key = NEEDED[option][0].partition("=")[0]
    with pytest.raises(ValueError, match=f"{key} is not set; set it with {key}=…"):
        validate(compose(option))


def test_the_groups_are_those_of_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for option in OPTIONS:
        group, _, name = option.partition("=")
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{group}` |")]
        assert f"`{name}`" in row


def test_the_studies_defaults(compose: Callable[..., DictConfig]) -> None:
    cfg = compose()
    assert (cfg.study.name, cfg.model.name, cfg.seed) == ("lenet_cifar10", "plain", 0)
    assert (cfg.train.epochs, cfg.train.batch_size) == (50, 128)
    assert (cfg.optimizer.lr, cfg.optimizer.weight_decay) == (1e-3, 5e-3)
    assert (cfg.data.padding, cfg.data.flip) == (4, True)


def test_edits_add_up_in_order(compose: Callable[..., DictConfig]) -> None:
    assert list(compose("model=bn_dropout").model.edits) == ["drop3", "bn1"]
    added = compose(
        "model=dropout", "+model.edits.drop5={insert: after, at: relu5, layer: {_target_: torch.nn.Dropout}}"
    )
    assert list(added.model.edits) == ["drop3", "drop5"]
    assert compose("model=dropout", "~model.edits.drop3").model.edits == {}


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "model=dropout",
        "optimizer=adamw",
        "optimizer.lr=0.002",
        "scheduler=cosine",
        "data=digits",
        "data.subset=10",
        "data.validation=10",
        "data.flip=false",
        "train.epochs=3",
        "train.batch_size=64",
        "hardware.precision=bf16",
        "model.base.num_classes=11",
    ],
)
def test_what_changes_a_result_changes_the_identity(override: str, compose: Callable[..., DictConfig]) -> None:
    assert run_id(compose(override)) != run_id(compose())


@pytest.mark.parametrize(
    "override",
    [
        "data.root=somewhere",
        "hardware.threads=1",
        "hardware.device=cpu",
        "hardware.channels_last=false",
        "study.name=other",
        "study.metric=test_loss",
        "model.name=other",
        "optimizer.lr=1e-3",
        "rerun=all",
        "train.max_retries=3",
        "+allow=[mypackage]",
    ],
)
def test_what_changes_no_result_keeps_the_identity(override: str, compose: Callable[..., DictConfig]) -> None:
    assert run_id(compose(override)) == run_id(compose())


def test_the_order_of_edits_is_part_of_the_identity(compose: Callable[..., DictConfig]) -> None:
    edits = {
        "a": "{insert: after, at: c1, layer: {_target_: x.A}}",
        "b": "{insert: after, at: c1, layer: {_target_: x.B}}",
    }
    ids = {run_id(compose(*(f"+model.edits.{name}={edits[name]}" for name in order))) for order in ("ab", "ba")}
    assert len(ids) == 2


@given(value=st.integers(1, 10**6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_equal_numbers_are_one_identity(value: int, compose: Callable[..., DictConfig]) -> None:
    cfg = compose("model=dropout")
    ids = []
    for written in (value, float(value), value + 0.5):
        cfg.model.edits.drop3.layer.p = written
        ids.append(run_id(cfg))
    assert ids[0] == ids[1] != ids[2]


def test_the_identity_is_the_same_in_another_process(compose: Callable[..., DictConfig]) -> None:
    code = (
        "import hydra; from ablate.config import options, schema; from ablate.config.identity import run_id\n"
        "schema.register()\n"
        "with hydra.initialize_config_dir(str(options.config_dir()), version_base='1.3'):\n"
        "    print(run_id(hydra.compose('config', ['model=bn_dropout', 'seed=3'])))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == run_id(compose("model=bn_dropout", "seed=3"))


# What changes no result; of everything else, any change makes another run.
NO_RESULT = {
    "rerun", "allow", "store", "train.max_retries", "model.name", "data.root", "data.stream", "data.workers",
    "hardware.device", "hardware.threads", "hardware.channels_last", "hardware.rewrite",
    "hardware.graph", "hardware.deterministic",
}  # fmt: skip


def leaves(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield from leaves(value, f"{prefix}{key}.") if isinstance(value, DictConfig) else [f"{prefix}{key}"]


def changed(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if value is None:
        return 1
    return [*value, 0.5]  # type: ignore[misc]


@given(chosen=st.fixed_dictionaries({group: st.sampled_from(sorted(FILES[group])) for group in GROUPS}), data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_any_change_that_can_alter_a_result_is_another_run(
    chosen: dict[str, str], data: st.DataObject, compose: Callable[..., DictConfig]
) -> None:
    options = [f"{group}={option}" for group, option in chosen.items()]
    cfg = compose(*options, *(text for option in options for text in NEEDED.get(option, ())))
    before = run_id(cfg)
    assert run_id(OmegaConf.create(OmegaConf.to_container(cfg))) == before
    key = data.draw(
        st.sampled_from([key for key in leaves(cfg) if not key.startswith(("study.", "metrics.", "logger."))])
    )
    old = OmegaConf.select(cfg, key)
    new = data.draw(st.just(changed(old)))
    if key in ("data.root", "hardware.device", "allow", "model.components"):
        new = ["x"] if key in ("allow", "model.components") else "x"
    OmegaConf.set_struct(cfg, False)
    OmegaConf.update(cfg, key, new)
    assert (run_id(cfg) == before) == (key in NO_RESULT), key


def test_the_identity_stays_what_it_is(compose: Callable[..., DictConfig]) -> None:
    """Runs on disk are found by it, whatever the version of Python."""
    assert run_id(compose()) == "7cdf7215"


def test_the_identity_is_plain_data(compose: Callable[..., DictConfig]) -> None:
    found = identity(compose("model=dropout"))
    assert json.loads(json.dumps(found)) == found
    assert found["model"]["edits"][0][0] == "drop3"
    assert "root" not in found["data"]


def test_loader_arguments_are_what_data_sets_do_not_share(compose: Callable[..., DictConfig]) -> None:
    assert loader_arguments(compose("data.root=x").data) == {"root": "x"}
    assert loader_arguments(compose("data=digits").data) == {}
