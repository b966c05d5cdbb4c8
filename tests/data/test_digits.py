import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from ablate.data.images import ImageData


def test_they_are_scikit_learns(digits_data: ImageData) -> None:
    theirs = load_digits()
    grey = (torch.from_numpy(theirs.images) * 255 / 16).round().unsqueeze(1)
    images = torch.cat([digits_data.train.images, digits_data.test.images])
    assert torch.equal(images.double(), interpolate(grey, scale_factor=4).expand(-1, 3, -1, -1))
    assert [*digits_data.train.labels, *digits_data.test.labels] == theirs.target.tolist()
    assert digits_data.classes == tuple(str(name) for name in theirs.target_names)
