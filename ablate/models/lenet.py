"""LeNet-5 for images of 32x32 pixels."""

from collections import OrderedDict

from torch import nn


def lenet5(num_classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """Returns LeNet-5 with ReLU and max-pooling, its layers named as in the first study's source.

    After Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998. It makes
    log-probabilities, shape (images, num_classes), of images, shape (images, in_channels, 32, 32).
    """
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(in_channels, 6, 5),
            relu1=nn.ReLU(),
            s2=nn.MaxPool2d(2),
            c3=nn.Conv2d(6, 16, 5),
            relu3=nn.ReLU(),
            s4=nn.MaxPool2d(2),
            c5=nn.Conv2d(16, 120, 5),
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),
            f6=nn.Linear(120, 84),
            relu6=nn.ReLU(),
            f7=nn.Linear(84, num_classes),
            sig7=nn.LogSoftmax(dim=1),
        )
    )
