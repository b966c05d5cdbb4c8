from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ablate.config.schema import Config
from ablate.data import arrays
from ablate.data.images import Split
from ablate.runs.prepare import load_data

Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def given() -> Arrays:
    random = np.random.default_rng(0)
    return {
        "train_images": random.integers(0, 256, (20, 16, 12, 3), dtype=np.uint8),
        "train_labels": np.arange(20) % 4,
        "test_images": random.integers(0, 256, (8, 16, 12, 3), dtype=np.uint8),
        "test_labels": np.arange(8) % 4,
    }


def test_a_file_of_arrays(given: Arrays, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **given)
    data = arrays.load(str(tmp_path / "mine.npz"))
    assert isinstance(data.train, Split)
    assert (data.name, data.train.shape, len(data.test), data.classes) == ("mine", (3, 16, 12), 8, ("0", "1", "2", "3"))
    assert np.array_equal(data.train.images.permute(0, 2, 3, 1).numpy(), given["train_images"])
    scaled = given["train_images"] / 255
    assert data.mean == pytest.approx(scaled.mean((0, 1, 2)))
    assert data.std == pytest.approx(scaled.std((0, 1, 2)))


@pytest.mark.parametrize("shape", [(20, 16, 12), (20, 1, 16, 12), (20, 16, 12, 1), (20, 3, 16, 12)])
def test_channels_may_be_missing_first_or_last(shape: tuple[int, ...], given: Arrays) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = arrays.from_arrays(given | {"train_images": images, "test_images": images[:8]}, "mine")
    assert data.train.shape == (3 if 3 in shape else 1, 16, 12)


def test_a_channel_of_one_value_has_nothing_to_divide_by(given: Arrays) -> None:
    for part in ("train_images", "test_images"):
        given[part][..., 1] = 7
    data = arrays.from_arrays(given, "mine")
    assert data.mean[1] == pytest.approx(7 / 255) and data.std[1] == 1.0 and data.std[0] < 1.0


@pytest.mark.parametrize("value", [(0,), (255,), (128,), (3, 5, 8)])
def test_constant_training_images_are_refused(value: tuple[int, ...], given: Arrays, tmp_path: Path) -> None:
    given["train_images"] = np.zeros((20, 16, 12, len(value)), np.uint8) + np.array(value, np.uint8)
    given["test_images"] = given["test_images"][..., : len(value)]
    np.savez(tmp_path / "flat.npz", **given)
    said = ", ".join(map(str, value))
    with pytest.raises(ValueError, match=rf"flat.npz: all pixels of all training images are {said}, so nothing can"):
        arrays.load(str(tmp_path / "flat.npz"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_labels": None}, "mine: there is no array test_labels; a data set has train_images, "),
        ({"train_images": np.zeros((20, 4, 4))}, "mine: train_images: must be uint8, 0 to 255; it is float64"),
        ({"train_images": np.zeros((20, 2, 4, 4), np.uint8)}, r"mine: train_images: shape \(20, 2, 4, 4\) is not"),
        ({"train_labels": np.zeros(20)}, "mine: train_labels: must be whole numbers"),
        ({"train_labels": np.zeros(19, int)}, "mine: train_labels: must be whole numbers, one for each image"),
        ({"train_labels": np.full(20, -1)}, "mine: train_labels: -1 is not a label"),
        ({"train_labels": np.array(["a"] * 20)}, "mine: train_labels: is not an array of numbers"),
        ({"train_images": np.array([None] * 20)}, "mine: train_images: is not an array of numbers"),
        ({"classes": ["a", "b", "a", "c"]}, "mine: two of its classes are called 'a'"),
        ({"classes": [1, "1", 2, 3]}, "mine: two of its classes are called '1'"),
        ({"classes": ["a", "b"]}, "mine: classes names 2, and there are labels up to 3"),
        ({"test_images": np.zeros((8, 4, 4), np.uint8)}, "they must agree"),
    ],
)
def test_what_is_no_data_set_is_named(changes: dict[str, Any], message: str, given: Arrays) -> None:
    changed = {name: value for name, value in {**given, **changes}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        arrays.from_arrays(changed, "mine")


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("no")
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    np.savez(tmp_path / "cut.npz", a=np.zeros(1000))
    content = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[:30] + b"x" * 50 + content[80:])
    for name in ("x.npz", "missing.npz", "array.npz", "cut.npz"):
        with pytest.raises(ValueError, match=rf"data.path={tmp_path}/{name}: cannot be read"):
            arrays.load(str(tmp_path / name))


def test_a_function_of_the_users(
    given: Arrays, compose: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_arrays.py").write_text(
        "import numpy as np\n"
        "def load(levels):\n"
        "    images = np.full((6, 8, 8), levels, np.uint8)\n"
        "    images[:, 0, 0] = 1\n"
        "    labels = np.arange(6) % 2\n"
        "    return dict(train_images=images, train_labels=labels, test_images=images, test_labels=labels)\n"
        "def nothing():\n"
        "    return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    cfg = compose("data=function", "data._target_=my_arrays.load", "+data.arguments.levels=7")
    data = load_data(cfg.data, 0)
    assert isinstance(data.train, Split)
    assert torch.equal(data.train.images[:, :, 1:], torch.full((6, 1, 7, 8), 7, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"data._target_=my_arrays.nothing: returned a int; expected a mapping"):
        load_data(compose("data=function", "data._target_=my_arrays.nothing").data, 0)
