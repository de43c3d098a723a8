"""Recipe of `models.zip`: small Brevitas networks as QONNX and QCDQ with Brevitas' own answers.

Brevitas has an environment of its own: pip install torch==2.13.0 brevitas==0.13.4 onnx onnxscript onnxoptimizer; then
`python make_models.py` in this folder. Every model is named NETWORK_FORMAT.onnx, inputs and outputs NETWORK.npz.
"""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import brevitas.nn as qnn
import brevitas.quant as bq
import numpy as np
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from torch import nn

ROWS = 24


def linear(i: int = 6, o: int = 4, weight: type = bq.Int8WeightPerTensorFloat, **options: object) -> nn.Module:
    return qnn.QuantLinear(i, o, bias=True, weight_quant=weight, **options)


def identity(bits: int = 8, **options: object) -> nn.Module:
    return qnn.QuantIdentity(bit_width=bits, **options)


def relu(bits: int = 4, **options: object) -> nn.Module:
    return qnn.QuantReLU(bit_width=bits, **options)


def act(quantiser: type, **options: object) -> nn.Module:
    return qnn.QuantIdentity(act_quant=quantiser, **options)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.r = identity(return_quant_tensor=True), relu(8, return_quant_tensor=True)
        self.a = linear(6, 6)
        kind = bq.Int8ActPerTensorFloat
        self.add = qnn.QuantEltwiseAdd(input_quant=kind, output_quant=kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.q(x)
        return self.add(x, self.r(self.a(x)))


KEEP = {"return_quant_tensor": True}
CHANNELS = {
    "scaling_per_output_channel": True,
    "per_channel_broadcastable_shape": (1, 2, 1, 1),
    "scaling_stats_permute_dims": (1, 0, 2, 3),
}
PER_CHANNEL = bq.Int8WeightPerChannelFloat
TERNARY, BINARY = bq.SignedTernaryWeightPerTensorConst, bq.SignedBinaryWeightPerTensorConst

NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[], list[nn.Module]]]] = {
    "int8": ((6,), lambda: [identity(), linear(), relu(8), linear(4, 3), identity()]),
    "open_end": ((6,), lambda: [identity(), linear(), relu(), linear(4, 3)]),
    "per_channel": (
        (6,),
        lambda: [
            identity(6),
            linear(weight=PER_CHANNEL),
            relu(5, **KEEP),
            linear(4, 3, PER_CHANNEL, bias_quant=bq.Int32Bias),
            identity(),
        ],
    ),
    "few_bits_and_bias": (
        (6,),
        lambda: [
            identity(**KEEP),
            linear(weight_bit_width=4, bias_quant=bq.Int8Bias, **KEEP),
            relu(**KEEP),
            linear(4, 3, weight_bit_width=3, bias_quant=bq.Int16Bias),
        ],
    ),
    "decoupled": ((6,), lambda: [identity(), linear(weight=bq.Int4WeightPerTensorFloatDecoupled), relu()]),
    "ternary": ((6,), lambda: [identity(), linear(weight=TERNARY, weight_scaling_init=0.1), identity()]),
    "ternary_activations": (
        (6,),
        lambda: [act(bq.SignedTernaryActPerTensorConst), linear(weight=TERNARY, weight_scaling_init=0.1)],
    ),
    "binary": (
        (6,),
        lambda: [
            act(bq.SignedBinaryActPerTensorConst),
            linear(weight=BINARY, weight_scaling_init=0.1),
            act(bq.SignedBinaryActPerTensorConst),
            linear(4, 3, BINARY, weight_scaling_init=0.1),
            identity(),
        ],
    ),
    "powers_of_two": (
        (6,),
        lambda: [
            act(bq.Int8ActPerTensorFixedPoint, **KEEP),
            linear(
                weight=bq.Int8WeightPerTensorFixedPoint,
                bias_quant=bq.Int8BiasPerTensorFixedPointInternalScaling,
            ),
            qnn.QuantReLU(act_quant=bq.Uint8ActPerTensorFixedPoint),
            linear(4, 3, bq.Int8WeightPerTensorFixedPoint),
        ],
    ),
    "zero_points": (
        (6,),
        lambda: [
            act(bq.ShiftedUint8ActPerTensorFloat),
            linear(weight=bq.ShiftedUint8WeightPerTensorFloat),
            qnn.QuantReLU(act_quant=bq.ShiftedUint8ActPerTensorFloat),
            linear(4, 3, bq.ShiftedUint8WeightPerChannelFloat),
            identity(),
        ],
    ),
    "least_squares": (
        (6,),
        lambda: [
            act(bq.Int8ActPerTensorFloatMSE),
            linear(weight=bq.Int8WeightPerTensorFloatMSE),
            qnn.QuantReLU(act_quant=bq.Uint8ActPerTensorFloatMSE),
        ],
    ),
    "roundings": (
        (6,),
        lambda: [
            identity(6, float_to_int_impl_type="FLOOR"),
            linear(),
            relu(4, float_to_int_impl_type="CEIL"),
            linear(4, 3),
            identity(6, float_to_int_impl_type="ROUND_TO_ZERO"),
        ],
    ),
    "minifloat": (
        (6,),
        lambda: [
            act(bq.Fp8e4m3OCPActPerTensorFloat),
            linear(weight=bq.Fp8e4m3OCPWeightPerTensorFloat),
            qnn.QuantReLU(act_quant=bq.Fp8e4m3OCPActPerTensorFloat),
        ],
    ),
    "weights_only": ((6,), lambda: [linear(), nn.ReLU(), linear(4, 3, PER_CHANNEL)]),
    "hard_tanh": (
        (6,),
        lambda: [identity(), linear(), qnn.QuantHardTanh(bit_width=4, max_val=1.0, min_val=-1.0), linear(4, 3)],
    ),
    "curves": ((6,), lambda: [identity(), linear(), qnn.QuantSigmoid(bit_width=8), linear(4, 3), qnn.QuantTanh()]),
    "softmax": ((6,), lambda: [identity(), linear(), relu(8), linear(4, 3), nn.Softmax(dim=-1)]),
    "batch_norm": ((6,), lambda: [identity(), linear(), nn.BatchNorm1d(4), relu(6), linear(4, 3)]),
    "conv": (
        (2, 6, 6),
        lambda: [
            identity(),
            qnn.QuantConv2d(2, 3, 3, padding=1, bias=False, weight_quant=PER_CHANNEL),
            nn.BatchNorm2d(3),
            relu(6),
            nn.MaxPool2d(2),
            qnn.QuantConv2d(3, 4, 2, bias=True, weight_bit_width=4),
            relu(),
            nn.Flatten(),
            linear(16, 3),
        ],
    ),
    "conv_1d_groups": (
        (4, 6),
        lambda: [
            identity(),
            qnn.QuantConv1d(4, 4, 3, padding=2, dilation=2, groups=4, bias=True, weight_quant=PER_CHANNEL),
            relu(6),
            qnn.QuantConv1d(4, 2, 1, bias=False),
        ],
    ),
    "conv_transpose": (
        (2, 4, 4),
        lambda: [identity(), qnn.QuantConvTranspose2d(2, 3, 2, stride=2, bias=True), relu(6)],
    ),
    "channel_scales": (
        (2, 4, 4),
        lambda: [identity(**CHANNELS), qnn.QuantConv2d(2, 3, 1, bias=False), relu()],
    ),
    "truncated_average": (
        (2, 4, 4),
        lambda: [
            identity(**KEEP),
            qnn.QuantConv2d(2, 3, 1, bias=False, **KEEP),
            relu(**KEEP),
            qnn.TruncAvgPool2d(2),
            nn.Flatten(),
            qnn.QuantLinear(12, 3, bias=False),
        ],
    ),
    "average": (
        (2, 4, 4),
        lambda: [
            identity(),
            qnn.QuantConv2d(2, 3, 1, bias=False),
            relu(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            qnn.QuantLinear(12, 3, bias=False),
        ],
    ),
    "global_average": (
        (2, 4, 4),
        lambda: [
            identity(**KEEP),
            qnn.QuantConv2d(2, 3, 1, bias=False),
            relu(**KEEP),
            qnn.TruncAdaptiveAvgPool2d(1),
            nn.Flatten(),
            qnn.QuantLinear(3, 3, bias=False),
        ],
    ),
    "upsample": (
        (2, 3, 3),
        lambda: [identity(**KEEP), qnn.QuantUpsample(scale_factor=2), qnn.QuantConv2d(2, 2, 1, bias=False), relu()],
    ),
    "residual": ((6,), lambda: [Residual()]),
}

LEFT_OUT = {
    ("binary", "qcdq"),  # Brevitas exports it as QONNX only
    ("roundings", "qcdq"),  # QuantizeLinear has no other rounding: another model
    ("minifloat", "qcdq"),  # float8 tensors
}


def main() -> None:
    warnings.filterwarnings("ignore")
    folder = Path(tempfile.mkdtemp())
    for name, (shape, layers) in NETWORKS.items():
        torch.manual_seed(1)
        model = nn.Sequential(*layers())
        model.train()
        for _ in range(3):
            model(torch.randn(32, *shape) * 1.3)
        for part in model.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
                part.weight.data.uniform_(0.5, 1.5)
                part.bias.data.normal_(0, 0.3)
        model.eval()
        x = torch.randn(ROWS, *shape) * 1.3
        with torch.no_grad():
            y = model(x)
        np.savez_compressed(folder / f"{name}.npz", x=x.numpy(), y=getattr(y, "value", y).numpy())
        for form, export, opset in (("qonnx", export_qonnx, 13), ("qcdq", export_onnx_qcdq, 18)):
            if (name, form) not in LEFT_OUT:
                path = str(folder / f"{name}_{form}.onnx")
                export(model, torch.randn(1, *shape), path, opset_version=opset, dynamo=False)
    with zipfile.ZipFile(Path(__file__).with_name("models.zip"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
