from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.data import folder
from ablate.data.batches import EvaluationBatches, TrainingBatches
from ablate.data.images import Split, StreamedSplit
from ablate.records.run_directory import RunDirectory

CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of PNG files, 10 pixels by 8."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (8, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / part / name / f"{number:02}.png")
    return tmp_path / "pets"


def test_images_by_class(images: Path) -> None:
    data = folder.load(str(images), size=8)
    assert isinstance(data.train, Split)
    assert (data.name, data.classes, data.train.shape) == ("pets", ("cat", "dog"), (3, 8, 8))
    assert (len(data.train), len(data.test)) == (24, 8)
    assert data.train.labels.tolist() == [0] * 12 + [1] * 12
    first = np.asarray(Image.open(images / "train" / "cat" / "00.png"))[:, 1:9]  # the middle
    assert np.array_equal(data.train.images[0].permute(1, 2, 0).numpy(), first)
    scaled = data.train.images.double() / 255
    assert data.mean == pytest.approx(scaled.mean((0, 2, 3)).tolist())
    assert data.std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist())


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_those_of_the_memory(images: Path, workers: int) -> None:
    held = folder.load(str(images), size=8)
    streamed = folder.load(str(images), size=8, stream=True, workers=workers)
    assert isinstance(streamed.train, StreamedSplit)
    assert (held.mean, held.std, held.digest) == (streamed.mean, streamed.std, streamed.digest)
    state = torch.get_rng_state()
    for epoch in (0, 1):
        batches = []
        for data in (held, streamed):
            pixels, labels = TrainingBatches(data.train, 5, 2, True, 3, CPU).epoch(epoch)
            batches.append((torch.cat([*pixels.split(5)]), labels))
        torch.testing.assert_close(*batches, rtol=0, atol=0)
    evaluated = [[*EvaluationBatches(data.test, CPU)] for data in (held, streamed)]
    torch.testing.assert_close(*evaluated, rtol=0, atol=0)
    assert torch.equal(state, torch.get_rng_state())


def test_a_part_of_it_is_streamed(images: Path) -> None:
    for change in (lambda data: data.subset(3), lambda data: data.hold_out(5)):
        held, streamed = (change(folder.load(str(images), size=8, stream=stream)) for stream in (False, True))
        assert held.digest == streamed.digest
        assert torch.equal(torch.cat([*held.train.chunks()]), torch.cat([*streamed.train.chunks()]))


def test_a_changed_file_is_other_data(images: Path) -> None:
    before = folder.load(str(images), size=8, stream=True)
    digest, mean = before.digest, before.mean
    Image.fromarray(np.zeros((8, 10, 3), np.uint8)).save(images / "train" / "dog" / "03.png")
    after = folder.load(str(images), size=8, stream=True)
    assert after.digest != digest and after.mean != mean


def test_a_run_is_the_same_streamed(images: Path, train_one: Callable[..., Path]) -> None:
    chosen = ("data=folder", f"data.path={images}", "train.batch_size=10", "data.subset=null", "model=dropout")
    chosen += ("model.base.num_classes=2",)
    rows = [
        RunDirectory(train_one(*chosen, f"data.stream={stream}", folder=str(stream))).read_epochs()
        for stream in (False, True)
    ]
    results = [[{k: v for k, v in row.items() if "second" not in k} for row in part] for part in rows]
    assert results[0] == results[1]
    assert all(row["data_seconds"] > 0 for row in rows[1])


def test_what_is_no_such_folder_is_said(images: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no .*/nothing/train; images are expected in train/CLASS/FILE"):
        folder.load(str(images / "nothing"))
    (images / "test" / "bird").mkdir()
    Image.new("RGB", (8, 8)).save(images / "test" / "bird" / "0.png")
    with pytest.raises(ValueError, match="bird is not a class of both training and test images"):
        folder.load(str(images))


def test_a_file_that_is_no_image_is_named(images: Path) -> None:
    (images / "train" / "cat" / "zz.png").write_text("no image")
    with pytest.raises(ValueError, match=r"zz.png: cannot be read as an image"):
        folder.load(str(images), workers=0)
