import pytest
import torch

from ablate.data.images import ImageData


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


def test_hold_out_takes_the_last_training_images(digits_data: ImageData) -> None:
    held = digits_data.hold_out(100)
    assert held.validation is not None
    assert (len(held.train), len(held.validation), len(held.test)) == (1337, 100, 360)
    assert torch.equal(torch.cat([held.train.images, held.validation.images]), digits_data.train.images)
    assert list(held.evaluated) == ["validation", "test"]
    assert list(digits_data.evaluated) == ["test"]


def test_too_much_is_refused(digits_data: ImageData) -> None:
    with pytest.raises(ValueError, match=r"data.subset=1000: digits has only 141"):
        digits_data.subset(1000)
    with pytest.raises(ValueError, match=r"data.validation=1437"):
        digits_data.hold_out(1437)


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
