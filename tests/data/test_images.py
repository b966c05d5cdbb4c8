import pytest
import torch

from ablate.data.images import ImageData, Split


def test_subset_takes_the_first_of_each_class(digits_data: ImageData) -> None:
    subset = digits_data.subset(3)
    assert subset.train.labels.bincount().tolist() == [3] * 10
    assert subset.test.labels.bincount().tolist() == [3] * 10
    for label in range(10):
        firsts = digits_data.train.images[digits_data.train.labels == label][:3]
        assert torch.equal(subset.train.images[subset.train.labels == label], firsts)


def test_subset_keeps_the_order(digits_data: ImageData) -> None:
    labels = digits_data.train.labels.tolist()
    expected = [label for place, label in enumerate(labels) if labels[:place].count(label) < 2]
    assert digits_data.subset(2).train.labels.tolist() == expected


def test_hold_out_splits_the_training_images(digits_data: ImageData) -> None:
    held = digits_data.hold_out(100)
    assert isinstance(held.train, Split) and isinstance(held.validation, Split)
    assert (len(held.train), len(held.validation), len(held.test)) == (1337, 100, 360)
    parts = [{image.numpy().tobytes() for image in split.images} for split in (held.train, held.validation)]
    assert isinstance(digits_data.train, Split)
    assert parts[0] | parts[1] == {image.numpy().tobytes() for image in digits_data.train.images}
    assert list(held.evaluated) == ["validation", "test"]
    assert list(digits_data.evaluated) == ["test"]


def test_too_much_is_refused(digits_data: ImageData) -> None:
    with pytest.raises(ValueError, match=r"data.subset=1000: digits has only 141"):
        digits_data.subset(1000)
    with pytest.raises(ValueError, match=r"data.validation=1437"):
        digits_data.hold_out(1437)


def sorted_by_class(*counts: int) -> ImageData:
    labels = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    names = tuple(f"class{label}" for label in range(len(counts)))
    return ImageData("mine", Split(images, labels), Split(images, labels), names, (0.5,), (0.2,))


@pytest.mark.parametrize(
    ("counts", "images", "expected"),
    [
        ((10, 10, 10), 9, [3, 3, 3]),
        ((10, 10, 10), 10, [4, 3, 3]),
        ((10, 10, 10), 1, [1, 0, 0]),
        ((40, 15, 5), 12, [8, 3, 1]),
        ((3, 0, 1), 1, [1, 0, 0]),
    ],
)
def test_what_is_held_out_is_of_each_class_its_share(counts: tuple[int, ...], images: int, expected: list[int]) -> None:
    held = sorted_by_class(*counts).hold_out(images)
    assert isinstance(held.train, Split) and isinstance(held.validation, Split)
    assert held.validation.labels.bincount(minlength=len(counts)).tolist() == expected
    pixels = [split.images.flatten().tolist() for split in (held.train, held.validation)]
    assert sorted(pixels[0] + pixels[1]) == list(range(sum(counts)))
    assert pixels == [sorted(part) for part in pixels], "they keep their order"


def test_no_class_is_held_out_as_a_whole() -> None:
    with pytest.raises(ValueError, match=r"data.validation=17: takes all 2 training images of class2; hold out fewer"):
        sorted_by_class(7, 11, 2).hold_out(17)


def test_what_is_held_out_does_not_depend_on_what_was_drawn() -> None:
    data = sorted_by_class(20, 20)
    first = data.hold_out(6)
    torch.manual_seed(1)
    assert data.hold_out(6).digest == first.digest
    assert isinstance(first.validation, Split)
    assert first.validation.images.flatten().tolist() not in ([0, 1, 2, 20, 21, 22], [17, 18, 19, 37, 38, 39])


def test_the_digest_is_that_of_what_a_run_sees(digits_data: ImageData) -> None:
    digests = {digits_data.digest, digits_data.subset(3).digest, digits_data.hold_out(5).digest}
    assert len(digests) == 3


def test_digits() -> None:
    from sklearn.datasets import load_digits

    from ablate.data import digits

    source, data = load_digits(), digits.load()
    images = torch.cat([data.train.images, data.test.images])
    assert images.shape == (1797, 3, 32, 32)
    assert torch.equal(torch.cat([data.train.labels, data.test.labels]), torch.from_numpy(source.target).long())
    small = torch.nn.functional.avg_pool2d(images.double(), 4)[:, 1]  # each pixel was enlarged to 4x4
    assert torch.equal((small * 16 / 255).round(), torch.from_numpy(source.images))
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx([pixels.mean().item()] * 3)
    assert data.std == pytest.approx([pixels.std().item()] * 3)


def test_a_seed_may_draw_what_is_held_out(digits_data: ImageData) -> None:
    of_seed = [digits_data.hold_out(100, seed) for seed in (0, 1, 1)]
    assert of_seed[0].digest == digits_data.hold_out(100).digest
    assert of_seed[1].digest == of_seed[2].digest != of_seed[0].digest
