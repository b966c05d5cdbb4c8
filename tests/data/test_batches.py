import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as vision

from ablate.data.batches import Draw, EvaluationBatches, Normalise, TrainingBatches, crop, draw, pad
from ablate.data.images import ImageData

CPU = torch.device("cpu")


@given(
    images=st.integers(1, 6),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    padding=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_crops_and_flips_equal_torchvisions(images: int, height: int, width: int, padding: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 3, height, width), generator=generator, dtype=torch.uint8)
    choice = draw(images, padding, True, seed, epoch=0)
    ours = crop(pad(pixels, padding), choice, padding)
    for place, image in enumerate(choice.order.tolist()):
        top, left = choice.offsets[place].tolist()
        theirs = vision.crop(vision.pad(pixels[image], [padding]), top, left, height, width)
        theirs = vision.hflip(theirs) if choice.flips[place] else theirs
        assert torch.equal(ours[place].permute(2, 0, 1), theirs)


def test_crops_of_more_images_than_one_chunk(monkeypatch: pytest.MonkeyPatch, tiny_data: ImageData) -> None:
    padded = pad(tiny_data.train.images, 2)
    choice = draw(12, 2, True, 0, 0)
    whole = crop(padded, choice, 2)
    monkeypatch.setattr("ablate.data.batches._CHUNK", 5)
    assert torch.equal(whole, crop(padded, choice, 2))


def test_no_augmentation_leaves_the_images(tiny_data: ImageData) -> None:
    choice = draw(12, 0, False, seed=0, epoch=0)
    images = crop(pad(tiny_data.train.images, 0), choice, 0).permute(0, 3, 1, 2)
    assert torch.equal(images, tiny_data.train.images[choice.order])


@pytest.mark.parametrize("channels_last", [True, False])
def test_normalisation_equals_torchvisions(channels_last: bool, tiny_data: ImageData) -> None:
    ours = Normalise(tiny_data, CPU, channels_last)(pad(tiny_data.train.images, 0))
    theirs = vision.normalize(tiny_data.train.images.float() / 255, tiny_data.mean, tiny_data.std)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_an_epoch_shows_every_image_once(tiny_data: ImageData) -> None:
    batches = TrainingBatches(tiny_data.train, 5, padding=0, flip=False, seed=3, device=CPU)
    images, labels = batches.epoch(0)
    assert len(batches) == 3
    assert sorted(labels.tolist()) == sorted(tiny_data.train.labels.tolist())
    order = batches.draw(0).order
    assert sorted(order.tolist()) == list(range(12))
    assert torch.equal(labels, tiny_data.train.labels[order])
    assert torch.equal(images.permute(0, 3, 1, 2), tiny_data.train.images[order])


def test_choices_depend_on_seed_and_epoch_alone() -> None:
    def equal(one: Draw, other: Draw) -> list[bool]:
        return [torch.equal(getattr(one, name), getattr(other, name)) for name in ("order", "offsets", "flips")]

    first = draw(1000, 4, True, seed=0, epoch=0)
    torch.rand(10)
    assert equal(first, draw(1000, 4, True, 0, 0)) == [True, True, True]
    assert equal(first, draw(1000, 4, True, 1, 0)) == [False, False, False]
    assert equal(first, draw(1000, 4, True, 0, 1)) == [False, False, False]
    assert equal(first, draw(1000, 4, False, 0, 0)) == [True, True, False]


def test_choices_are_spread_evenly() -> None:
    choice = draw(90_000, 4, True, seed=0, epoch=0)
    for offsets in choice.offsets.unbind(1):
        counts = offsets.bincount(minlength=9)
        assert counts.min() > 9_600  # 10,000 expected, four standard deviations are 377
        assert counts.max() < 10_400
    assert 0.49 < choice.flips.float().mean() < 0.51


def test_evaluation_batches_are_the_split_in_order(tiny_data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvaluationBatches, "BATCH_SIZE", 4)
    images, labels = zip(*EvaluationBatches(tiny_data.test, CPU), strict=True)
    assert [len(batch) for batch in images] == [4, 2]
    assert torch.equal(torch.cat(images).permute(0, 3, 1, 2), tiny_data.test.images)
    assert torch.equal(torch.cat(labels), tiny_data.test.labels)
