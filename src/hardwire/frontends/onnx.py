"""ONNX and QONNX: `.onnx` files and live `ModelProto` objects become Networks; no cleaning step before.

The walk folds constants, follows shapes through the layers' own rules and drops the batch (axis 0, fixed or dynamic).
Operators are imported by the rules in `layers/`, found by name: `Gemm` for standard ones, `qonnx::Quant` for those of
QONNX under any of its domain names, `domain::Op` for others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np

from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.frontends import _onnx_late as late
from hardwire.frontends import _onnx_qdq as qdq
from hardwire.frontends._onnx_constants import BATCHES, PURE, QUANTISERS, Constant, attributes, constant_node, evaluate
from hardwire.frontends._onnx_file import check, live_digest, onnx_package, opset_of, read_file, tensor
from hardwire.frontends._onnx_qdq import Integers
from hardwire.frontends._onnx_rewrite import refusal, written_out
from hardwire.frontends._torch_places import FRONT, Place
from hardwire.layers import _onnx as rules
from hardwire.layers import import_rule
from hardwire.network.graph import Network, NetworkBuilder, Shape
from hardwire.network.records import Record
from hardwire.network.survey import noted

FORMAT = "onnx"

STANDARD = ("", "ai.onnx")
"""Domain names of the standard operators."""

QONNX = ("", "ai.onnx", "onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general")
"""Domain names under which QONNX operators are written."""

_KEEP_INTEGERS = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"}
"""Operators that an integer tensor may pass through."""

_MOVE_INTEGERS = {
    *("Slice", "Split", "Gather", "Tile", "Expand", "Concat", "Min", "Max", "ReduceMax", "ReduceMin", "Where"),
    *("DepthToSpace", "SpaceToDepth", "MaxPool", "And", "Or", "Xor", "Not", "GatherElements", "GatherND"),
}
_MOVE_CODES = {
    *("Slice", "Split", "Gather", "Tile", "Expand", "ReduceMax", "ReduceMin", "MaxPool"),
    *("DepthToSpace", "SpaceToDepth"),
}
"""Operators that commute with reading codes of one scale and zero point: values are in the order of their codes."""

_DECIDE_ON_INTEGERS = {
    *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "OneHot"),
    "ArrayFeatureExtractor",
}
"""Operators that cannot overflow on tensors that hold the integers themselves."""

_BROADCAST = {
    *("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Mean", "Min", "Max", "Where", "PRelu", "Mod", "Concat"),
    *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "And", "Or", "Xor"),
}
"""Operators that broadcast: of a constant with equal rows for every example one row is enough."""

_SHAPE_OPERANDS = {("Reshape", 1), ("Expand", 1), ("Resize", 3)}
"""Operators whose operand at that position is a shape; its first entry may be the batch size."""

_COUNTS = {"Add", "Sub"}
"""Operators on integers of 32 bits at least, as indices are counted."""

_OWN = {"Constant", "Shape", "Size", "QuantizeLinear", "DequantizeLinear", "Identity", "Dropout", "Cast"}
"""Operators that the walk imports itself."""

_FLOATS = (1, 10, 11, 16)
"""`TensorProto` FLOAT, FLOAT16, DOUBLE, BFLOAT16."""


def accepts(source: Any) -> bool:
    """Whether `source` is an ONNX file (by its name, or by its first bytes) or a live `ModelProto`."""
    if isinstance(source, Path):
        if not source.is_file():
            return False
        if source.suffix.lower() in (".onnx", ".qonnx"):
            return True
        with source.open("rb") as file:
            head = file.read(3)
        # Field 1 (ir_version) as a small number, then another field of ModelProto with a length or a number.
        return len(head) == 3 and head[0] == 0x08 and 3 <= head[1] <= 32 and head[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)
    kind = type(source)
    return kind.__name__ == "ModelProto" and kind.__module__.split(".")[0] == "onnx"


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Import a model.

    `example`: an array (batch first) or a tuple of them, for inputs whose shape the file leaves open. Raises
    `ModelError` for what cannot be read, `UnsupportedError` naming the node for what hardwire does not know, and
    `MissingToolError` without the package `onnx`.
    """
    if weights is not None:
        raise ModelError("an ONNX model carries its weights itself; weights= is not understood")
    if isinstance(source, Path):
        what, folder = f"model {str(source)!r}", source.parent
        model, digest = read_file(source)
        name = source.stem
    else:
        what, folder = "the ONNX model", None
        onnx_package(what)
        model, digest = source, live_digest(source)
        check(model, what)
        name = model.graph.name or "model"
    return _Walk(model, what, name, folder, digest, example).network()


class _Walk:
    """One import: the graph in order, constants and tensors by their names in the file."""

    def __init__(self, model: Any, what: str, name: str, folder: Path | None, digest: str, example: Any) -> None:
        self.onnx = onnx_package(what)
        self.what = what
        self.folder = folder
        self.opset = opset_of(model, what)
        if model.functions:
            model = self._inlined(model)
        self.graph = model.graph
        self.nodes = written_out(model.graph.node, STANDARD)
        self.constants: dict[str, Constant] = {}
        self.tensors: dict[str, str] = {}
        self.places: dict[str, Place] = {}
        """Axis of the batch of tensors in which it is not the first."""
        self.integers: dict[str, Integers] = {}
        self.types: dict[str, int] = {}
        self.batch: int | None = None
        self.initialisers = {proto.name: proto for proto in self.graph.initializer}
        self.consumers: dict[str, list[Any]] = defaultdict(list)
        self.makers: dict[str, Any] = {}
        self.fused: set[int] = set()
        self.net = NetworkBuilder(name, self._source(model, digest))
        self.model = model
        self.lost: set[str] = set()
        """In a survey, tensors that unsupported nodes make."""
        self.inferred: dict[str, Any] = {}
        self.example = example

    def _inlined(self, model: Any) -> Any:
        import onnx.inliner

        try:
            return onnx.inliner.inline_local_functions(model)
        except Exception as error:
            raise ModelError(f"{self.what}: its functions cannot be put in place ({error})") from None

    def _source(self, model: Any, digest: str) -> dict[str, Any]:
        ops = {(node.domain, node.op_type) for node in self.nodes}
        kind = "onnx"
        if any(op in ("QuantizeLinear", "DequantizeLinear") for _, op in ops):
            kind = "onnx-qdq"
        if any(domain in QONNX and import_rule("onnx", f"qonnx::{op}") for domain, op in ops):
            kind = "qonnx"
        producer = f"{model.producer_name} {model.producer_version}".strip()
        return {
            "format": kind,
            "sha256": digest,
            "opset": self.opset,
            "ir_version": int(model.ir_version),
            "producer": producer,
        }

    def network(self) -> Network:
        """Walk the graph and return the Network."""
        self._inputs()
        order = self._constants_first(self._order())
        for node in order:
            self.makers.update(dict.fromkeys(node.output, node))
            for key in node.input:
                self.consumers[key].append(node)
        for node in order:
            if id(node) not in self.fused:
                self._node(node)
        return self.net.build([self._output(value.name) for value in self.graph.output if value.name not in self.lost])

    def _inputs(self) -> None:
        values = [value for value in self.graph.input if value.name not in self.initialisers]
        if not values:
            raise ModelError(f"{self.what}: the graph has no input that is no parameter")
        examples = [self.example] if not isinstance(self.example, tuple | list) else list(self.example)
        given = dict(zip([value.name for value in values], examples, strict=False)) if self.example is not None else {}
        if given and len(examples) != len(values):
            raise ModelError(f"{self.what}: {len(examples)} examples for {len(values)} inputs")
        for value in values:
            shape = self._input_shape(value, given.get(value.name))
            tensor_name = self.net.input(value.name, shape)
            kind = int(value.type.tensor_type.elem_type)
            if kind not in (0, *_FLOATS):
                tensor_name = qdq.integer_input(self.net, value.name, tensor_name, kind)
                self.integers[value.name] = Integers(wide=kind in (6, 7))
            self.tensors[value.name] = tensor_name

    def _input_shape(self, value: Any, example: Any) -> Shape:
        """Shape without the batch; open dimensions come from the example."""
        kind = value.type
        dims: list[int | None] | None = None
        if kind.HasField("tensor_type") and kind.tensor_type.HasField("shape"):
            dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.tensor_type.shape.dim]
        elif kind.WhichOneof("value") not in (None, "tensor_type"):
            raise UnsupportedError(f"input {value.name!r}: a {kind.WhichOneof('value')}; only tensors are supported")
        if example is not None:
            shape = tuple(int(dim) for dim in np.shape(example))
            stated = dims if dims is not None else [None] * len(shape)
            fits = len(stated) == len(shape)
            if not fits or any(dim not in (None, got) for dim, got in list(zip(stated, shape, strict=True))[1:]):
                raise ModelError(f"input {value.name!r}: the example has the shape {shape}, the model expects {stated}")
            dims = [stated[0] if stated else None, *shape[1:]]
        if not dims:
            raise ModelError(
                f"input {value.name!r}: the model does not say its shape"
                if dims is None
                else f"input {value.name!r}: a scalar has no batch axis",
                hint="pass an example input (example=x[:1])",
            )
        if any(dim is None or dim <= 0 for dim in dims[1:]):
            shown = ["?" if dim is None else dim for dim in dims]
            raise ModelError(
                f"input {value.name!r}: the model leaves its shape open: {shown}; only the batch (the first) may be",
                hint="pass an example input (example=x[:1]), or export with fixed sizes",
            )
        batch = dims[0] or None
        if batch is not None and batch > 0:
            if self.batch not in (None, batch):
                raise ModelError(
                    f"input {value.name!r}: {batch} events on axis 0, another input has {self.batch}",
                    hint="axis 0 of every input is the batch; parameters must be initialisers",
                )
            self.batch = batch
        return tuple(int(dim) for dim in dims[1:] if dim is not None)

    def _order(self) -> list[Any]:
        """Nodes that the outputs need, each after those that it reads; the file's order where that is one."""
        nodes = self.nodes
        producer: dict[str, int] = {}
        for index, node in enumerate(nodes):
            for key in node.output:
                if key and (key in producer or key in self.tensors or key in self.initialisers):
                    raise ModelError(f"{self.what}: tensor {key!r} is made twice")
                if key:
                    producer[key] = index
        needed: set[int] = set()
        stack = [producer[value.name] for value in self.graph.output if value.name in producer]
        while stack:
            index = stack.pop()
            if index in needed:
                continue
            needed.add(index)
            for key in nodes[index].input:
                if key in producer:
                    stack.append(producer[key])
                elif key and key not in self.tensors and key not in self.initialisers:
                    raise ModelError(f"layer {_name(nodes[index])!r}: reads tensor {key!r}, which nothing makes")
        waiting = {i: {producer[key] for key in nodes[i].input if key in producer} for i in needed}
        readers: dict[int, list[int]] = defaultdict(list)
        for index, sources in waiting.items():
            for origin in sources:
                readers[origin].append(index)
        ready = [index for index, sources in waiting.items() if not sources]
        heapify(ready)
        order = []
        while ready:
            index = heappop(ready)
            order.append(nodes[index])
            for reader in readers[index]:
                waiting[reader].discard(index)
                if not waiting[reader]:
                    heappush(ready, reader)
        if len(order) != len(needed):
            stuck = min(index for index, sources in waiting.items() if sources)
            raise ModelError(f"layer {_name(nodes[stuck])!r}: its inputs depend on its own output")
        return order

    def _constants_first(self, order: list[Any]) -> list[Any]:
        """Put nodes that depend on no input in front, so that their values are known where they are used."""
        computed = set(self.tensors)
        late: list[Any] = []
        early: list[Any] = []
        for node in order:
            depends = any(key in computed for key in node.input)
            computed.update(node.output if depends else ())
            (late if depends else early).append(node)
        return early + late

    def _constant(self, key: str) -> Constant | None:
        """Value of a tensor of the file if it is constant."""
        if key in self.constants:
            return self.constants[key]
        if key in self.initialisers:
            proto = self.initialisers[key]
            self.types[key] = int(proto.data_type)
            self.constants[key] = Constant(tensor(proto, self.folder, f"initialiser {key!r}"))
            return self.constants[key]
        return None

    def _node(self, node: Any) -> None:
        name = _name(node)
        try:
            if self.lost and any(key in self.lost for key in node.input):
                self._unread(node, name)
            else:
                self._import(node, name)
        except ModelError as error:
            if not noted(error, name, str(node.op_type)):
                raise
            self._placeholders(node, name)
        except HardwireError:
            raise
        except (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError) as error:
            raise ModelError(
                f"layer {name!r} ({node.op_type}): its attributes or operands do not fit each other ({error})",
                hint="check the model with onnx.checker.check_model",
            ) from error

    def _unread(self, node: Any, name: str) -> None:
        """In a survey: check a node by its kind alone, as it reads a tensor of unknown shape."""
        self.lost.update(key for key in node.output if key)
        if node.domain in STANDARD and node.op_type in _OWN:
            return
        if self._key(node) is None:
            raise self._unknown(node, name)

    def _placeholders(self, node: Any, name: str) -> None:
        """In a survey: go on behind an unsupported node, with the shapes that ONNX infers for its outputs."""
        if not self.inferred:
            import onnx.shape_inference

            try:
                model = onnx.shape_inference.infer_shapes(self.model)
            except Exception:  # then only the model's own notes are known
                model = self.model
            values = [*model.graph.value_info, *model.graph.output]
            self.inferred = {value.name: value.type.tensor_type.shape.dim for value in values}
        for key in node.output:
            dims = self.inferred.get(key, ())
            shape = tuple(int(dim.dim_value) for dim in list(dims)[1:])
            if key and dims and all(shape) and key not in self.constants:
                self.tensors[key] = self.net.placeholder(f"{name} (unsupported)", shape)
            elif key:
                self.lost.add(key)

    def _import(self, node: Any, name: str) -> None:
        operands = [self._constant(key) if key else None for key in node.input]
        standard = node.domain in STANDARD
        computed = [key for key, operand in zip(node.input, operands, strict=True) if key and operand is None]
        if standard and node.op_type == "Constant":
            self.constants[node.output[0]] = constant_node(name, attributes(node, self.folder))
        elif standard and node.op_type in ("Shape", "Size") and computed:
            self.constants[node.output[0]] = self._shape(node, name, computed[0])
        elif standard and node.op_type == "QuantizeLinear":
            self._quantise(node, name, operands)
        elif standard and node.op_type == "DequantizeLinear":
            self._dequantise(node, name, operands)
        elif standard and node.op_type == "Clip" and self._codes(node):
            self._clip(node, name, operands)
        elif standard and node.op_type in ("Identity", "Dropout", "Cast", "CastLike") and computed:
            self._pass(node, name, operands)
        elif not computed and node.input:
            self._fold(node, name, operands)
        elif standard and node.op_type == "BatchNormalization" and len(computed) == 3:
            self._example_norm(node, name, operands)
        elif standard and (step := self._moved(node, name, operands, computed)) is not None:
            if step.result is not None:
                self.tensors[node.output[0]] = step.result
                if node.input[0] in self.integers:
                    self.integers[node.output[0]] = self.integers[node.input[0]]
            else:
                if step.inputs:
                    self.tensors.update(zip(computed, step.inputs, strict=True))
                    self.places.update(dict.fromkeys(computed, step.place))
                self._rule(_with_attributes(node, step.attrs), name, list(step.operands))
            readers = [reader for reader in self.consumers.get(node.output[0], []) if id(reader) in self.fused]
            for key in [*node.output, *(key for reader in readers for key in reader.output)]:
                if step.place != FRONT:
                    self.places[key] = step.place
        else:
            self._rule(node, name, operands)

    def _moved(self, node: Any, name: str, operands: list[Constant | None], computed: list[str]) -> late.Step | None:
        """Follow the batch to another axis and back; None for an operator that a rule imports as it stands."""
        found = {self.places.get(key, FRONT) for key in computed}
        place = max(found, key=lambda one: (one.axis, one.outer, one.inner))
        if node.op_type in late.RECURRENT:
            layout = int(attributes(node, self.folder).get("layout", 0))
            if place != Place(1 - layout) or len(computed) != 1:
                raise UnsupportedError(
                    f"layer {name!r} ({node.op_type}): attribute 'layout' = {layout}: its input has the batch on axis "
                    f"{place}; only one computed input with the batch on axis {1 - layout} is supported",
                    hint="export the model with the batch first (batch_first=True)",
                )
            for key, at in zip(node.output, late.places(node.op_type, layout), strict=False):
                self.places[key] = Place(at)
            return None
        attrs = attributes(node, self.folder)
        swap = node.op_type == "Transpose" and list(attrs.get("perm", []))[:1] != [0] and len(attrs.get("perm", [])) > 1
        if place == FRONT and not swap and node.op_type not in ("Reshape", "Unsqueeze"):
            return None
        if len(found) > 1 and self.batch == 1:
            for key in computed:
                old = self.places.get(key, FRONT)
                self.tensors[key], self.places[key] = late.seen_at(self.net, name, self.tensors[key], old, 0)
            found = {self.places[key] for key in computed}
            place = self.places[computed[0]]
        step = None
        integers = [self.integers[key] for key in computed if key in self.integers]
        if len(found) == 1 and (not integers or (node.op_type in _KEEP_INTEGERS and integers[0].per_tensor)):
            tensors = [self.tensors[key] for key in computed]
            step = late.follow(node.op_type, attrs, operands, self.net, name, tensors, place, self.batch, self.opset)
        if step is None and place != FRONT:
            raise UnsupportedError(
                f"layer {name!r} ({node.op_type}): it reads a tensor whose batch is on axis {place}",
                hint="bring the batch to the front first (Transpose), or export with batch_first=True",
            )
        return step

    def _example_norm(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        """Batch normalisation that TensorFlow uses as layer normalisation: the examples stand on the channels' axis,
        and mean and variance are those of each example."""
        key = node.input[0]
        place = self.places.get(key, FRONT)
        epsilon = late.example_norm(node, self.makers, lambda other: self._constant(other) if other else None)
        bounds = [late.only_value(operand) for operand in operands[1:3]]
        if place.axis != 1 or epsilon is None or None in bounds:
            raise UnsupportedError(
                f"layer {name!r} (BatchNormalization): its mean and variance are computed by the model; supported are "
                "constants, and those of each example alone (layer normalisation)",
                hint="export the model in inference mode",
            )
        x = self.tensors[key]
        axes = tuple(axis for axis in range(len(self.net.shape(x))) if not 0 <= axis - 1 < len(place.factors))
        attrs = {"axes": axes, "epsilon": epsilon, "centre": True, "output": None}
        y = self.net.add("layer_norm", name, [x], attrs)
        for kind, value, neutral in zip(("mul", "add"), bounds, (1.0, 0.0), strict=True):
            if value != neutral:
                y = self.net.add(kind, f"{name}_{kind}", [y], {}, {"constant": np.float64(value or 0.0)})
        self.tensors[node.output[0]], self.places[node.output[0]] = y, place

    def _key(self, node: Any) -> str | None:
        """Name under which a node's import rule or constant evaluation is registered."""
        choices = []
        if node.domain in STANDARD:
            choices.append(str(node.op_type))
        if node.domain in QONNX:
            choices.append(f"qonnx::{node.op_type}")
        if node.domain not in QONNX:
            choices.append(f"{node.domain}::{node.op_type}")
        return next((key for key in choices if import_rule("onnx", key) is not None), None)

    def _unknown(self, node: Any, name: str) -> UnsupportedError:
        domain = node.domain or "ai.onnx"
        known = refusal(str(node.op_type)) if node.domain in STANDARD else None
        if known is not None:
            return UnsupportedError(
                f"layer {name!r}: operator {node.op_type!r} is not supported: {known[0]}", hint=f"instead: {known[1]}"
            )
        if ".fpgadataflow" in domain or node.op_type in ("GenericPartition", "StreamingDataflowPartition"):
            return UnsupportedError(
                f"layer {name!r}: operator {node.op_type!r} of domain {domain!r} is hardware that FINN has made of a "
                "part of the model",
                hint="import the model as it was exported (QONNX), before FINN converts it to dataflow layers",
            )
        return UnsupportedError(
            f"layer {name!r}: operator {node.op_type!r} of domain {domain!r} (opset {self.opset}) is not supported",
            hint="replace it by operators that are (hardwire.layers.supported('onnx') lists them)",
        )

    def _record(self, node: Any, name: str, operands: Iterable[Constant | None]) -> Record:
        arrays: dict[str, Any] = {}
        variables: list[int] = []
        inputs: list[str] = []
        for position, (key, operand) in enumerate(zip(node.input, operands, strict=True)):
            if not key:
                continue
            if operand is None:
                variables.append(position)
                inputs.append(self.tensors[key])
                continue
            arrays[str(position)] = self._batch_free(node, name, position, operand)
            if operand.scale is not None:
                arrays[f"{position}.scale"] = np.broadcast_to(operand.scale, operand.array.shape)
        attrs = attributes(node, self.folder)
        used = self._used_outputs(node)
        if used and used[-1]:
            attrs["(outputs read)"] = tuple(used)
        versions = {
            "opset": self.opset,
            "batch": self.batch,
            "variables": tuple(variables),
            "outputs": len(node.output),
        }
        return Record(name, str(node.op_type), tuple(inputs), attrs, arrays, versions)

    def _batch_free(self, node: Any, name: str, position: int, operand: Constant) -> Any:
        """Value of a constant; one that depends on the batch size only as the entry of a shape."""
        other = operand.other
        if other is None:
            return operand.array
        first = operand.array
        if node.op_type in late.RECURRENT and position in (5, 6) and first.ndim == 3:
            start = first[:, :1]
            if np.all(first == start) and np.all(other == start):
                return start  # the same initial state for every example
        if (
            node.op_type in _BROADCAST
            and first.ndim
            and first.shape[0] == BATCHES[0]
            and first.shape[1:] == other.shape[1:]
        ):
            row = first[:1]
            if other.shape[0] == BATCHES[1] and np.all(first == row) and np.all(other == row):
                return row  # the same for every example
        same = first.shape == other.shape and first.ndim == 1 and first.dtype.kind == "i"
        moved = (first != other) if same else None
        if moved is None or (node.op_type, position) not in _SHAPE_OPERANDS:
            raise UnsupportedError(f"layer {name!r} ({node.op_type}): operand {position} depends on the batch size")
        if not np.all((first[moved] == BATCHES[0]) & (other[moved] == BATCHES[1])):
            raise UnsupportedError(f"layer {name!r} ({node.op_type}): the batch would be merged with another axis")
        return np.where(moved, rules.BATCH, first)

    def _used_outputs(self, node: Any) -> list[int]:
        """Positions of the outputs that something reads."""
        ends = {value.name for value in self.graph.output}
        return [i for i, key in enumerate(node.output) if key and (key in ends or self.consumers.get(key))]

    def _bind(self, node: Any, name: str, result: str | list[str]) -> None:
        """Name a node's tensors; a rule that gives one of several outputs has taken `(outputs read)`."""
        used = self._used_outputs(node)
        if isinstance(result, str):
            if len(used) > 1:
                raise UnsupportedError(
                    f"layer {name!r} ({node.op_type}): {len(used)} of its outputs are used; one is supported"
                )
            result = [result] * len(node.output)
        for key, tensor_name in zip(node.output, result, strict=False):
            if key:
                self.tensors[key] = tensor_name

    def _rule(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        key = self._key(node)
        rule = None if key is None else import_rule("onnx", key)
        if rule is None:
            raise self._unknown(node, name)
        integers = [key for key in node.input if key in self.integers]
        kept: Integers | None = None
        if integers:
            kept = self.integers[integers[0]]
            plain = all(self.integers[key].quantiser is None for key in integers)
            alone = (
                len(integers)
                == 1
                == sum(operand is None for key, operand in zip(node.input, operands, strict=True) if key)
            )
            fits = kept.per_tensor and (node.op_type in _KEEP_INTEGERS or (alone and node.op_type in _MOVE_CODES))
            counts = node.op_type in _COUNTS and all(self.integers[key].wide for key in integers)
            if not fits and not (plain and (counts or node.op_type in _MOVE_INTEGERS | _DECIDE_ON_INTEGERS)):
                raise UnsupportedError(
                    f"layer {name!r} ({node.op_type}): reads the integer tensor {integers[0]!r}",
                    hint="put a DequantizeLinear, or a Cast to float, in front of it",
                )
        end = node
        if node.op_type == "MatMul" and operands[-1] is not None and len(operands) == 2:
            end, bias = self._bias(node, operands[1])
            if bias is not None:
                operands = [*operands, bias]
                node_inputs = [*node.input, "bias"]
                node = self.onnx.helper.make_node("MatMul", node_inputs, list(node.output), name=name)
        record = self._record(node, name, operands)
        result = rule(record, self.net)
        record.finish()
        self._bind(end, name, result)
        rows = node.op_type in ("Gather", "ArrayFeatureExtractor") and operands[0] is not None  # of a table
        if kept is not None and node.op_type not in _DECIDE_ON_INTEGERS and not rows:
            self.integers.update((key, kept) for key in end.output if key)
        elif node.op_type in ("ArgMax", "ArgMin", "TopK"):
            self.integers[end.output[-1]] = Integers()
        elif node.op_type in ("TreeEnsembleClassifier", "LinearClassifier") and end.output[0]:
            self.integers[end.output[0]] = Integers()
        elif node.op_type == "ArrayFeatureExtractor" and rows:
            # Entries of a list: the file's tensor is (1, batch).
            self.places[end.output[0]] = Place(1)
            if operands[0] is not None and operands[0].array.dtype.kind == "i":
                self.integers[end.output[0]] = Integers()

    def _bias(self, node: Any, kernel: Constant | None) -> tuple[Any, Constant | None]:
        """Return the Add that puts a bias onto a MatMul's result, and the bias; or the MatMul itself."""
        readers = self.consumers.get(node.output[0], [])
        ends = {value.name for value in self.graph.output}
        if len(readers) != 1 or node.output[0] in ends or readers[0].op_type != "Add" or kernel is None:
            return node, None
        add = readers[0]
        others = [key for key in add.input if key != node.output[0]]
        bias = self._constant(others[0]) if len(add.input) == 2 and len(others) == 1 and others[0] else None
        if add.domain not in STANDARD or add.attribute or bias is None or bias.other is not None:
            return node, None
        width = kernel.array.shape[-1] if kernel.array.ndim == 2 else -1
        rank = len(self.net.shape(self.tensors[node.input[0]]))
        if bias.array.shape != (width,) and not (bias.array.shape == (1, width) and rank):
            return node, None
        self.fused.add(id(add))
        return add, bias

    def _fold(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        """Evaluate a node on constants."""
        key = self._key(node)
        if key in QUANTISERS:
            record = self._record(node, name, operands)
            first = operands[0]
            if first is not None and first.scale is not None:
                record = self._record(node, name, [Constant(first.real()), *operands[1:]])
            result = QUANTISERS[key](record)
            record.finish()
            self.constants[node.output[0]] = result
            return
        if node.domain not in STANDARD or node.op_type not in PURE:
            if key is None:
                raise self._unknown(node, name)
            raise UnsupportedError(
                f"layer {name!r} ({node.op_type}): all its operands are constants; it is not evaluated on constants",
                hint="fold the constants before (onnxsim, or onnxruntime's graph optimisation)",
            )
        for output, value in zip(
            [key for key in node.output if key], evaluate(node, name, self.opset, operands, self.folder), strict=True
        ):
            self.constants[output] = value

    def _shape(self, node: Any, name: str, key: str) -> Constant:
        """Shape of a computed tensor, for both of `BATCHES`."""
        attrs = attributes(node, self.folder)
        start, end = attrs.pop("start", 0), attrs.pop("end", None)
        if attrs:
            raise UnsupportedError(
                f"layer {name!r} ({node.op_type}): attribute {next(iter(attrs))!r} is not understood"
            )
        shape = self.net.shape(self.tensors[key])
        place = self.places.get(key, FRONT)
        before, after = shape[: place.axis], shape[place.axis + len(place.factors) :]
        merged = place.outer * place.inner
        values = [np.array((*before, batch * merged, *after)[start:end], np.int64) for batch in BATCHES]
        if node.op_type == "Size":
            values = [np.asarray(value.prod()) for value in values]
        same = np.array_equal(values[0], values[1])
        return Constant(values[0], None, None if same else values[1])

    def _zero_type(self, node: Any, operands: list[Constant | None]) -> int:
        """ONNX type of operand 2, the zero point; 0 where it is absent."""
        if len(node.input) < 3 or not node.input[2]:
            return 0
        if node.input[2] in self.types:
            return self.types[node.input[2]]
        operand = operands[2]
        numpy_types = {"uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "uint32": 12}
        return 0 if operand is None else numpy_types.get(operand.array.dtype.name, -1)

    def _quantise(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        kind = self._zero_type(node, operands)
        first = operands[0]
        if first is not None:
            operands = [Constant(first.real(), None, first.other), *operands[1:]]
        record = self._record(node, name, operands)
        output = node.output[0]
        if first is not None:
            self.constants[output] = qdq.quantise_constant(record, kind)
        else:
            if node.input[0] in self.integers:
                raise UnsupportedError(f"layer {name!r} (QuantizeLinear): reads the integer tensor {node.input[0]!r}")
            self.tensors[output], self.integers[output] = qdq.quantise(record, self.net, kind)
        record.finish()

    def _dequantise(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        record = self._record(node, name, operands)
        output = node.output[0]
        if operands[0] is not None:
            self.constants[output] = qdq.dequantise_constant(record)
        else:
            integers = self.integers.get(node.input[0])
            if integers is None:
                raise ModelError(f"layer {name!r} (DequantizeLinear): its input {node.input[0]!r} holds no integers")
            self.tensors[output] = qdq.dequantise(record, self.net, integers)
        record.finish()

    def _codes(self, node: Any) -> bool:
        """Whether a node's first operand are codes of a QuantizeLinear."""
        found = self.integers.get(node.input[0]) if node.input else None
        return found is not None and found.quantiser is not None

    def _clip(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        record = self._record(node, name, operands)
        output = node.output[0]
        self.tensors[output], self.integers[output] = qdq.clip(record, self.net, self.integers[node.input[0]])
        record.finish()

    def _pass(self, node: Any, name: str, operands: list[Constant | None]) -> None:
        """Identity, Dropout at inference, and casts that keep the value: no node."""
        record = self._record(node, name, operands)
        key, output = node.input[0], node.output[0]
        if operands[0] is not None and node.op_type == "CastLike" and node.input[1] not in self.integers:
            self.constants[output] = operands[0]  # to the float type of a computed tensor
            return
        if operands[0] is not None:
            raise UnsupportedError(f"layer {name!r} ({node.op_type}): operand 0 is a constant, another is computed")
        integers = self.integers.get(key)
        if node.op_type == "Dropout":
            rules.data(record)
            record.ignore("ratio", "seed")
            record.expect("is_test", 1)
            rules.scalar(record, 1, 0.5)
            if rules.scalar(record, 2, 0.0):
                raise record.unsupported("training_mode", True, "the model was exported for training")
        elif node.op_type in ("Cast", "CastLike"):
            record.ignore("saturate", "round_mode")
            target = int(record.take("to")) if node.op_type == "Cast" else self._like(node, record, operands)
            if target in _FLOATS and (integers is None or integers.quantiser is None):
                integers = None
            elif target == 9 and (integers is None or integers.quantiser is None):
                self._convert(name, key, output, "compare", {"relation": "not_equal"}, {"constant": np.float64(0.0)})
                record.finish()
                return
            elif integers is None and target in (6, 7):
                self._convert(name, key, output, "activation", {"function": "trunc", "arguments": {}, "output": None})
                self.integers[output] = Integers()
                record.finish()
                return
            elif integers is None or integers.quantiser is not None or target not in (6, 7):
                raise record.unsupported("to", target, "only casts among float types, and of integers to wider ones")
        record.finish()
        self.tensors[output] = self.tensors[key]
        if key in self.places:
            self.places[output] = self.places[key]
        if integers is not None:
            self.integers[output] = integers

    def _convert(
        self, name: str, key: str, output: str, kind: str, attrs: dict[str, Any], params: dict[str, Any] | None = None
    ) -> None:
        """A cast that changes the value is a node."""
        self.tensors[output] = self.net.add(kind, name, [self.tensors[key]], attrs, params)
        if key in self.places:
            self.places[output] = self.places[key]

    def _like(self, node: Any, record: Record, operands: list[Constant | None]) -> int:
        """ONNX type of the second operand of `CastLike`."""
        key, operand = node.input[1], operands[1]
        if operand is None:
            return 7 if key in self.integers else 1
        record.array("1")
        return self.types.get(key) or int(self.onnx.helper.np_dtype_to_tensor_dtype(operand.array.dtype))

    def _output(self, name: str) -> str:
        if name in self.places and self.batch == 1:
            seen, place = late.seen_at(self.net, name, self.tensors[name], self.places[name], 0)
            if place == FRONT:
                self.tensors[name] = seen
                del self.places[name]
        if name in self.places:
            maker = next(node for node in self.nodes if name in node.output)
            raise UnsupportedError(
                f"layer {_name(maker)!r}: output {name!r} has the batch on axis {self.places[name]}, not in front",
                hint="transpose it at the end of the model, or export with batch_first=True",
            )
        if name in self.tensors:
            tensor_name = self.tensors[name]
            return (
                qdq.as_output(self.net, name, tensor_name, self.integers[name])
                if name in self.integers
                else tensor_name
            )
        if name in self.constants or name in self.initialisers:
            raise ModelError(f"output {name!r} is a constant; it does not depend on the model's inputs")
        raise ModelError(f"output {name!r}: no node makes this tensor")


def _name(node: Any) -> str:
    """Name of a node; unnamed ones are called after their first output."""
    return str(node.name or next((key for key in node.output if key), node.op_type))


def _with_attributes(node: Any, attrs: Mapping[str, Any]) -> Any:
    """The node with the attributes `axis` and `axes` as they are counted with the batch in front."""
    changed = {key: attrs[key] for key in ("axis", "axes") if key in attrs}
    if not changed:
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    for attribute in [attribute for attribute in copy.attribute if attribute.name in changed]:
        copy.attribute.remove(attribute)
    for key, value in changed.items():
        if isinstance(value, int):
            copy.attribute.add(name=key, type=2, i=value)
        else:
            copy.attribute.add(name=key, type=7, ints=value)
    return copy
