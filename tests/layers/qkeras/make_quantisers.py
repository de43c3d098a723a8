"""Write `quantisers.npz`: what QKeras' own quantisers return for values, ties and extremes, and for weights.

Run it outside this repository's environment (it needs TensorFlow):

    python3 -m venv qkeras && qkeras/bin/pip install tensorflow==2.21.0 tf_keras==2.21.0 qkeras==0.9.0 pyparsing
    TF_USE_LEGACY_KERAS=1 qkeras/bin/python make_quantisers.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from qkeras.quantizers import get_quantizer

VALUES = [
    *(f"quantized_bits({b},{i},{s},{k})" for b, i, s, k in [
        (8, 0, 0, True), (6, 2, 0, True), (6, 2, 1, True), (4, 1, 0, False), (4, 0, 1, False), (3, 3, 0, True),
        (2, 0, 0, True), (2, 0, 1, True), (1, 0, 0, True), (1, 2, 0, True), (1, 0, 0, False), (12, 4, 0, True),
        (5, 6, 0, True),
    ]),
    *(f"quantized_bits(5,1,0,alpha={a})" for a in (1, 1.0, 0.5, 2.0, 0.3)),
    "quantized_bits(1,0,0,alpha=0.75)",
    "quantized_bits(4,0,1,use_stochastic_rounding=True,alpha=1)",
    "quantized_bits(bits=7, integer=1, symmetric=1, keep_negative=True)",
    *(f"quantized_relu({b},{i})" for b, i in [(8, 0), (6, 2), (4, 4), (3, 5), (1, 0), (2, 1), (10, 3)]),
    *(f"quantized_relu({b},{i},negative_slope={s})" for b, i, s in [
        (6, 2, 0.25), (4, 1, 0.5), (5, 2, 0.125), (8, 3, 1.0), (6, 1, 2.0), (3, 0, 0.0625),
    ]),
    *(f"quantized_relu({b},{i},1)" for b, i in [(4, 0), (6, 2), (2, 1), (1, 0)]),
    "quantized_relu(6,3,use_stochastic_rounding=True)",
    "quantized_relu(6,3,relu_upper_bound=3)",
    "quantized_relu(6,3,relu_upper_bound=3,is_quantized_clip=False)",
    "quantized_relu(6,3,relu_upper_bound=2.7,is_quantized_clip=False)",
    "quantized_relu(6,3,is_quantized_clip=False)",
    *(f"quantized_po2({a})" for a in (
        "4", "3", "2", "5", "4,max_value=1", "4,max_value=2", "4,max_value=3", "3,max_value=0.5",
        "4,log2_rounding='floor'", "4,quadratic_approximation=True", "5,max_value=4,quadratic_approximation=True",
    )),
    *(f"quantized_relu_po2({a})" for a in (
        "4", "3", "2", "4,max_value=1", "4,max_value=2", "4,max_value=6", "4,negative_slope=0.25",
        "3,max_value=2,negative_slope=0.5", "4,quadratic_approximation=True", "3,log2_rounding='floor'",
    )),
    *(f"binary({a})" for a in (
        "", "1", "use_01=True", "alpha=1", "alpha=0.5", "use_01=1,alpha=2", "alpha=1,use_stochastic_rounding=True",
    )),
    *(f"ternary({a})" for a in (
        "", "alpha=1", "alpha=0.5,threshold=0.5", "threshold=0.25", "alpha=2.0,threshold=1", "alpha=1,threshold=0.33",
    )),
    "stochastic_binary(alpha=1)", "stochastic_binary(alpha=0.5)", "stochastic_binary()",
    "stochastic_ternary(alpha=1,threshold=0.5)", "stochastic_ternary()",
    *(f"quantized_tanh({a})" for a in ("8", "4", "4,symmetric=True", "6,use_real_tanh=True", "2", "1",
                                       "5,symmetric=1,use_real_tanh=1")),
    *(f"quantized_sigmoid({a})" for a in ("8", "4", "4,symmetric=True", "6,use_real_sigmoid=True", "1",
                                          "5,symmetric=1,use_real_sigmoid=1")),
    *(f"quantized_ulaw({a})" for a in ("4", "6,1", "4,0,1", "4,1,0,15.0", "3")),
    *(f"quantized_hswish({a})" for a in ("6,2", "8,3,1", "6,2,relu_shift=2,relu_upper_bound=4")),
    "hard_sigmoid", "hard_tanh", "smooth_sigmoid", "smooth_tanh", "binary_sigmoid", "binary_tanh",
    "quantized_bits", "quantized_relu", "quantized_tanh", "binary", "ternary",
]  # fmt: skip

AUTO = ("alpha='auto'", "alpha='auto_po2'")
WEIGHTS = [
    *(f"quantized_bits({b},{i},1,{a})" for b, i in [(4, 0), (6, 0), (8, 2), (2, 0)] for a in AUTO),
    "quantized_bits(4,0,0,alpha='auto')",
    "quantized_bits(4,0,1,alpha='auto_po2',scale_axis=0)",
    "quantized_bits(4,1,1,alpha='auto',scale_axis=0)",
    *(f"{name}({a})" for name in ("binary", "ternary", "stochastic_binary", "stochastic_ternary") for a in AUTO),
    *(f"binary(use_01=True,{a})" for a in AUTO),
    "ternary(alpha='auto',number_of_unrolls=2)",
    "quantized_po2(4)",
    "quantized_po2(6,quadratic_approximation=True)",
    "quantized_relu_po2(6,2048)",
    "quantized_relu_po2(6,quadratic_approximation=True)",
]


def grid() -> np.ndarray:
    """Every 1/32 of [-4.5, 4.5], powers of two and their neighbours, extremes, and seeded random values."""
    powers = 2.0 ** np.arange(-12, 9)
    near = np.concatenate([powers, np.nextafter(powers, np.inf, dtype=np.float32), powers * 0.75, powers * 1.5])
    rng = np.random.default_rng(7)
    parts = [np.arange(-144, 145) / 32, near, -near, [1e-8, -1e-8, 100, -100.25, 1000], rng.normal(0, 2, 200)]
    return np.concatenate(parts).astype(np.float32)


def weights() -> dict[str, np.ndarray]:
    """Dense, convolution and bias shapes; small and large values, a channel of zeros."""
    rng = np.random.default_rng(8)
    dense = rng.normal(0, 0.4, (9, 5))
    dense[:, 1] *= 10
    dense[:, 3] = 0
    conv = rng.normal(0, 0.2, (3, 2, 2, 4))
    return {
        key: value.astype(np.float32)
        for key, value in {"dense": dense, "conv": conv, "bias": rng.normal(0, 0.3, 6)}.items()
    }


def main() -> None:
    x = grid()
    arrays = {"x": x, **{f"w/{key}": value for key, value in weights().items()}}
    for spec in VALUES:
        arrays[f"value/{spec}"] = np.asarray(get_quantizer(spec)(x), np.float32)
    for spec in WEIGHTS:
        for key, value in weights().items():
            if "scale_axis" in spec and value.ndim == 1:
                continue
            try:
                arrays[f"weight/{key}/{spec}"] = np.asarray(get_quantizer(spec)(value), np.float32)
            except Exception as error:  # QKeras itself cannot
                print(key, spec, type(error).__name__, str(error)[:100])
    np.savez_compressed(Path(__file__).with_name("quantisers.npz"), **arrays)
    print(json.dumps({"values": len(VALUES), "weights": len(WEIGHTS)}))


if __name__ == "__main__":
    main()
