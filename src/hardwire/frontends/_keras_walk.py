"""The walk over a Keras model's configuration: layers in order, sub-models inlined, a record per call of a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends import _keras_masks as masks
from hardwire.frontends._keras_tf_nodes import as_operation
from hardwire.frontends._keras_tf_ops import as_keras_3, without_batch_sizes
from hardwire.frontends._keras_weights import Arrays, WeightSource
from hardwire.layers import import_rule
from hardwire.layers.slicing import parts
from hardwire.layers.time_distributed import joined_steps
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record
from hardwire.network.survey import noted

MAX_NESTING = 32
MODELS = ("Functional", "Model", "Sequential")
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
_PLUMBING = ("trainable", "batch_input_shape", "batch_shape")
_MULTI_HEAD = (
    *("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores"),
    *("training", "use_causal_mask"),
)
_SCORED = ("inputs", "mask", "training", "return_attention_scores", "use_causal_mask")
SIGNATURES = {
    **dict.fromkeys(
        (
            *("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention", "QMultiHeadAttention"),
            "QLinformerAttention",
        ),
        _MULTI_HEAD,
    ),
    **dict.fromkeys(("Attention", "AdditiveAttention"), _SCORED),
}
"""Arguments of layers that are called with more than their input, in order.

Their rules find the names of the tensors in `versions["arguments"]`, plain values as attributes `call NAME`, and
constant tensors as arrays of that name.
"""
_ON_INTEGERS = ("Discretization", "CategoryEncoding", "ops.ZerosLike", "ops.OnesLike")
"""Layers whose numbers are integers, so that an integer type changes nothing."""
_PREPROCESSING = ("Resizing", "CenterCrop", "AugMix", "CutMix", "MixUp", "RandAugment", "Rescaling", "AutoContrast")
_FLOATS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Call:
    """One call of a layer: the tensors that it reads as (layer, call, output), constants by operand position."""

    tensors: tuple[tuple[str, int, int], ...]
    constants: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """Arguments that the tensors are, and below plain arguments, of layers in `SIGNATURES`."""
    plain: Mapping[str, Any] = field(default_factory=dict)
    masks: tuple[tuple[str, int, int] | None, ...] = ()
    """Masks that the call states for its tensors, in their order."""

    @property
    def reads(self) -> tuple[tuple[str, int, int], ...]:
        """All outputs of layers that the call needs."""
        return (*self.tensors, *(mask for mask in self.masks if mask is not None))


@dataclass(frozen=True)
class LayerConfig:
    """A layer of the configuration, of any Keras; `kind` is its class, with the package if not Keras' own."""

    name: str
    kind: str
    class_name: str
    config: Mapping[str, Any]
    calls: tuple[Call, ...]
    build_shape: Any
    unread: int = 0
    """Number of calls that a survey could not read."""


class KerasWalker:
    """Turns a parsed `model_config` and its weights into nodes of a `NetworkBuilder`.

    `label` names the file in errors, `examples` are the shapes of example inputs (no batch axis), used where the model
    leaves dimensions open.
    """

    def __init__(self, label: str, net: NetworkBuilder, versions: Mapping[str, Any], examples: list[Shape]) -> None:
        self.label = label
        self.net = net
        self.versions = versions
        self.examples = examples
        self._seen_inputs = 0

    def model(self, config: Any, weights: WeightSource) -> list[str]:
        """Walk the outermost model; returns its output tensors."""
        top = self._layer(config, position=0)
        if top.kind not in MODELS:
            raise UnsupportedError(
                f"model {self.label}: the model is a {top.kind}, not a Sequential or Functional model",
                hint="rebuild it with keras.Sequential or keras.Model(inputs, outputs) and save it again",
            )
        return self._model(top, weights, None, (), ())

    # Reading the configuration.

    def _bad(self, what: str) -> ModelError:
        return ModelError(f"model {self.label}: {what}", hint="save the model again with model.save(...)")

    def _layer(self, config: Any, position: int) -> LayerConfig:
        try:
            return self._read_layer(config, position)
        except UnsupportedError as error:
            name, kind = str(config["config"].get("name", config.get("name"))), str(config["class_name"])
            if not noted(error, name, _function(config) or kind):
                raise
            nodes = config.get("inbound_nodes")
            return LayerConfig(name, kind, kind, {}, (), None, len(nodes) if isinstance(nodes, list) else 1)

    def _read_layer(self, config: Any, position: int) -> LayerConfig:
        if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
            raise self._bad(f"layer {position} of the configuration has no class name")
        config = as_keras_3(config) or as_operation(config) or config
        inner = config.get("config")
        if isinstance(inner, list) and config["class_name"] == "Sequential":
            inner = {"name": "sequential", "layers": inner}  # Keras before 2.3
        if not isinstance(inner, dict):
            raise self._bad(f"layer {position} ({config['class_name']}) of the configuration has no settings")
        name = config.get("name", inner.get("name"))
        if not isinstance(name, str) or not name:
            if config["class_name"] not in MODELS:
                raise self._bad(f"layer {position} ({config['class_name']}) of the configuration has no name")
            name = "model"
        nodes = config.get("inbound_nodes", [])
        if not isinstance(nodes, list):
            raise self._bad(f"layer {name!r}: inbound_nodes is not a list")
        build = config.get("build_config")
        shape = build.get("input_shape") if isinstance(build, dict) else None
        kind = _kind(config)
        calls = tuple(self._call(name, kind, node) for node in nodes)
        return LayerConfig(name, kind, config["class_name"].rpartition(">")[2], inner, calls, shape)

    def _call(self, name: str, kind: str, node: Any) -> Call:
        tensors: list[tuple[str, int, int]] = []
        constants: dict[str, Any] = {}
        if (signature := SIGNATURES.get(kind.rpartition(">")[2])) is not None:
            return self._signed(name, signature, node)
        if isinstance(node, dict):  # Keras 3
            args, kwargs = node.get("args", []), node.get("kwargs", {})
            if not isinstance(args, list) or not isinstance(kwargs, dict):
                raise self._bad(f"layer {name!r}: a call without arguments")
            for position, arg in enumerate(args):
                found = list(_keras_tensors(arg))
                if found and isinstance(arg, list) and kind.startswith("ops.") and len(found) != len(arg):
                    raise UnsupportedError(f"layer {name!r} ({kind}): constants among the tensors of its list")
                if found:
                    tensors.extend(self._reference(name, item) for item in found)
                elif arg is not None:
                    constants[str(position)] = arg
            initial = kwargs.get("initial_state")
            tensors.extend(self._reference(name, item) for item in _keras_tensors(initial))
            stated = masks.stated(name, kwargs.get("mask"), self._reference)
            left = {key: kwargs[key] for key in kwargs if key != "mask" and (key != "initial_state" or not initial)}
            self._plain(name, kind, left)
            return Call(tuple(tensors), constants, masks=stated)
        stated = ()
        for item in _legacy_tensors(node):
            if not isinstance(item, list) or len(item) < 3 or not isinstance(item[0], str):
                raise self._bad(f"layer {name!r}: a call of it has no valid input: {item!r:.80}")
            if len(item) > 3 and isinstance(item[3], dict):
                stated = stated or masks.stated(name, item[3].get("mask"), self._reference)
                self._plain(name, kind, {key: value for key, value in item[3].items() if key != "mask"})
            if item[0] == "_CONSTANT_VALUE":
                constants[str(len(tensors) + len(constants))] = item[2]
            else:
                tensors.append(self._reference(name, item[:3]))
        return Call(tuple(tensors), constants, masks=stated)

    def _signed(self, name: str, signature: tuple[str, ...], node: Any) -> Call:
        """Read the call of a layer with a signature: tensors in its order, whether by position or by name."""
        arguments: dict[str, Any] = {}
        if isinstance(node, dict):  # Keras 3
            args, kwargs = node.get("args", []), node.get("kwargs", {})
            if not isinstance(args, list) or not isinstance(kwargs, dict) or len(args) > len(signature):
                raise self._bad(f"layer {name!r}: a call without arguments")
            given = {**dict(zip(signature, args, strict=False)), **kwargs}
            stated = masks.stated(name, given.pop("mask", None), self._reference)
            for key, value in given.items():
                found = list(_keras_tensors(value))
                arguments[key] = [self._reference(name, item) for item in found] if found else value
        else:
            first = []
            stated = ()
            for item in _legacy_tensors(node):
                if not isinstance(item, list) or len(item) < 3 or not isinstance(item[0], str):
                    raise self._bad(f"layer {name!r}: a call of it has no valid input: {item!r:.80}")
                first.append(self._reference(name, item[:3]))
                further = dict(item[3]) if len(item) > 3 and isinstance(item[3], dict) else {}
                stated = stated or masks.stated(name, further.pop("mask", None), self._reference)
                for key, value in further.items():
                    tensor = isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)
                    constant = tensor and value[0] == "_CONSTANT_VALUE"
                    arguments[key] = value[2] if constant else [self._reference(name, value[:3])] if tensor else value
            arguments[signature[0]] = first
        arguments.pop("name", None)
        unknown = [key for key in arguments if key not in signature]
        if unknown or arguments.pop("training", None):
            raise UnsupportedError(f"layer {name!r}: it is called with {(*unknown, 'training')[0]}, not understood")
        tensors = [(key, item) for key in signature for item in _listed(arguments.get(key))]
        plain = {key: value for key, value in arguments.items() if value is not None and not _listed(value)}
        return Call(tuple(item for _, item in tensors), {}, tuple(key for key, _ in tensors), plain, stated)

    def _plain(self, name: str, kind: str, kwargs: Mapping[str, Any]) -> None:
        for key, value in kwargs.items():
            harmless = (key == "training" and value in (None, False)) or value is None
            # Keras 3 notes its default for images' preprocessing, and never runs it so at inference.
            harmless = harmless or (key == "training" and (kind in _PREPROCESSING or kind.startswith("Random")))
            if not harmless and not (key == "name" and isinstance(value, str)):
                raise UnsupportedError(
                    f"layer {name!r} ({kind}): it is called with {key} = {value!r:.60}, which is not understood"
                )

    def _reference(self, name: str, item: Any) -> tuple[str, int, int]:
        if (
            isinstance(item, list)
            and len(item) == 3
            and isinstance(item[0], str)
            and all(isinstance(i, int) and i >= 0 for i in item[1:])
        ):
            return item[0], item[1], item[2]
        raise self._bad(f"layer {name!r}: {item!r:.80} is no reference to a layer's output")

    # Walking.

    def _model(
        self,
        model: LayerConfig,
        weights: WeightSource,
        inputs: list[str] | None,
        path: tuple[str, ...],
        leaves: tuple[str, ...],
    ) -> list[str]:
        """Inline a model; `inputs` are its input tensors, None for the outermost one, whose inputs are declared.

        `path` names the sub-models that lead here, `leaves` all layers of the outermost of them.
        """
        if len(path) > MAX_NESTING:
            raise self._bad(f"sub-models are nested deeper than {MAX_NESTING} levels")
        raw = model.config.get("layers")
        if not isinstance(raw, list) or not raw:
            raise self._bad(f"{model.kind} model {model.name!r} has no layers")
        raw = without_batch_sizes(raw)
        layers = [self._layer(item, position) for position, item in enumerate(raw)]
        names = [layer.name for layer in layers]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise self._bad(f"two layers of {model.name!r} are named {twice!r}")
        places = {
            layer.name: weights.enter(layer.name, layer.class_name, (*path, layer.name), leaves)
            for layer in layers
            if not layer.kind.startswith("ops.")
        }
        run = _Run(self, weights, places, path, leaves)
        if model.kind == "Sequential":
            return self._sequential(model, layers, run, inputs)
        return self._functional(model, layers, run, inputs)

    def _sequential(
        self, model: LayerConfig, layers: list[LayerConfig], run: _Run, inputs: list[str] | None
    ) -> list[str]:
        first = layers[0]
        if first.kind == "InputLayer":
            layers = layers[1:]
        if inputs is None:
            shape = _first_known(
                first.config.get("batch_shape"),
                first.config.get("batch_input_shape"),
                model.config.get("build_input_shape"),
                model.build_shape,
                first.build_shape,
            )
            if shape is None and first.kind in MODELS:
                shape = _input_shape(first.config)
            name = first.name if first.kind == "InputLayer" else "input"
            inputs = [self._declare(name, shape, first)]
        tensors = inputs
        for layer in layers:
            tensors = run.call(layer, tensors, {})
        return tensors

    def _functional(
        self, model: LayerConfig, layers: list[LayerConfig], run: _Run, inputs: list[str] | None
    ) -> list[str]:
        by_name = {layer.name: layer for layer in layers}
        sources = [self._reference(model.name, item) for item in _references(model.config.get("input_layers"))]
        results = [self._reference(model.name, item) for item in _references(model.config.get("output_layers"))]
        if not sources or not results:
            raise self._bad(f"model {model.name!r} names no input or no output layers")
        results = _calls_from_zero(layers, results)
        first = self._first_calls(layers, results)
        done: dict[tuple[str, int], list[str]] = {}
        for i, (name, call, _) in enumerate(sources):
            layer = by_name.get(name)
            if layer is None:
                raise self._bad(f"the input layer {name!r} is missing from the configuration")
            if inputs is None:
                shape = _first_known(layer.config.get("batch_shape"), layer.config.get("batch_input_shape"))
                done[name, call] = [self._declare(name, shape, layer)]
            elif len(inputs) != len(sources):
                raise self._bad(f"model {model.name!r} is called with {len(inputs)} inputs, it has {len(sources)}")
            else:
                done[name, call] = [inputs[i]]
        for layer in layers:
            for i in range(layer.unread):
                done[layer.name, i] = run.lost(layer.name)
        waiting = [
            (layer, first[layer.name] + i, made)
            for layer in layers
            for i, made in enumerate(layer.calls)
            if made.tensors
        ]
        while waiting:
            later = []
            for layer, index, made in waiting:
                if all(reference[:2] in done for reference in made.reads):
                    read = [self._output(done, reference) for reference in made.tensors]
                    stated = [mask and self._output(done, mask) for mask in made.masks]
                    done[layer.name, index] = run.call(layer, read, made.constants, made, stated)
                else:
                    later.append((layer, index, made))
            if len(later) == len(waiting):
                layer, _, made = later[0]
                missing = next(reference[0] for reference in made.reads if reference[:2] not in done)
                raise self._bad(f"layer {layer.name!r} reads {missing!r}, which is missing or depends on it")
            waiting = later
        for reference in results:
            if reference[:2] not in done:
                raise self._bad(f"the output layer {reference[0]!r} is missing from the configuration")
        return [self._output(done, reference) for reference in results]

    def _output(self, done: Mapping[tuple[str, int], list[str]], reference: tuple[str, int, int]) -> str:
        tensors = done[reference[:2]]
        if self.net.unknown(tensors):
            return tensors[0]
        if reference[2] >= len(tensors):
            raise self._bad(f"layer {reference[0]!r} has {len(tensors)} outputs, number {reference[2]} is read")
        return tensors[reference[2]]

    def _first_calls(self, layers: list[LayerConfig], results: list[tuple[str, int, int]]) -> dict[str, int]:
        """Return the number of each layer's first call: 0, or 1 for a sub-model whose own construction counts as 0."""
        used: dict[str, set[int]] = {layer.name: set() for layer in layers}
        for name, call, _ in [*results, *(item for layer in layers for c in layer.calls for item in c.reads)]:
            used.setdefault(name, set()).add(call)
        return {
            layer.name: int(layer.kind in MODELS and bool(used[layer.name]) and 0 not in used[layer.name])
            for layer in layers
        }

    def _declare(self, name: str, shape: Any, layer: LayerConfig) -> str:
        """Declare a model input; open dimensions come from the example."""
        if layer.kind == "InputLayer":
            for attr in ("sparse", "ragged", "optional"):
                if layer.config.get(attr):
                    raise UnsupportedError(f"layer {name!r} (InputLayer): attribute {attr!r} = True is not supported")
            if layer.config.get("dtype") == "string":
                raise UnsupportedError(f"layer {name!r} (InputLayer): attribute 'dtype' = 'string' is not supported")
        position, self._seen_inputs = self._seen_inputs, self._seen_inputs + 1
        example = self.examples[position] if position < len(self.examples) else None
        if shape is None:
            if example is None:
                raise ModelError(
                    f"model {self.label}: the shape of input {name!r} is not in the file",
                    hint="give one example input (example=x[:1])",
                )
            return self.net.input(name, example)
        if not isinstance(shape, list) or not all(d is None or (type(d) is int and d >= 0) for d in shape) or not shape:
            raise self._bad(f"input {name!r} has the shape {shape!r:.80}")
        known = shape[1:]
        if example is not None:
            if len(example) != len(known) or any(d not in (None, e) for d, e in zip(known, example, strict=True)):
                raise ModelError(
                    f"model {self.label}: input {name!r} has the shape {_shown(known)} (without the batch), "
                    f"the example has {tuple(example)}"
                )
            known = list(example)
        if any(dim is None for dim in known):
            raise ModelError(
                f"model {self.label}: input {name!r} has the shape {_shown(known)} with dimensions left open",
                hint="give one example input (example=x[:1])",
            )
        return self.net.input(name, tuple(known))


@dataclass(frozen=True)
class _Run:
    """What calling the layers of one (sub-)model needs."""

    walker: KerasWalker
    weights: WeightSource
    places: Mapping[str, Any]
    path: tuple[str, ...]
    leaves: tuple[str, ...]

    def call(
        self,
        layer: LayerConfig,
        inputs: list[str],
        constants: Mapping[str, Any],
        made: Call | None = None,
        stated: Sequence[str | None] = (),
    ) -> list[str]:
        """Add one call of a layer; returns its output tensors. In a survey, what is unsupported is noted.

        `stated`: masks that the call gives for its inputs.
        """
        name = "/".join((*self.path, layer.name))
        try:
            if layer.unread:
                return self.lost(name)
            if self.walker.net.unknown(inputs):
                inputs = self._guessed(layer, inputs)
            net, major = self.walker.net, int(self.walker.versions.get("keras_major") or 3)
            if layer.kind in MODELS:
                return self._called(layer, masks.given(net, name, "Dense", inputs, stated), constants, made)
            inputs = masks.given(net, name, layer.kind, inputs, stated)
            masks.check(net, name, layer.kind, layer.config, inputs, major)
            outputs = self._called(layer, inputs, constants, made)
            return masks.handed_on(net, name, layer.kind, layer.config, inputs, outputs, major)
        except ModelError as error:
            if layer.kind in MODELS or not noted(error, name, layer.kind):
                raise
            return self.lost(name)

    def lost(self, name: str) -> list[str]:
        """Return the output of an unsupported layer, whose shape is not known."""
        return [self.walker.net.placeholder(f"{name} (unsupported)", None)]

    def _guessed(self, layer: LayerConfig, inputs: list[str]) -> list[str]:
        """Return the inputs with the shape that the layer was built for, where one is unknown and the file says it."""
        shape, net = layer.build_shape, self.walker.net
        known = isinstance(shape, list) and all(type(dim) is int for dim in shape[1:]) and len(inputs) == 1
        return [net.placeholder(inputs[0], tuple(shape[1:]))] if known else inputs

    def _called(
        self, layer: LayerConfig, inputs: list[str], constants: Mapping[str, Any], made: Call | None
    ) -> list[str]:
        walker, path = self.walker, (*self.path, layer.name)
        place = self.places.get(layer.name)
        if layer.kind in MODELS:
            if constants:
                raise UnsupportedError(f"layer {layer.name!r} ({layer.kind}): it is called with constants")
            leaves = self.leaves or tuple(_leaf_names([{"config": layer.config}]))
            return walker._model(layer, self.weights.inside(place), inputs, path, leaves)
        name = "/".join(path)
        if layer.kind == "InputLayer":
            return inputs
        wrapped = layer.config.get("layer")
        if layer.kind == "TimeDistributed" and isinstance(wrapped, dict) and wrapped.get("class_name") in MODELS:
            return self._every_step(layer, wrapped, inputs, path)
        rule = import_rule("keras", layer.kind)
        if rule is None:
            raise _unknown(name, layer)
        if walker.net.unknown(inputs):
            return self.lost(name)
        attrs = {key: value for key, value in layer.config.items() if not key.endswith(_TRAINING_ONLY)}
        arrays: Arrays = {} if place is None else self.weights.arrays(place)
        if layer.kind == "ops.GetItem":
            attrs, constants = {**attrs, "key": constants.get("1")}, {}
        arrays.update(_constant_arrays(name, layer.kind, constants))
        versions = walker.versions
        if layer.kind.rpartition(">")[2] in SIGNATURES:
            names = made.names if made is not None else SIGNATURES[layer.kind.rpartition(">")[2]][: len(inputs)]
            versions = {**versions, "arguments": names}
            for key, value in ({} if made is None else made.plain).items():
                if isinstance(value, bool | int | float | str):
                    attrs[f"call {key}"] = value
                else:
                    arrays.update(_constant_arrays(name, layer.kind, {key: value}, "call"))
        record = Record(name, layer.kind, tuple(inputs), attrs, arrays, versions)
        record.ignore("name", *_PLUMBING)
        _expect_float(record)
        try:
            tensor = rule(record, walker.net)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise ModelError(
                f"layer {name!r} ({layer.kind}): its settings are not as Keras writes them: {error}",
                hint="save the model again with model.save(...)",
            ) from error
        record.finish()
        return [tensor] if isinstance(tensor, str) else tensor

    def _every_step(
        self, layer: LayerConfig, wrapped: dict[str, Any], inputs: list[str], path: tuple[str, ...]
    ) -> list[str]:
        """Call the sub-model in a `TimeDistributed` on every step."""
        walker, net, name = self.walker, self.walker.net, "/".join(path)
        if len(inputs) != 1 or not net.shape(inputs[0]):
            raise UnsupportedError(f"layer {name!r} (TimeDistributed): one input with an axis of steps is expected")
        model = walker._layer(wrapped, 0)
        leaves = self.leaves or tuple(_leaf_names([{"config": model.config}]))
        steps, *rest = net.shape(inputs[0])
        rows = []
        for t, step in enumerate(parts(net, f"{name}_step", inputs[0], 0, [1] * steps)):
            x = net.add("reshape", f"{name}_input{t}", [step], {"shape": tuple(rest)})
            weights = self.weights.inside(self.places.get(layer.name), "layer")
            rows.append(walker._model(model, weights, [x], path, leaves))
        return [joined_steps(net, name, list(at)) for at in zip(*rows, strict=True)]


def _function(config: Mapping[str, Any]) -> str:
    """Return the TensorFlow function of a layer that is one, by its name."""
    function = config["config"].get("function") if isinstance(config.get("config"), dict) else None
    return f"tf.{function}" if config["class_name"] == "TFOpLambda" and isinstance(function, str) else ""


_INSTEAD = {
    ("ConvLSTM",): "use TimeDistributed(Conv…) with an LSTM behind it",
    ("LocallyConnected",): "use a Dense layer, or a convolution, whose weights are shared",
    ("Hashing", "HashedCrossing", "StringLookup", "IntegerLookup", "TextVectorization", "DenseFeatures"): (
        "encode the features before the model and give it numbers; Discretization and CategoryEncoding are supported"
    ),
    ("RandomCrop",): "crop before the model, or use CenterCrop",
    ("MelSpectrogram", "STFTSpectrogram"): "compute the spectrogram before the model and give it as the input",
    ("TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer"): (
        "compile the wrapped model itself; the code of another framework is not in a Keras file"
    ),
}
"""What to use instead of layers that are known and not supported (the first name also as a beginning)."""


def _unknown(name: str, layer: LayerConfig) -> UnsupportedError:
    if layer.class_name == "Lambda":
        return UnsupportedError(
            f"layer {name!r}: a Lambda layer holds Python code, and the code of a model file is never run",
            hint="write it with standard layers or operations of keras.ops and save the model again",
        )
    if layer.kind != layer.class_name:
        return UnsupportedError(
            f"layer {name!r}: the class {layer.kind!r} is not one of Keras' own and no import rule knows it",
            hint="replace it with standard layers, or add an import rule for it in hardwire/layers",
        )
    hint = next(
        (hint for kinds, hint in _INSTEAD.items() if layer.kind in kinds or layer.kind.startswith(kinds[0])), None
    )
    return UnsupportedError(
        f"layer {name!r}: the Keras layer {layer.kind!r} is not supported",
        hint=hint or "replace it with supported layers (docs: layers), or report it with the model file",
    )


def _expect_float(record: Record) -> None:
    """Take the layer's dtype: a float type or a mixed policy; the weights are exact in any of them."""
    dtype = record.take("dtype", "float32")
    name = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    integers = record.kind in _ON_INTEGERS and isinstance(name, str) and name.startswith(("int", "uint", "bool"))
    if name is not None and name not in _FLOATS and not integers:
        raise record.unsupported("dtype", name, f"only {', '.join(_FLOATS)} are supported")


def _listed(value: Any) -> list[tuple[str, int, int]]:
    """Tensors of an argument, if it is some."""
    tensors = isinstance(value, list) and bool(value) and all(isinstance(item, tuple) for item in value)
    return value if tensors else []


def _constant_arrays(name: str, kind: str, constants: Mapping[str, Any], word: str = "operand") -> Arrays:
    """Constant operands of a `keras.ops` call as arrays by operand position."""
    import numpy as np

    arrays: Arrays = {}
    for position, value in constants.items():
        if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
            value = value.get("config", {}).get("value")
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise UnsupportedError(
                f"layer {name!r} ({kind}): argument {position} = {value!r:.60} is not understood"
            ) from None
        arrays[f"{word} {position}"] = array
    return arrays


def _kind(config: Mapping[str, Any]) -> str:
    """Return the class as rules know it: `Dense`, `ops.Add` (an operation on tensors), `hgq>QDense`, `mine.Dense`."""
    class_name: str = config["class_name"]
    registered, module = config.get("registered_name"), config.get("module")
    if isinstance(registered, str) and ">" in registered:
        return registered
    if isinstance(module, str) and module.startswith(("keras.src.ops", "keras.ops")):
        return f"ops.{class_name}"
    inner = config.get("config")
    # HDF5 of Keras 3 names no modules; nearly every layer is trainable or not and has a dtype, few operations have.
    bare = isinstance(inner, dict) and module is None and not {"trainable", "layers"} & inner.keys()
    unknown = class_name != "InputLayer" and import_rule("keras", class_name) is None
    if bare and (import_rule("keras", f"ops.{class_name}") or (unknown and "dtype" not in config["config"])):
        return f"ops.{class_name}"
    if isinstance(module, str) and module.split(".")[0] not in ("keras", "tf_keras", "tensorflow", "builtins"):
        return f"{module}.{class_name}"
    return class_name


def _keras_tensors(arg: Any) -> Iterator[Any]:
    """Histories of the tensors in a (nested) argument of a Keras 3 call, dictionaries in the order of their keys."""
    if isinstance(arg, dict):
        if arg.get("class_name") == "__keras_tensor__":
            config = arg.get("config")
            yield config.get("keras_history") if isinstance(config, dict) else None
        else:
            for key in sorted(arg):
                yield from _keras_tensors(arg[key])
    elif isinstance(arg, list):
        for item in arg:
            yield from _keras_tensors(item)


def _legacy_tensors(node: Any) -> list[Any]:
    """Input references of a Keras 2 call: `[[name, call, output, kwargs], …]` or one of them alone."""
    if isinstance(node, dict):
        return [item for key in sorted(node) for item in _legacy_tensors(node[key])]
    if isinstance(node, list) and node and isinstance(node[0], str):
        return [node]
    return list(node) if isinstance(node, list) else [node]


def _references(value: Any) -> list[Any]:
    """Input or output references of a model: one, a (nested) list, or a dictionary in the order of its keys."""
    if isinstance(value, dict):
        return [item for key in sorted(value) for item in _references(value[key])]
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value]
    return [item for part in value for item in _references(part)] if isinstance(value, list) else []


def _leaf_names(layers: list[Any]) -> Iterator[str]:
    for layer in layers:
        config = layer.get("config", {}) if isinstance(layer, dict) else {}
        if isinstance(config, dict) and isinstance(config.get("layers"), list):
            yield from _leaf_names(config["layers"])
        elif isinstance(config, dict):
            yield str(config.get("name"))


def _input_shape(config: Mapping[str, Any]) -> Any:
    """Shape of the first input of a sub-model, where it says so."""
    layers = config.get("layers")
    first = layers[0] if isinstance(layers, list) and layers else None
    inner = first.get("config") if isinstance(first, dict) else None
    if not isinstance(inner, dict):
        return None
    return _first_known(inner.get("batch_shape"), inner.get("batch_input_shape"), config.get("build_input_shape"))


def _first_known(*shapes: Any) -> Any:
    return next((shape for shape in shapes if shape is not None), None)


def _shown(shape: list[int | None]) -> str:
    return "(" + ", ".join("?" if dim is None else str(dim) for dim in shape) + ("," if len(shape) == 1 else "") + ")"


def _calls_from_zero(layers: list[LayerConfig], results: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Number a sub-model's calls from 0 in the model's outputs, where its readers do: Keras 3 counts them from 1 there
    (its own construction is 0) and from 0 everywhere else."""
    read = {item[:2] for layer in layers for call in layer.calls for item in call.tensors}
    named = {item[:2] for item in results}
    ahead = {
        layer.name
        for layer in layers
        if layer.kind in MODELS and (layer.name, 0) in read and (layer.name, 0) not in named
    }
    return [(name, call - (name in ahead), tensor) for name, call, tensor in results]
