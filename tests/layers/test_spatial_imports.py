"""Spatial layers of PyTorch and Keras, from live models, against the frameworks' own forward."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from hardwire.frontends import load
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")
kl = keras.layers


def _agree(network, x, expected):
    for net in (network, prepare(network)):
        (y,) = forward(net, [x.astype(np.float64)])
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=2e-4, atol=1e-4)


def _torch(module, shape):
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    module = module.eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    _agree(load(module, example=x[:1]), x, expected)


def _interpolated(**given):
    class Net(nn.Module):
        def forward(self, x):
            return nn.functional.interpolate(x, **given)

    return Net()


def _padded(pad, **given):
    class Net(nn.Module):
        def forward(self, x):
            return nn.functional.pad(x, pad, **given)

    return Net()


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2), (2, 9)),
        (nn.Conv2d(2, 3, (3, 2), padding="same", dilation=(1, 2)), (2, 5, 6)),
        (nn.Conv2d(2, 4, 2, stride=(2, 1), padding=(1, 0), bias=False), (2, 5, 4)),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (2, 4, 4)),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), (2, 4, 4)),
        (nn.Conv3d(1, 2, 2), (1, 3, 3, 2)),
        (nn.Conv2d(2, 2, 3, padding="valid"), (2, 4, 4)),
        (nn.ConvTranspose1d(2, 4, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4)),
        (nn.ConvTranspose2d(2, 3, (2, 3), stride=(3, 1), dilation=(1, 2)), (2, 3, 2)),
        (nn.MaxPool1d(3, stride=2, padding=1, dilation=1, ceil_mode=True), (2, 8)),
        (nn.MaxPool2d((2, 3), stride=(1, 2), dilation=(2, 1)), (2, 5, 6)),
        (nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), (2, 6, 5)),
        (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (2, 6, 5)),
        (nn.AvgPool2d(2, divisor_override=3), (2, 4, 4)),
        (nn.AvgPool3d(2), (1, 2, 4, 2)),
        (nn.AdaptiveAvgPool2d((1, 1)), (2, 4, 3)),
        (nn.AdaptiveAvgPool2d((2, None)), (2, 4, 3)),
        (nn.AdaptiveMaxPool1d(2), (2, 6)),
        (nn.ZeroPad2d((1, 2, 0, 1)), (2, 3, 3)),
        (nn.ConstantPad1d((1, 2), 0.5), (2, 3)),
        (nn.ReflectionPad2d((1, 2, 0, 1)), (2, 3, 3)),
        (nn.ReplicationPad1d((1, 2)), (2, 3)),
        (_padded((1, -1, 2, 0)), (2, 3, 3)),
        (_padded((1, 1), mode="circular"), (2, 3)),
        (nn.Upsample(scale_factor=2), (2, 3, 2)),
        (nn.UpsamplingBilinear2d(scale_factor=2), (2, 3, 2)),
        (_interpolated(size=(5, 4), mode="bilinear", align_corners=True), (2, 3, 2)),
        (_interpolated(scale_factor=1.5, mode="bilinear"), (2, 3, 3)),
        (_interpolated(scale_factor=2.0, mode="bicubic"), (1, 3, 3)),
        (_interpolated(size=7, mode="linear"), (2, 3)),
        (_interpolated(size=5, mode="nearest-exact"), (2, 3)),
    ],
    ids=str,
)
def test_torch_layer(module, shape):
    """One layer, with every argument it has."""
    _torch(module, shape)


def test_torch_stack():
    """Batch normalisation behind each convolution folds into it, channels first as they are."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 2, stride=2),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Linear(128, 3),
    )
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    _torch(net, (1, 12, 12))
    prepared = prepare(load(net.eval(), example=np.zeros((1, 1, 12, 12), np.float32)))
    assert not [node.name for node in prepared if node.kind == "batch_norm"]


def test_torch_residual():
    """Transposes meet and cancel through batch normalisation, ReLU and a shared branch."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 3, 3, padding=1)
            self.second = nn.Conv2d(3, 3, 3, padding=1)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return torch.relu(self.norm(self.second(x)) + x)

    torch.manual_seed(0)
    _torch(Net(), (1, 5, 4))
    prepared = prepare(load(Net().eval(), example=np.zeros((1, 1, 5, 4), np.float32)))
    assert [node.kind for node in prepared if node.kind in ("transpose", "batch_norm")] == ["transpose", "transpose"]


def test_torch_adaptive_windows_of_unequal_sizes():
    _torch(nn.AdaptiveAvgPool2d(3), (1, 5, 7))
    _torch(nn.AdaptiveMaxPool1d(4), (2, 6))


_KERAS = [
    (lambda: kl.Conv1D(3, 3, strides=2, padding="same", activation="relu"), (8, 2)),
    (lambda: kl.Conv1D(3, 3, padding="causal", dilation_rate=2), (8, 2)),
    (lambda: kl.Conv2D(4, (3, 2), strides=(2, 1), padding="same", groups=2), (6, 5, 2)),
    (lambda: kl.Conv2D(4, 3, dilation_rate=2, use_bias=False), (6, 5, 2)),
    (lambda: kl.Conv3D(2, 2), (3, 3, 2, 1)),
    (lambda: kl.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2), (5, 6, 3)),
    (lambda: kl.DepthwiseConv1D(3), (6, 2)),
    (lambda: kl.SeparableConv2D(4, 3, depth_multiplier=2, padding="same", activation="relu"), (5, 4, 2)),
    (lambda: kl.SeparableConv1D(4, 3), (5, 2)),
    (lambda: kl.Conv1DTranspose(2, 3, strides=2), (4, 3)),
    (lambda: kl.Conv1DTranspose(2, 2, strides=3), (4, 3)),
    (lambda: kl.Conv2DTranspose(2, 3, strides=2, padding="same"), (4, 3, 2)),
    (lambda: kl.Conv2DTranspose(2, (2, 3), strides=2, padding="same", output_padding=1), (4, 3, 2)),
    (lambda: kl.MaxPooling2D(2), (4, 5, 2)),
    (lambda: kl.MaxPooling1D(3, strides=2, padding="same"), (8, 2)),
    (lambda: kl.AveragePooling2D((2, 3), strides=1), (4, 5, 2)),
    (lambda: kl.AveragePooling2D(3, strides=1, padding="same"), (4, 5, 2)),
    (lambda: kl.GlobalMaxPooling1D(), (5, 2)),
    (lambda: kl.GlobalAveragePooling2D(keepdims=True), (4, 3, 2)),
    (lambda: kl.GlobalAveragePooling2D(), (4, 3, 2)),
    (lambda: kl.ZeroPadding2D(((1, 0), (2, 1))), (3, 3, 2)),
    (lambda: kl.ZeroPadding1D((2, 1)), (3, 2)),
    (lambda: kl.Cropping2D(((1, 0), (0, 1))), (4, 3, 2)),
    (lambda: kl.Cropping1D(1), (4, 2)),
    (lambda: kl.UpSampling2D((2, 3)), (3, 2, 2)),
    (lambda: kl.UpSampling2D(2, interpolation="bilinear"), (3, 2, 2)),
    (lambda: kl.UpSampling1D(3), (3, 2)),
]


@pytest.mark.parametrize("number", range(len(_KERAS)))
def test_keras_layer(number, tmp_path):
    """One layer in a saved model."""
    make, shape = _KERAS[number]
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = keras.Sequential([keras.Input(shape), make()])
        for variable in model.weights:
            variable.assign(rng.normal(size=variable.shape))
        x = rng.normal(size=(3, *shape)).astype(np.float32)
        expected = model(x, training=False).detach().numpy()
        model.save(tmp_path / "m.keras")
    _agree(load(tmp_path / "m.keras"), x, expected)
