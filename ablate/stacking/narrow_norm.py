"""Batch normalisation of few channels, for which torch's own on the CPU leaves most vector lanes empty."""

from typing import Any

import torch
from torch import Tensor

_ROWS = 4  # images' pixels side by side: their channels together fill the lanes
_MOST_CHANNELS = 15


def fits(x: Tensor) -> bool:
    """Whether images have few enough channels, last in memory, on the CPU."""
    return (
        x.device.type == "cpu"
        and x.dim() == 4
        and x.shape[1] <= _MOST_CHANNELS
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() % (_ROWS * x.shape[1]) == 0
    )


def narrow_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Returns normalised images, and the mean and the variance (of the batch, not corrected) of each channel.

    Equal to `torch.nn.functional.batch_norm` in training up to rounding, for images that `fits`.
    """
    rows, mean, variance = _NarrowNorm.apply(x, weight, bias, eps)
    return _images(rows, x.shape), mean, variance  # a view made here, which a layer may change in place


class _NarrowNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        rows = _rows(x)
        count = rows.numel() // x.shape[1]
        mean = _sum(rows) / count
        centred = rows - mean.repeat(_ROWS)
        variance = _sum(centred.square()) / count
        scale = torch.rsqrt(variance + eps)
        y = torch.addcmul(bias.repeat(_ROWS), centred, (scale * weight).repeat(_ROWS))
        ctx.shape = x.shape
        ctx.save_for_backward(centred, scale, weight)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        # S. Ioffe and C. Szegedy, "Batch Normalization", 2015, section 3.
        centred, scale, weight = ctx.saved_tensors
        rows = gradient.contiguous()
        count = rows.numel() // len(weight)
        of_bias, of_scale = _sum(rows), _sum(rows * centred)
        of_x = torch.addcmul(rows, centred, (-scale.square() * of_scale / count).repeat(_ROWS))
        of_x.sub_((of_bias / count).repeat(_ROWS)).mul_((scale * weight).repeat(_ROWS))
        return _images(of_x, ctx.shape), of_scale * scale, of_bias, None


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(-1, _ROWS * x.shape[1])


def _images(rows: Tensor, shape: torch.Size) -> Tensor:
    images, channels, height, width = shape
    return rows.view(images, height, width, channels).permute(0, 3, 1, 2)


def _sum(rows: Tensor) -> Tensor:
    """Returns the sum over all pixels, by channel."""
    return rows.sum(0).view(_ROWS, -1).sum(0)
