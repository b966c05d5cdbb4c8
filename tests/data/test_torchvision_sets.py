"""torchvision's data sets in their real file formats, small."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from ablate.data import torchvision_sets
from ablate.data.images import ImageData, Split

RANDOM = np.random.default_rng(0)
LABELS = np.arange(12) % 10


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests are of the official files."""
    for kind in (datasets.CIFAR10, datasets.SVHN, datasets.STL10):
        monkeypatch.setattr(kind, "_check_integrity", lambda _: True)
    for module in ("cifar", "svhn", "stl10"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda *_: True)


def idx(array: np.ndarray) -> bytes:
    """The format of MNIST's files: type, dimensions, sizes, values."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, name: str) -> np.ndarray:
    images = RANDOM.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(LABELS.astype(np.uint8)))
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(idx(images))
    return images


def write_svhn(root: Path) -> np.ndarray:
    images = RANDOM.integers(0, 256, (32, 32, 3, 12), dtype=np.uint8)
    for part in ("train", "test"):
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": np.where(LABELS == 0, 10, LABELS)[:, None]})
    return images.transpose(3, 2, 0, 1)


def write_stl10(root: Path) -> np.ndarray:
    images = RANDOM.integers(0, 256, (12, 3, 96, 96), dtype=np.uint8)
    folder = root / "stl10_binary"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())  # columns first
        (folder / f"{part}_y.bin").write_bytes((LABELS + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("".join(f"class{number}\n" for number in range(10)))
    return images


def write_cifar100(root: Path) -> np.ndarray:
    images = RANDOM.integers(0, 256, (12, 3072), dtype=np.uint8)
    folder = root / "cifar-100-python"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / part).write_bytes(pickle.dumps({"data": images, "fine_labels": LABELS.tolist()}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class{number}" for number in range(100)]}))
    return images.reshape(12, 3, 32, 32)


def load(name: str, root: Path, size: int | None = None) -> tuple[ImageData, np.ndarray]:
    data = torchvision_sets.load(name, str(root), size)
    assert isinstance(data.train, Split)
    assert data.train.labels.tolist() == LABELS.tolist()
    return data, data.train.images.numpy()


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_mnists_digits_get_a_border(name: str, tmp_path: Path) -> None:
    written = write_mnist(tmp_path, name)
    data, images = load(name, tmp_path, 32)
    assert np.array_equal(images[:, 0, 2:30, 2:30], written)
    assert images.sum() == written.sum()
    assert len(data.classes) == 10
    assert data.mean == pytest.approx((images / 255).mean())


@pytest.mark.usefixtures("unchecked")
def test_svhns_tens_are_zeros(tmp_path: Path) -> None:
    written = write_svhn(tmp_path)
    data, images = load("SVHN", tmp_path)
    assert np.array_equal(images, written)
    assert data.classes == tuple("0123456789")


@pytest.mark.usefixtures("unchecked")
def test_stl10_can_be_shrunk(tmp_path: Path) -> None:
    written = write_stl10(tmp_path)
    data, images = load("STL10", tmp_path)
    assert np.array_equal(images, written) and data.classes[0] == "class0"
    data, images = load("STL10", tmp_path, 32)
    assert data.train.shape == (3, 32, 32)
    # What shrinks a picture to a third takes means of neighbours: the mean of all stays.
    assert images.mean() == pytest.approx(written.mean(), abs=0.5)


@pytest.mark.usefixtures("unchecked")
def test_cifar100(tmp_path: Path) -> None:
    written = write_cifar100(tmp_path)
    data, images = load("CIFAR100", tmp_path)
    assert np.array_equal(images, written)
    assert len(data.classes) == 100


def test_a_folder_without_it_is_named(tmp_path: Path) -> None:
    for name in ("MNIST", "CIFAR100", "SVHN", "STL10"):
        with pytest.raises(ValueError, match=rf"data.root={tmp_path}: does not hold {name}"):
            torchvision_sets.load(name, str(tmp_path))
    with pytest.raises(ValueError, match=r"data.dataset=ImageNet: choose from MNIST"):
        torchvision_sets.load("ImageNet")


def test_a_download_that_fails_says_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(ValueError, match=r"MNIST cannot be downloaded: [\s\S]*set data.root=FOLDER"):
        torchvision_sets.load("MNIST")


@pytest.mark.usefixtures("unchecked")
def test_shrunk_images_are_torchvisions(tmp_path: Path) -> None:
    written = write_stl10(tmp_path)
    _, images = load("STL10", tmp_path, 48)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(written).float(), (48, 48), mode="bilinear", antialias=True, align_corners=False
    )
    assert np.abs(images - expected.round().numpy()).max() <= 1
