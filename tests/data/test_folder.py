import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
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


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("content", [b"no image", b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"P5 4 4 255\n1"])
def test_every_error_names_its_file_in_one_line(content: bytes, workers: int, images: Path) -> None:
    (images / "train" / "cat" / "zz.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"zz.png: cannot be read as an image") as error:
        folder.load(str(images), workers=workers)
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("limit", [10, 79])  # what Pillow refuses, and what it warns of
def test_an_image_too_large_to_open_is_named(limit: int, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # an image has 80 pixels
    with pytest.raises(ValueError, match=r"cat/00.png: cannot be read as an image: Image size \(80 pixels\) exceeds"):
        folder.load(str(images), workers=0)


GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
ON_WHITE = np.concatenate([255 - GREY[:, :8], GREY[:, 8:]], axis=1)


def transparent(mode: str) -> Image.Image:
    """Grey; its left half black, with grey as its alpha."""
    picture = Image.fromarray(GREY).convert(mode)
    picture.paste(Image.new(mode, (8, 16)), (0, 0))
    alpha = Image.new("L", (16, 16), 255)
    alpha.paste(Image.fromarray(GREY[:, :8].copy()), (0, 0))
    picture.putalpha(alpha)
    return picture


@pytest.mark.parametrize(
    ("picture", "suffix", "expected"),
    [
        (Image.fromarray(GREY.astype(np.uint16) * 257), "png", GREY),
        (Image.fromarray((GREY.astype(int) * 257 + 128).clip(max=65535).astype(np.uint16)), "png", GREY),  # rounded
        (Image.fromarray(GREY.astype(np.uint16) * 257), "tif", GREY),
        (Image.fromarray(GREY), "png", GREY),
        (Image.fromarray(GREY > 99), "png", np.where(GREY > 99, 255, 0)),
        (Image.fromarray(GREY).convert("P"), "png", GREY),
        (Image.fromarray(GREY).convert("RGB").convert("CMYK"), "tif", GREY),
        (Image.fromarray(GREY).convert("RGBA"), "png", GREY),
        (transparent("L"), "png", ON_WHITE),
        (transparent("RGB"), "png", ON_WHITE),
        (transparent("RGB"), "tif", ON_WHITE),
        (Image.fromarray(GREY.astype(np.int32) * 2**22), "tif", None),
        (Image.fromarray((GREY / 255).astype(np.float32)), "tif", None),
    ],
)
def test_an_image_is_what_it_looks_like_or_refused(
    picture: Image.Image, suffix: str, expected: NDArray[Any] | None, tmp_path: Path
) -> None:
    path = tmp_path / f"x.{suffix}"
    picture.save(path)
    if expected is None:
        with pytest.raises(ValueError, match="have no known black and white; save it with 8 bits"):
            folder.read_image(path)
        return
    got = folder.read_image(path).numpy()
    assert got.dtype == np.uint8 and got.shape == (3, 16, 16)
    assert np.abs(got.astype(int) - expected).max() <= (1 if expected is ON_WHITE else 0)


def test_a_palette_with_a_transparent_colour_stands_on_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((0, 0), 0)
    picture.save(tmp_path / "x.png", transparency=0)
    got = folder.read_image(tmp_path / "x.png")
    assert got[:, 0, 0].tolist() == [255, 255, 255] and got[:, 1, 1].tolist() == [200, 100, 50]


def test_16_bit_images_are_told_apart(images: Path) -> None:
    """Two classes that differ, and that clipping at 255 would make equally white."""
    for part in ("train", "test"):
        for level, name in ((20_000, "cat"), (50_000, "dog")):
            for file in (images / part / name).glob("*.png"):
                Image.fromarray(np.full((8, 8), level, np.uint16)).save(file)
    data = folder.load(str(images), size=8, workers=0)
    assert isinstance(data.train, Split)
    assert {*data.train.images[data.train.labels == 0].flatten().tolist()} == {78}
    assert {*data.train.images[data.train.labels == 1].flatten().tolist()} == {195}


@pytest.mark.parametrize(
    "path",
    [
        ".ipynb_checkpoints/a.png", "__MACOSX/cat/._00.png", "cat/.ipynb_checkpoints/00-checkpoint.png", "cat/._00.png",
        "@eaDir/x.png", "dog/@eaDir/00.png", ".DS_Store", "cat/Thumbs.db", "cat/.hidden.png",
    ],
)  # fmt: skip
def test_hidden_files_and_folders_are_no_data(path: str, images: Path) -> None:
    before = folder.load(str(images), size=8, workers=0)
    for part in ("train", "test"):
        file = images / part / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images / "train" / "cat" / "00.png", file)
    after = folder.load(str(images), size=8, workers=0)
    assert (after.classes, after.digest, after.mean) == (before.classes, before.digest, before.mean)


def test_a_set_in_a_hidden_folder_is_not_hidden(images: Path) -> None:
    assert len(folder.load(str(images.rename(images.with_name(".pets"))), size=8, workers=0).train) == 24


def test_constant_images_are_refused(images: Path) -> None:
    for file in (images / "train").rglob("*.png"):
        Image.new("RGB", (8, 8), (9, 9, 9)).save(file)
    for _ in range(2):  # nothing is kept of a refused set
        with pytest.raises(ValueError, match=rf"data.path={images}: all pixels of all training images are 9, 9, 9"):
            folder.load(str(images), size=8, workers=0)


def test_a_file_replaced_within_its_size_and_time_is_other_data(images: Path) -> None:
    for part, value in ((images / "train", 1), (images / "test", 2)):
        Image.new("RGB", (8, 8), (value, 0, 0)).save(part / "cat" / "00.bmp")
    file = images / "train" / "cat" / "00.bmp"  # which all have one size
    before, state = folder.load(str(images), size=8, stream=True, workers=0).digest, file.stat()
    Image.new("RGB", (8, 8), (3, 0, 0)).save(file)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file.stat().st_size == state.st_size
    assert folder.load(str(images), size=8, stream=True, workers=0).digest != before


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_a_photo_is_turned_as_its_orientation_says(kind: str, images: Path) -> None:
    pixels = np.full((16, 16, 3), 255, dtype=np.uint8)
    pixels[:8] = 0  # the upper half is black
    file = images / "train" / "cat" / f"photo.{kind}"
    exif = Image.Exif()
    for orientation, dark in ((1, "top"), (3, "bottom"), (6, "right"), (8, "left")):
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(file, exif=exif)
        image = folder.read_image(file).double().mean(0)
        halves = {"top": image[:8], "bottom": image[8:], "left": image[:, :8], "right": image[:, 8:]}
        assert min(halves, key=lambda half: float(halves[half].mean())) == dark
        assert float(halves[dark].mean()) < 20


def test_a_16_bit_photo_is_turned_too(images: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    file = images / "train" / "cat" / "turned.png"
    Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)).save(file, exif=exif)
    assert folder.read_image(file)[0].tolist() == [[255, 0]]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_a_file_of_several_frames_is_named(kind: str, workers: int, images: Path) -> None:
    file = images / "test" / "dog" / f"moving.{kind}"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    frames[0].save(file, save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=rf"moving\.{kind}: cannot be read as an image: it has 3 frames; save the one"):
        folder.load(str(images), size=8, workers=workers)


def test_a_photo_with_a_preview_is_read(images: Path) -> None:
    file = images / "test" / "dog" / "photo.jpg"
    photo, preview = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (4, 4), "black")
    photo.save(file, format="MPO", save_all=True, append_images=[preview])
    assert folder.read_image(file).tolist() == torch.full((3, 8, 8), 255).tolist()
