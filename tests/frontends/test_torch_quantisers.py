"""PyTorch's own quantisers against PyTorch's forward: fake quantisation, PT2E pairs, quantisation-aware training."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import hardwire as hw
from hardwire import frontends
from hardwire.errors import HardwireError
from hardwire.network.reference import forward

torch = pytest.importorskip("torch")
pytest.importorskip("torch.ao.quantization.fx._decomposed")

nn, coded = torch.nn, torch.ops.quantized_decomposed

SCALES = (0.0117, 0.02, 0.0131)


def matches(model, shape: tuple[int, ...] = (4,)) -> None:
    """Import equals PyTorch's float32 forward; the compiled integers equal the import."""
    torch.manual_seed(0)
    model.eval()
    x = torch.randn(60, *shape) * 1.5
    network = frontends.load(model, example=x[:2])
    with torch.no_grad():
        y = model(x).numpy()
    (found,) = forward(network, [x.numpy().astype(np.float64)])
    np.testing.assert_allclose(found, y, rtol=0, atol=2e-6 * np.abs(y).max())
    design = hw.compile(network, backend="emulator")
    np.testing.assert_allclose(design.predict(x.numpy()), found, rtol=1e-13, atol=1e-13)
    widths = [array.params["kernel"] for array in network if "kernel" in array.params]
    assert widths


class Fake(nn.Module):
    def __init__(self, channels: bool, tensors: bool = False) -> None:
        super().__init__()
        self.fc, self.channels, self.tensors = nn.Linear(4, 3), channels, tensors
        self.register_buffer("scale", torch.tensor(0.05))
        self.register_buffer("zero", torch.tensor(3, dtype=torch.int32))
        self.register_buffer("scales", torch.tensor(SCALES))
        self.register_buffer("zeros", torch.zeros(3, dtype=torch.int32))

    def forward(self, x):
        if self.tensors:
            x = torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, 0, 255)
        else:
            x = torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127)
        if self.channels:
            w = torch.fake_quantize_per_channel_affine(self.fc.weight, self.scales, self.zeros, 0, -127, 127)
        else:
            w = torch.fake_quantize_per_tensor_affine(self.fc.weight, 0.0113, 0, -127, 127)
        y = torch.relu(nn.functional.linear(x, w, self.fc.bias))
        if self.channels:
            return torch.fake_quantize_per_channel_affine(y, self.scales, self.zeros, 1, 0, 15)
        return torch.fake_quantize_per_tensor_affine(y, 0.031, 3, 0, 255)


@pytest.mark.parametrize(("channels", "tensors"), [(False, False), (True, False), (True, True)])
def test_fake_quantisation(channels: bool, tensors: bool) -> None:
    matches(Fake(channels, tensors))


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randint(-127, 127, (3, 4), dtype=torch.int8), requires_grad=False)
        self.register_buffer("scales", torch.tensor(SCALES))
        self.register_buffer("zeros", torch.zeros(3, dtype=torch.int64))

    def forward(self, x):
        code = (0.05, 0, -128, 127, torch.int8)
        x = coded.dequantize_per_tensor(coded.quantize_per_tensor(x, *code), *code)
        w = coded.dequantize_per_channel(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        y = nn.functional.linear(x, w)
        code = (0.11371, 2, 0, 255, torch.uint8)
        return coded.dequantize_per_tensor(coded.quantize_per_tensor(y, *code), *code)


def test_pairs_of_pt2e() -> None:
    matches(Pairs())
    network = frontends.load(Pairs().eval(), example=torch.zeros(2, 4))
    assert [node.kind for node in network] == ["quantise", "dense", "quantise"]


def trained(channels: bool):
    """A model of quantisation-aware training, in PyTorch's own graph mode."""
    from torch.ao.quantization import get_default_qat_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_qat_fx

    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = prepare_qat_fx(
            plain, get_default_qat_qconfig_mapping("x86" if channels else "qnnpack"), (torch.ones(2, 4),)
        )
    for _ in range(4):
        model(torch.randn(32, 4))
    return model.eval()


@pytest.mark.parametrize("channels", [False, True])
def test_quantisation_aware_training(channels: bool) -> None:
    model = trained(channels)
    model.apply(torch.ao.quantization.disable_observer)
    matches(model)


def test_observers_must_be_off() -> None:
    model = trained(True)
    with pytest.raises(HardwireError, match="disable_observer"):
        frontends.load(model, example=torch.zeros(2, 4))
