"""Walks the calls of an hls4ml top function and hands each, as a record, to the import rule of its function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends._hls4ml_cpp import Call, Function, Tokens, Variable
from hardwire.frontends._hls4ml_scope import Scope, Tensor
from hardwire.layers import import_rule
from hardwire.layers._hls4ml import Output
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record

_NO_LAYERS = ("load_weights_from_txt", "load_compressed_weights_from_txt", "load_exponent_weights_from_txt")
_TRACES = ("save_layer_output", "save_output_array", "print_result", "print_full_result")
_CALL = re.compile(r"nnet::\w+\s*<[^;]*>\s*\(([^;()]*)\)\s*;[ \t]*//[ \t]*(\S+)[ \t]*$", re.M)


@dataclass
class _Place:
    """A tensor variable: its type, its length (None for a stream), and the Network tensor once it is written."""

    type: Tensor
    shape: Shape | None
    tensor: str | None = None


def call_names(text: str) -> dict[str, str]:
    """Names that hls4ml writes as comments behind calls, by the text of the call's arguments."""
    return {re.sub(r"\s", "", match[1]): match[2] for match in _CALL.finditer(text)}


class Walker:
    """Turns a top function into nodes of a `NetworkBuilder`."""

    def __init__(
        self, scope: Scope, net: NetworkBuilder, names: Mapping[str, str], shapes: Mapping[str, Shape]
    ) -> None:
        self.scope = scope
        self.net = net
        self.names = names
        self.shapes = shapes
        self.label = scope.label
        self.places: dict[str, _Place] = {}
        self.aliases: dict[str, str] = {}

    def walk(self, top: Function) -> list[str]:
        """Add every call; returns the Network tensors of the outputs."""
        body = top.body or []
        calls = [item for item in body if isinstance(item, Call) and self._layer(item)]
        for variable in [*top.parameters, *(item for item in body if isinstance(item, Variable))]:
            self._declare(variable)
        written: set[str] = set()
        first: dict[str, Call] = {}
        for call in calls:
            tensors = [self._name(argument) for argument in call.arguments]
            for name in tensors:
                if name in self.places and name not in first:
                    first[name] = call
        outputs = [v.name for v in top.parameters if v.name in self.places]
        inputs = [name for name in outputs if name in first and self._reads(first[name], name, written)]
        for name in inputs:
            self._input(name, first[name])
        outputs = [name for name in outputs if name not in inputs]
        for call in calls:
            self._call(call)
        if not inputs or not outputs:
            raise ModelError(f"{self.label}: the top function {top.name!r} has no {'outputs' if inputs else 'inputs'}")
        return [self._output(name) for name in outputs]

    def _layer(self, call: Call) -> bool:
        short = call.function.rpartition("::")[2]
        return short not in _NO_LAYERS and short not in _TRACES

    def _declare(self, variable: Variable) -> None:
        if self.scope.has_weight(variable.name):
            return
        if variable.type == ("auto",):
            if variable.value is None or len(variable.value) != 1:
                raise UnsupportedError(f"{self.label}: 'auto {variable.name}' is not understood")
            self.aliases[variable.name] = variable.value[0]
            return
        kind = self.scope.type(variable.type)
        if isinstance(kind, str) or (variable.length is None and not isinstance(kind, Tensor)):
            return  # a flag or a size, which no layer reads
        tensor = kind if isinstance(kind, Tensor) else Tensor(kind)
        self.places[variable.name] = _Place(tensor, self._shape(variable.length))

    def _shape(self, length: Tokens | None) -> Shape | None:
        """Read `N_1*N_2` as a shape of two axes; None for a stream."""
        if length is None:
            return None
        parts: list[list[str]] = [[]]
        for token in length:
            if token == "*" and all(part.count("(") == part.count(")") for part in parts):
                parts.append([])
            else:
                parts[-1].append(token)
        dims = tuple(self.scope.integer(tuple(part), "an array's length") for part in parts)
        if any(dim < 1 for dim in dims) or prod(dims) > 1 << 31:
            raise ModelError(f"{self.label}: an array of {' '.join(length)} elements")
        return dims

    def _name(self, argument: Tokens) -> str:
        name = argument[0] if len(argument) == 1 else ""
        for _ in range(len(self.aliases)):
            name = self.aliases.get(name, name)
        return name

    def _reads(self, call: Call, name: str, written: set[str]) -> bool:
        """Whether the first call that a parameter occurs in reads it: its result comes behind all that it reads."""
        names = [self._name(argument) for argument in call.arguments]
        tensors = [other for other in names if other in self.places]
        return tensors[0] == name or (tensors[-1] != name and not call.function.endswith("clone_stream"))

    def _input(self, name: str, reader: Call) -> None:
        place = self.places[name]
        shape = self.shapes.get(name) or place.shape or self._stream_shape(name, reader)
        if place.shape is not None and prod(shape) != prod(place.shape):
            shape = place.shape
        tensor = self.net.input(name, shape)
        tensor = self.net.add("quantise", f"{name}_cast", [tensor], {"quantiser": place.type.element.quantiser()})
        place.tensor = self.net.add("reshape", f"{name}_flat", [tensor], {"shape": (prod(shape),)})

    def _stream_shape(self, name: str, reader: Call) -> Shape:
        """Shape of an input stream, from the config of the call that reads it."""
        config = self._config(reader)
        for keys in (
            ("in_height", "in_width", "n_chan"),
            ("in_height", "in_width", "n_filt"),
            ("height", "width", "n_chan"),
            ("in_width", "n_chan"),
            ("n_sequence", "n_in"),
            ("n_timesteps", "n_in"),
            ("n_in", "n_filt"),
            ("N",),
            ("n_elem",),
            ("n_in",),
        ):
            dims = [config.get(key) for key in keys]
            if all(isinstance(dim, int) and dim > 0 for dim in dims):
                return tuple(int(dim) for dim in dims if isinstance(dim, int))
        lengths = [self.scope.number(part) for part in reader.template if len(part) == 1 and part[0].isdigit()]
        if lengths:
            return (int(lengths[-1]),)
        raise UnsupportedError(
            f"{self.label}: the length of the input stream {name!r} is not to be seen",
            hint="keep hls4ml_config.yml, whose InputShapes says it, beside firmware/",
        )

    def _config(self, call: Call) -> dict[str, Any]:
        """Return the members of the config that a call names as its last template argument that is a struct."""
        for part in reversed(call.template):
            if len(part) == 1 and part[0] in self.scope.unit.structs:
                return self.scope.config(part[0])
        return {}

    def _call(self, call: Call) -> None:
        function = call.function.removeprefix("::")
        short = function.rpartition("::")[2]
        text = ",".join("".join(argument) for argument in call.arguments)
        inputs, outputs, kinds = [], [], []
        arrays: dict[str, Any] = {}
        numbers: dict[str, Any] = {}
        weight_types = []
        for argument in call.arguments:
            name = self._name(argument)
            if name in self.places:
                place = self.places[name]
                if place.tensor is not None:
                    inputs.append(place.tensor)
                    kinds.append(place.type)
                else:
                    outputs.append((name, place))
            elif name and self.scope.has_weight(name):
                weight_types.append(self.scope.weight_type(name))
                arrays[str(len(arrays))] = self.scope.weight(name)
            else:
                value = self.scope.number(argument)
                if isinstance(value, str):
                    raise ModelError(
                        f"{self.label}, call of {short}: {value!r} is no tensor, and there are no weights of this name "
                        f"(firmware/weights/{value}.h)",
                        hint="write the project again with its weights (hls_model.write())",
                    )
                numbers[f"argument{len(numbers)}"] = value
        layer = self.names.get(text) or (outputs[0][0] if outputs else short)
        if not outputs or not inputs:
            raise ModelError(
                f"{self.label}, layer {layer!r} ({short}): its arguments {text!r} name no "
                f"{'result' if inputs else 'input that was computed before'}"
            )
        template = [self.scope.type(part) if part and not part[0][0].isdigit() else part for part in call.template]
        versions = {
            "types": tuple(kind.element for kind in kinds),
            "lanes": tuple(kind.lanes for kind in kinds),
            "stream": kinds[0].stream,
            "outputs": tuple(
                Output(name, place.type.element, place.shape, place.type.lanes) for name, place in outputs
            ),
            "template": tuple(template),
            "weight_types": tuple(weight_types),
            "numbers": tuple(self.scope.number(part) for part in call.template if part and part[0][0].isdigit()),
            "release": self.scope.release(),
        }
        config = self._config(call)
        inner = config.get("mult_config")
        kernels = [config.get("dense_da"), inner.get("kernel") if isinstance(inner, dict) else None]
        own = re.search(r"\bdense_da_(?:wrapper_)?(\w+)", " ".join(str(kernel) for kernel in kernels))
        code = None
        if own is not None or import_rule("hls4ml", short) is None:
            code = self.scope.generated(f"dense_da_{own[1]}" if own is not None else short)
        versions["code"] = code
        versions["windows"] = self.scope.windows(str(config.get("fill_buffer"))) if own is not None else None
        kind = "generated" if code is not None and "conv" not in short else short
        record = Record(layer, kind, tuple(inputs), {**config, **numbers}, arrays, versions)
        rule = import_rule("hls4ml", kind)
        if rule is None:
            raise UnsupportedError(
                f"layer {layer!r}: the function nnet::{short} of hls4ml is not supported",
                hint="read the model that the project was made from (Keras, ONNX, PyTorch) instead",
            )
        result = rule(record, self.net)
        record.finish()
        results = [result] if isinstance(result, str) else result
        if len(results) != len(outputs):
            raise UnsupportedError(f"layer {layer!r} ({short}): {len(outputs)} results, {len(results)} are understood")
        for tensor, (name, place) in zip(results, outputs, strict=True):
            size = prod(self.net.shape(tensor))
            if place.shape is not None and size != prod(place.shape):
                raise ModelError(
                    f"layer {layer!r} ({short}): {size} results, but {name!r} has room for {prod(place.shape)}"
                )
            place.tensor = self.net.add("reshape", f"{layer}_flat", [tensor], {"shape": (size,)})

    def _output(self, name: str) -> str:
        place = self.places[name]
        if place.tensor is None:
            raise ModelError(f"{self.label}: no call writes the output {name!r}")
        size = prod(self.net.shape(place.tensor))
        shape = self.shapes.get(name) or place.shape or (size,)
        if prod(shape) != size:
            shape = (size,)
        return self.net.add("reshape", f"{name}_shape", [place.tensor], {"shape": shape})
