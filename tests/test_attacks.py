"""What others send is data: nothing in it is run, and nothing leaves its folder."""

import hashlib
import io
import json
import os
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.commands.verify import verify
from ablate.config.schema import Config
from ablate.config.targets import check_targets
from ablate.config.validation import validate
from ablate.data import cifar10_sources
from ablate.records.run_directory import RunDirectory
from ablate.runs.prepare import prepare
from ablate.training.checkpoint import resume


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
    cfg = compose()
    part, _, leaf = key.partition(".")
    setattr(getattr(cfg, part), leaf, name)
    with pytest.raises(ValueError, match=key):
        validate(cfg)


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
