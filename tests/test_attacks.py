"""What others send is data: nothing in it is run, and nothing leaves its folder."""

import hashlib
import inspect
import io
import json
import os
import pickle
import re
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
import torchvision

from ablate.commands.verify import verify
from ablate.config.plain import plain, read_config
from ablate.config.schema import Config
from ablate.config.targets import check_targets, locate
from ablate.data import arrays, cifar10, cifar10_sources, digits, folder, torchvision_sets
from ablate.data.images import ImageData
from ablate.models import lenet
from ablate.records.run_directory import RunDirectory
from ablate.runs.prepare import prepare
from ablate.trackers.base import Tracker
from ablate.training.checkpoint import resume
from ablate.training.meters import Meter


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_checkpoint_is_not_executed(train_one: Callable[..., Path], quick: Callable[..., Config]) -> None:
    folder = train_one()
    directory, trace = RunDirectory(folder), folder / "executed"
    torch.save({"rows": [], "model": Bomb(trace)}, directory.checkpoint_file)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(directory.checkpoint_file, weights_only=True)
    assert resume(prepare(quick()).trainee, directory) == []
    assert not trace.exists()
    torch.load(directory.checkpoint_file, weights_only=False)
    assert trace.exists(), "the attack is one"


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("model.base", "os.system"),
        ("model.base", "torch.nn.functional.torch.os.system"),
        ("model.base", "torchvision.models.resnet.torch.hub.load"),
        ("model.base", "torch.load"),
        ("model.base", "torch.nnx.Linear"),
        # within the packages, but no model: what reads files, downloads, or calls what it is given
        ("model.edits.x.layer", "torchvision.models.resnet.ResNet18_Weights.DEFAULT.get_state_dict"),
        ("model.edits.x.layer", "torchvision.models.ResNet18_Weights"),
        ("model.base", "torchvision.models.get_model"),
        ("model.base", "torchvision.models.resnet._resnet"),
        ("model.base", "torchvision.models.resnet._ovewrite_named_param"),
        ("model.base", "torch.nn.Module.__init_subclass__"),
        ("model.base", "torch.nn.Linear.__class__"),
        ("model.base", "torch.nn.utils.rnn.pack_sequence"),
        ("model.base", "torch.nn.init.zeros_"),
        ("model.base", "torch.nn.parallel.parallel_apply"),
        ("model.base", "ablate.models.surgery.edit_model"),
        ("model.base", "ablate.models.variant.build"),
        ("optimizer", "torch.optim.Adam.load_state_dict"),
        ("optimizer", "torch.optim.swa_utils.update_bn"),
        ("scheduler", "torch.optim.lr_scheduler.LRScheduler.load_state_dict"),
        ("metrics.x", "torchmetrics.utilities.imports.package_available"),
        ("metrics.x", "torchmetrics.MetricCollection"),
        ("metrics.x", "ablate.training.meters.is_meter"),
        ("logger.x", "ablate.trackers.base.check_loggers"),
        ("data", "ablate.data.folder.read_image"),
        ("data", "ablate.data.cifar10.from_cache"),
        ("data", "ablate.data.cifar10_sources.fetch"),
        ("model.edits.x.layer", "builtins.exec"),
        ("model.edits.x.layer", "ablate.models.variant.importlib.import_module"),
        ("optimizer", "subprocess.run"),
        ("optimizer", "torch.nn.Linear"),
        ("scheduler", "torch.optim.lr_scheduler.warnings.warn"),
        ("data", "shutil.rmtree"),
        ("data", "ablate.data.cifar10_sources.subprocess.run"),
    ],
)
def test_only_code_of_allowed_packages_is_named(key: str, target: str) -> None:
    config: dict[str, Any] = {"_target_": target}
    for part in reversed(key.split(".")):
        config = {part: config}
    with pytest.raises(ValueError, match=re.escape(f"{key}._target_={target}: ")):
        check_targets(config)


OURS = {
    "model": {f"{lenet.__name__}.lenet5"},
    "data": {f"{module.__name__}.load" for module in (arrays, cifar10, digits, folder, torchvision_sets)}
    | {"ablate.data.arrays.from_arrays"},
}


@pytest.mark.parametrize(
    ("group", "base", "packages"),
    [
        ("model", torch.nn.Module, ["torch.nn", "torchvision.models", "torchvision.ops", "ablate.models"]),
        ("optimizer", torch.optim.Optimizer, ["torch.optim"]),
        ("scheduler", torch.optim.lr_scheduler.LRScheduler, ["torch.optim.lr_scheduler"]),
        ("metrics", (torchmetrics.Metric, Meter), ["torchmetrics", "ablate.training.meters"]),
        ("logger", Tracker, ["ablate.trackers"]),
        ("data", ImageData, ["ablate.data"]),
    ],
)
def test_of_all_that_the_packages_contain_only_such_classes_and_builders_are_named(
    group: str, base: Any, packages: list[str]
) -> None:
    """Walks modules, what stands in them, and what stands in that, under every name that leads there."""
    builders = {*map(torchvision.models.get_model_builder, torchvision.models.list_models())}
    walked = sorted(name for name in sys.modules if any(f"{name}.".startswith(f"{package}.") for package in packages))
    assert len(walked) >= len(packages)
    taken, seen = set(), set()
    for module in walked:
        for name, value in [*vars(sys.modules[module]).items()]:
            inner: Iterable[str] = ()
            if callable(value) and id(value) not in seen:
                inner = [*vars(value)] if inspect.isclass(value) else dir(value)
            seen.add(id(value))
            for path in (f"{module}.{name}", *(f"{module}.{name}.{part}" for part in inner)):
                try:
                    check_targets({group: {"_target_": path}})
                except ValueError:
                    continue
                found = locate("", path)
                if not (isinstance(found, type) and issubclass(found, base)) and found not in builders:
                    taken.add(f"{found.__module__}.{found.__qualname__}")
    assert taken == OURS.get(group, set())


def test_every_builder_of_torchvision_is_named() -> None:
    for name in torchvision.models.list_models(module=torchvision.models):
        check_targets({"model": {"base": {"_target_": f"torchvision.models.{name}"}}})


def test_functions_of_a_package_are_named_only_where_the_user_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine4.py").write_text(
        "import os, torch\nfrom torchvision.models import get_model, resnet18\n"
        "def net(): return torch.nn.Linear(1, 1)\nclass Nets:\n    @staticmethod\n    def small(): return net()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("net", "Nets.small", "resnet18"):
        config = {"model": {"base": {"_target_": f"mine4.{name}"}}}
        with pytest.raises(ValueError, match=r"add 'allow=\[mine4\]'"):
            check_targets(config)
        check_targets(config, ["mine4"])
    for name in ("os.system", "torch.load", "get_model", "torch.hub.load"):
        with pytest.raises(ValueError, match="is allowed here"):
            check_targets({"model": {"base": {"_target_": f"mine4.{name}"}}}, ["mine4"])


def test_a_refused_module_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap.py").write_text(
        "import pathlib; pathlib.Path(__file__).with_name('executed').touch()\nNet = dict"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = {"model": {"base": {"_target_": "trap.Net"}}}
    with pytest.raises(ValueError, match=r"if you trust that of trap, add 'allow=\[trap\]'"):
        check_targets(config)
    assert not (tmp_path / "executed").exists()
    (tmp_path / "trap.py").write_text("class Net: pass")
    check_targets(config, ["trap"])


def test_a_record_cannot_allow_its_own_code(
    train_one: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trap2.py").write_text("import pathlib; pathlib.Path(__file__).with_name('executed').touch()")
    monkeypatch.syspath_prepend(tmp_path)
    folder = train_one()
    record = json.loads((folder / "run.json").read_text())
    record["config"]["model"]["base"] = {"_target_": "trap2.Net"}
    record["config"]["allow"] = ["trap2"]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="if you trust that of trap2"):
        verify(folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("key", ["study.name", "model.name"])
@pytest.mark.parametrize("name", ["..", "../x", "/etc", "a/b", ".hidden", "", "a\nb", "c:d"])
def test_names_do_not_leave_the_output_folder(key: str, name: str, compose: Callable[..., Config]) -> None:
    raw = plain(compose())
    part, _, leaf = key.partition(".")
    raw[part][leaf] = name
    with pytest.raises(ValueError, match=key):
        read_config(raw)


def archive(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, link
    else:
        info.size = 1
    return info


@pytest.mark.parametrize(
    "members",
    [[member("../outside")], [member("link", "../.."), member("link/outside")], [member("link", "/etc/passwd")]],
)
def test_an_archive_stays_in_its_folder(
    members: list[tarfile.TarInfo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = archive(folder / cifar10_sources.ARCHIVE, *members)
    monkeypatch.setattr(cifar10_sources, "ARCHIVE_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(tarfile.FilterError):
        cifar10_sources._decode_archive(path)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("name", ["run.json", "epochs.csv"])
def test_a_pipe_in_a_run_directory_does_not_block(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    directory = RunDirectory(tmp_path)
    with pytest.raises(ValueError, match="it is not a plain file"):
        directory.read_record() if name == "run.json" else directory.read_epochs()
