"""Keras 3 layers, saved as `.keras`, against Keras' own forward on its PyTorch backend."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conformance_case import Built, Case, grid

ROUNDED = "types chosen by calibration round"


BuildCase = Callable[[Path], Built]
Shapes = tuple[tuple[int, ...], ...]


def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    return keras


def built(
    make: Callable[..., Any], *shapes: tuple[int, ...], rows: int = 20, frac: int = 1, **options: Any
) -> BuildCase:
    """Build a functional model: `make(*input tensors)` returns its output tensors; every weight gets few bits."""

    def build(folder: Path) -> Built:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, in Keras' own code
            return saved(folder)

    def saved(folder: Path) -> Built:
        layers = keras().layers
        inputs = [layers.Input(shape, name=f"in{k}") for k, shape in enumerate(shapes)]
        outputs = make(*inputs)
        model = keras().Model(inputs, outputs)
        for k, weight in enumerate(model.weights):
            if "variance" in weight.path:
                weight.assign(np.full(weight.shape, 0.75, "f4"))  # with the epsilon 0.25, its root is 1
            elif "seed" not in weight.path:
                weight.assign(grid(*weight.shape, seed=k, bits=4, frac=frac))
        xs = [grid(rows, *shape, seed=100 + k) for k, shape in enumerate(shapes)]
        found = model.predict(xs if len(xs) > 1 else xs[0], verbose=0)
        path = folder / "model.keras"
        model.save(path)
        settings = {"input_type": "s5.2", **options}
        outputs = found if isinstance(found, list) else [found]
        if settings.get("calibrated"):
            span = max(float(np.ptp(output)) for output in outputs)
            settings |= {"input_type": None, "tolerance": 0.08 * span, "why": ROUNDED}
        return Built(path, xs, outputs, **settings)

    return build


def rounding(make: Callable[..., Any], *shapes: tuple[int, ...]) -> BuildCase:
    """Build a model with a function that is not exact, so that types are chosen from data."""
    return built(make, *shapes, rows=200, frac=3, calibrated=True)


def layer(kind: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    return lambda *x: getattr(keras().layers, kind)(*arguments, **options)(x[0] if len(x) == 1 else list(x))


def nested(x: Any) -> Any:
    inner = keras().layers.Input((3,))
    block = keras().Model(inner, keras().layers.Dense(3, activation="relu")(inner))
    return block(block(x))


def shared(x: Any) -> Any:
    dense = keras().layers.Dense(3)
    return dense(keras().ops.relu(dense(x)))


def split(x: Any) -> Any:
    return list(keras().ops.split(x, 2, axis=-1))


def attention(x: Any) -> Any:
    return keras().layers.MultiHeadAttention(2, 2)(x, x)


def masked(layer: Callable[..., Any]) -> Callable[..., Any]:
    """A layer that skips masked steps."""
    return lambda x: layer(keras().layers.Masking(1.0)(x))


def linformer(x: Any) -> Any:
    """Keys and values projected along the sequence (Wang et al., 2020)."""
    layers = keras().layers
    short = layers.EinsumDense("bsf,sk->bkf", (2, 2))(x)
    scores = layers.Softmax()(layers.Dot((2, 2))([layers.Dense(2)(x), layers.Dense(2)(short)]))
    return layers.Dot((2, 1))([scores, layers.Dense(2)(short)])


def einsum(x: Any) -> Any:
    return keras().layers.EinsumDense("abc,cd->abd", output_shape=(None, 2), bias_axes="d")(x)


def embedding(x: Any) -> Any:
    return keras().layers.Embedding(4, 3)(keras().ops.floor(keras().ops.clip(x, 0, 3)))


def time_distributed(x: Any) -> Any:
    return keras().layers.TimeDistributed(keras().layers.Dense(2))(x)


def branches(a: Any, b: Any) -> Any:
    return keras().layers.Dense(2)(a) + keras().layers.Dense(2)(b)


def both_ways(x: Any) -> Any:
    return keras().layers.Bidirectional(keras().layers.SimpleRNN(2))(x)


def cases() -> Iterator[Case]:
    one, image, line = (4,), (4, 4, 2), (6, 2)
    exact: list[tuple[str, str, Callable[..., Any], Shapes]] = [
        ("dense", "Dense", layer("Dense", 3), (one,)),
        ("dense", "Dense over rows", layer("Dense", 2, use_bias=False), ((2, 3),)),
        ("einsum dense", "EinsumDense", einsum, ((2, 3),)),
        ("conv 1d", "Conv1D causal", layer("Conv1D", 2, 3, padding="causal", dilation_rate=2), (line,)),
        ("conv 2d", "Conv2D same, strides", layer("Conv2D", 2, 3, strides=2, padding="same"), (image,)),
        ("conv 2d", "Conv2D groups", layer("Conv2D", 2, 2, groups=2), (image,)),
        ("conv 3d", "Conv3D", layer("Conv3D", 1, 2), ((2, 2, 3, 1),)),
        ("depthwise conv", "DepthwiseConv2D", layer("DepthwiseConv2D", 2, depth_multiplier=2), ((3, 3, 2),)),
        ("separable conv", "SeparableConv1D", layer("SeparableConv1D", 2, 3), (line,)),
        ("transposed conv", "Conv1DTranspose", layer("Conv1DTranspose", 2, 3, strides=2), ((3, 2),)),
        ("max pooling", "MaxPooling2D", layer("MaxPooling2D", 2), (image,)),
        ("average pooling", "AveragePooling1D", layer("AveragePooling1D", 2), (line,)),
        ("global pooling", "GlobalMaxPooling1D", layer("GlobalMaxPooling1D"), (line,)),
        ("global pooling", "GlobalAveragePooling1D", layer("GlobalAveragePooling1D"), ((4, 2),)),
        ("zero padding", "ZeroPadding1D", layer("ZeroPadding1D", (1, 2)), ((3, 2),)),
        ("cropping", "Cropping1D", layer("Cropping1D", (1, 1)), (line,)),
        ("up-sampling", "UpSampling2D", layer("UpSampling2D", 2), ((2, 2, 1),)),
        ("batch norm", "BatchNormalization", layer("BatchNormalization", epsilon=0.25), (one,)),
        ("add", "Add", layer("Add"), (one, one)),
        ("subtract", "Subtract", layer("Subtract"), (one, one)),
        ("multiply", "Multiply", layer("Multiply"), (one, one)),
        ("average", "Average", layer("Average"), (one, one)),
        ("minimum", "Minimum", layer("Minimum"), (one, one)),
        ("maximum", "Maximum", layer("Maximum"), (one, one)),
        ("concatenate", "Concatenate", layer("Concatenate"), (one, (2,))),
        ("dot", "Dot", layer("Dot", 1), (one, one)),
        ("matmul", "ops.matmul", lambda a, b: keras().ops.matmul(a, b), ((2, 3), (3, 2))),
        ("slice", "indexing", lambda x: x[:, 1:3], (one,)),
        ("split", "ops.split", split, (one,)),
        ("reshape", "Reshape", layer("Reshape", (2, -1)), (one,)),
        ("flatten", "Flatten", layer("Flatten"), ((2, 2),)),
        ("transpose", "Permute", layer("Permute", (2, 1)), ((2, 3),)),
        ("sum", "ops.sum", lambda x: keras().ops.sum(x, axis=1), ((3, 2),)),
        ("mean", "ops.mean", lambda x: keras().ops.mean(x, axis=1), ((4, 2),)),
        ("max over axes", "ops.max", lambda x: keras().ops.max(x, axis=1), ((3, 2),)),
        ("relu", "ReLU max_value", layer("ReLU", max_value=3.0), (one,)),
        ("leaky relu", "LeakyReLU", layer("LeakyReLU", negative_slope=0.25), (one,)),
        ("prelu", "PReLU", layer("PReLU"), (one,)),
        ("embedding", "Embedding", embedding, ((2,),)),
        ("hard tanh", "hard_tanh", layer("Activation", "hard_tanh"), (one,)),
        ("time distributed", "TimeDistributed", time_distributed, ((2, 3),)),
        ("nested model", "Model twice", nested, ((3,),)),
        ("shared layer", "Dense twice", shared, ((3,),)),
        ("several inputs", "two branches", branches, (one, (3,))),
        ("several outputs", "two heads", lambda x: [keras().layers.Dense(2)(x), keras().layers.ReLU()(x)], (one,)),
    ]  # fmt: skip
    yield from (Case(row, name, built(make, *shapes)) for row, name, make, shapes in exact)
    inexact: list[tuple[str, str, Callable[..., Any], Shapes]] = [
        ("layer norm", "LayerNormalization", layer("LayerNormalization"), (one,)),
        ("simple RNN", "SimpleRNN", layer("SimpleRNN", 2), ((3, 2),)),
        ("LSTM", "LSTM", layer("LSTM", 2), ((3, 2),)),
        ("GRU", "GRU sequences", layer("GRU", 2, return_sequences=True), ((3, 2),)),
        ("bidirectional", "Bidirectional", both_ways, ((3, 2),)),
        ("multi-head attention", "MultiHeadAttention", attention, ((3, 4),)),
        ("Linformer attention", "Linformer of EinsumDense", linformer, ((4, 2),)),
        ("GRU", "GRU, masked", masked(layer("GRU", 2, return_sequences=True)), ((3, 1),)),
        ("global pooling", "GlobalAveragePooling1D, masked", masked(layer("GlobalAveragePooling1D")), ((3, 1),)),
        *((row, name, layer("Activation", name), (one,)) for row, name in (
            ("sigmoid", "sigmoid"), ("tanh", "tanh"), ("softmax", "softmax"), ("gelu", "gelu"), ("silu", "silu"),
            ("mish", "mish"), ("hard sigmoid", "hard_sigmoid"), ("hard swish", "hard_silu"), ("softplus", "softplus"),
            ("softsign", "softsign"), ("selu", "selu"), ("elu", "elu"), ("other activations", "squareplus"),
        )),
    ]  # fmt: skip
    yield from (Case(row, name, rounding(make, *shapes)) for row, name, make, shapes in inexact)
