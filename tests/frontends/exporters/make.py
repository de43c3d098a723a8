"""Small ONNX files as exporters write them: `python make.py tensorflow | keras | sklearn | torch`, each in its own
environment. Made with TensorFlow 2.15.1 and tf2onnx 1.16.1; Keras 3.15.1 on torch 2.13; scikit-learn 1.9.1 and
skl2onnx 1.20.0; torch 2.13. The answers are onnxruntime's, when the test runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def keras_models(keras: Any) -> dict[str, Callable[[], Any]]:
    """Models by name, for either Keras."""
    layers = keras.layers

    def chain(shape: tuple[int, ...], *parts: Any) -> Any:
        return keras.Sequential([keras.Input(shape), *parts])

    def residual() -> Any:
        x = keras.Input((5, 5, 2))
        h = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        h = layers.ReLU()(layers.BatchNormalization()(h))
        h = layers.Add()([h, layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(h))])
        h = layers.GlobalAveragePooling2D()(layers.Activation("relu")(h))
        return keras.Model(x, layers.Dense(3, activation="softmax")(h))

    def conv1d() -> Any:
        first = layers.Conv1D(4, 3, activation="relu", padding="same")
        rest = layers.Conv1D(2, 2, padding="causal"), layers.Flatten(), layers.Dense(2)
        return chain((8, 3), first, layers.MaxPooling1D(2), layers.BatchNormalization(), *rest)

    return {
        "residual": residual,
        "conv1d": conv1d,
        "norm": lambda: chain((6,), layers.LayerNormalization(), layers.Dense(3), layers.UnitNormalization()),
        "lstm": lambda: chain((5, 3), layers.LSTM(4), layers.Dense(2)),
        "bigru": lambda: chain((5, 3), layers.Bidirectional(layers.GRU(2)), layers.Dense(2)),
        "embedding": lambda: chain((4,), layers.Embedding(6, 3), layers.GlobalAveragePooling1D(), layers.Dense(2)),
        "distributed": lambda: chain((4, 3), layers.TimeDistributed(layers.Dense(4, "relu")), layers.Flatten()),
    }


def stirred(model: Any, convert: Callable[[Any], Any]) -> Any:
    """The model with statistics and biases as training leaves them."""
    for weight in model.weights:
        name = getattr(weight, "path", weight.name)
        if "moving_variance" in name:
            weight.assign(np.random.uniform(0.5, 2, weight.shape))
        elif "norm" in name or "bias" in name:
            weight.assign(convert(weight) + np.random.normal(0, 0.3, weight.shape))
    return model


def tensorflow() -> None:
    """Keras 2 by tf2onnx."""
    import tensorflow as tf
    import tf2onnx

    tf.keras.utils.set_random_seed(0)
    models = keras_models(tf.keras)
    for name in ("residual", "conv1d", "norm", "lstm", "bigru", "embedding"):
        model = stirred(models[name](), np.asarray)
        signature = (tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32, name="x"),)
        tf2onnx.convert.from_keras(model, signature, opset=15, output_path=str(HERE / f"tensorflow_{name}.onnx"))


def keras() -> None:
    """Keras 3 by its own export."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    keras.utils.set_random_seed(0)
    models = keras_models(keras)
    for name in ("residual", "distributed", "embedding"):
        model = stirred(models[name](), keras.ops.convert_to_numpy)
        model(np.zeros((2, *model.inputs[0].shape[1:]), np.float32))
        model.export(HERE / f"keras_{name}.onnx", format="onnx", verbose=False)


def sklearn() -> None:
    """Classical models by skl2onnx."""
    from skl2onnx import to_onnx
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
    from sklearn.svm import LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    score = x @ [1, 2, -1, 0.5]
    three, two = np.digitize(score, [-1, 1]), (score > 0).astype(int)
    columns = ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", MinMaxScaler(), [2, 3])])
    models = {
        "mlp": (make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=50, random_state=0)), 5 * three),
        "mlp_two": (MLPClassifier((5,), max_iter=50, random_state=0), two),
        "mlp_value": (MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0), score),
        "logistic": (LogisticRegression(), three),
        "logistic_two": (LogisticRegression(), two),
        "margins": (LinearSVC(), three),
        "columns": (make_pipeline(columns, LinearRegression()), score),
        "powers": (make_pipeline(PolynomialFeatures(2), LinearRegression()), score),
        "tree": (DecisionTreeClassifier(max_depth=3, random_state=0), three),
        "voted": (AdaBoostClassifier(n_estimators=2, random_state=0), two),
    }
    for name, (model, y) in models.items():
        model.fit(x, y)
        options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
        made = to_onnx(model, x[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
        (HERE / f"sklearn_{name}.onnx").write_bytes(made.SerializeToString())


def torch() -> None:
    """Both exporters of PyTorch."""
    import torch
    from torch import nn

    class Last(nn.Module):
        """The last step of a recurrence, or its final state."""

        def __init__(self, cells: nn.Module, state: bool) -> None:
            super().__init__()
            self.cells, self.end, self.state = cells, nn.Linear(4, 2), state

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps, state = self.cells(x)
            return self.end(state[0][-1] if self.state else steps[:, -1])

    class Two(nn.Module):
        """A dense layer and an embedding, two inputs and two outputs."""

        def __init__(self) -> None:
            super().__init__()
            self.dense, self.table = nn.Linear(4, 3), nn.Embedding(6, 3)

        def forward(self, x: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.dense(x)
            return y, (y * self.table(places).mean(1)).chunk(3, 1)[1]

    torch.manual_seed(0)
    sequence = (torch.randn(2, 5, 3),)
    models = {
        "gru": (Last(nn.GRU(3, 4, batch_first=True), False), sequence, False),
        "lstm": (Last(nn.LSTM(3, 4, 2, batch_first=True), True), sequence, False),
        "two": (Two(), (torch.randn(2, 4), torch.randint(0, 6, (2, 3))), False),
        "two_dynamo": (Two(), (torch.randn(2, 4), torch.randint(0, 6, (2, 3))), True),
    }
    for name, (model, inputs, dynamo) in models.items():
        names, path = [f"x{k}" for k in range(len(inputs))], HERE / f"torch_{name}.onnx"
        if dynamo:
            shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs)
            made = torch.onnx.export(model.eval(), inputs, dynamo=True, dynamic_shapes=shapes, input_names=names)
            proto = made.model_proto
            for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
                del part.metadata_props[:]  # lines of the code that made it
            path.write_bytes(proto.SerializeToString())
        else:
            axes = {key: {0: "batch"} for key in names}
            torch.onnx.export(
                model.eval(), inputs, path, dynamo=False, input_names=names, opset_version=17, dynamic_axes=axes
            )


if __name__ == "__main__":
    {"tensorflow": tensorflow, "keras": keras, "sklearn": sklearn, "torch": torch}[sys.argv[1]]()
