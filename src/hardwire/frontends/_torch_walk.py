"""The walk over an exported graph: constants bound and folded, one record for each ATen operator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends import _torch_places as spots
from hardwire.frontends._archive import broken
from hardwire.frontends._torch_aliases import Aliases, functional, renames
from hardwire.frontends._torch_archive import DTYPES, ExportedFile
from hardwire.frontends._torch_constants import LIKE, RULES, TENSOR, evaluate, filled_like
from hardwire.layers import import_rule
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.network.survey import noted

Batch = int | str
"""A fixed batch size, or the name of its symbol."""

_CHECKS = ("_assert", "sym_constrain", "_assert_tensor_metadata", "_assert_async")
_INTEGERS = ("int", "uint", "bool")


class TorchWalker:
    """Turns an `ExportedFile` into nodes of a `NetworkBuilder`; `label` names the file in errors."""

    def __init__(self, label: str, net: NetworkBuilder, file: ExportedFile) -> None:
        self.label = label
        self.net = net
        self.file = file
        self.graph: Mapping[str, Any] = file.module["graph"]
        self.tensors: dict[str, str] = {}
        self.late: dict[str, str] = {}
        """Tensors whose batch is not axis 0: on axis 1, if `where` says nothing else."""
        self.where: dict[str, spots.Place] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.symbols: dict[str, int | None] = {}
        self.batch: Batch | None = None
        self.aliases = Aliases()
        self._names_read: set[str] = set()
        self.lost: set[str] = set()
        """In a survey, outputs of unsupported operators that no placeholder can stand for."""

    def walk(self) -> list[str]:
        """Add all nodes; returns the output tensors."""
        try:
            self._bind_inputs()
            nodes = self.graph["nodes"]
            for node in nodes:
                self._tried(node)
            return self._outputs()
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            why = f"the graph is not as PyTorch writes it ({type(error).__name__}: {error})"
            raise broken(self.label, why) from error

    # Inputs and outputs.

    def _bind_inputs(self) -> None:
        for spec in self.file.module["signature"]["input_specs"]:
            (kind, content), *more = spec.items()
            if more:
                raise broken(self.label, "an input of the graph has two meanings")
            if kind == "user_input":
                if "as_tensor" in content["arg"]:
                    self._declare(content["arg"]["as_tensor"]["name"])
                elif "as_none" not in content["arg"]:
                    raise UnsupportedError(
                        f"model {self.label}: input {content['arg']!r:.80} is no tensor",
                        hint="export the model with tensors as inputs only",
                    )
            elif kind in ("parameter", "buffer", "tensor_constant"):
                name = content["parameter_name" if kind == "parameter" else f"{kind}_name"]
                if name not in self.file.tensors:
                    raise broken(self.label, f"the {kind.replace('_', ' ')} {name!r} is missing")
                value = self.file.tensors[name]
                if value.dtype.kind == "f" and not np.all(np.isfinite(value)):
                    at = np.argwhere(~np.isfinite(value))[0].tolist()
                    raise ModelError(
                        f"layer {name.rpartition('.')[0] or name!r}: parameter {name.rpartition('.')[2]!r} holds "
                        f"{value[tuple(at)]} at {at}",
                        hint="retrain or repair the model; NaN and infinity have no fixed-point value",
                    )
                self.constants[content["arg"]["name"]] = value
            elif kind != "constant_input":
                raise UnsupportedError(f"model {self.label}: an input of the kind {kind!r} is not supported")
        if not self.tensors:
            raise ModelError(f"model {self.label}: the exported program has no tensor as input")

    def _declare(self, name: str) -> None:
        sizes = self._sizes(name)
        if not sizes:
            raise ModelError(f"model {self.label}: input {name!r} has no axes; the first must be the batch")
        if self.batch is None:
            self.batch = sizes[0]
        elif self.batch != sizes[0]:
            raise ModelError(
                f"model {self.label}: input {name!r} has {sizes[0]} examples on axis 0, another has {self.batch}",
                hint="axis 0 of every input is the batch; export with examples of one batch size",
            )
        open_ = [dim for dim in sizes[1:] if isinstance(dim, str)]
        if open_:
            raise ModelError(
                f"model {self.label}: input {name!r} has the shape {tuple(sizes)} with open dimensions",
                hint="only the batch may be dynamic; export the model with fixed other dimensions",
            )
        self.tensors[name] = self.net.input(name, tuple(int(dim) for dim in sizes[1:]))

    def _outputs(self) -> list[str]:
        outputs = []
        for spec in self.file.module["signature"]["output_specs"]:
            (kind, content), *_ = spec.items()
            if kind == "user_input_mutation":
                continue  # the caller's own tensor; what the model returns does not depend on it
            if kind != "user_output":
                raise UnsupportedError(
                    f"model {self.label}: it changes its own state when it runs ({kind.replace('_', ' ')})",
                    hint="export the model in evaluation mode (model.eval())",
                )
            if "as_none" in content["arg"]:
                continue
            if "as_tensor" not in content["arg"]:
                raise UnsupportedError(f"model {self.label}: an output is no tensor: {content['arg']!r:.80}")
            name = content["arg"]["as_tensor"]["name"]
            self.aliases.check("output", "output", [name])
            if name in self.late:
                raise UnsupportedError(
                    f"model {self.label}: output {name!r} has the batch on axis {self._place(name)}, not in front",
                    hint="return it with the batch first (x.transpose(0, 1))",
                )
            if name in self.lost:
                continue
            if name not in self.tensors:
                raise UnsupportedError(f"model {self.label}: output {name!r} does not depend on the inputs")
            outputs.append(self.tensors[name])
        if not outputs and not self.lost:
            raise ModelError(f"model {self.label}: the exported program has no output")
        return outputs

    # Nodes.

    def _tried(self, node: Mapping[str, Any]) -> None:
        """Add a node; in a survey, go on behind an unsupported one with the shapes that PyTorch recorded."""
        kind = str(node["target"]).removeprefix("torch.ops.")
        made, read = _tensors(node["outputs"]), _tensors([item["arg"] for item in node["inputs"]])
        name = self._name(node, made)
        try:
            if self.lost.isdisjoint(read):
                self._node(node)
                return
            if kind.startswith("aten.") and import_rule("torch", kind) is None:
                raise _unknown(name, kind)
        except ModelError as error:
            if not noted(error, name, kind):
                raise
        for output in made:
            sizes = self._sizes(output)
            shape = tuple(size for size in sizes[1:] if isinstance(size, int))
            if sizes[:1] == [self.batch] and len(shape) == len(sizes) - 1:
                self.tensors[output] = self.net.placeholder(f"{name} (unsupported)", shape)
            else:
                self.lost.add(output)

    def _node(self, node: Mapping[str, Any]) -> None:
        kind = str(node["target"]).removeprefix("torch.ops.")
        outputs = [
            tensor for item in node["outputs"] for form in item for tensor in _tensor_names(form, item[form]) or []
        ]
        name = self._name(node, outputs)
        short = kind.split(".")[1] if kind.count(".") else kind
        if kind.startswith("aten.") and short.startswith(_CHECKS):
            return
        if not outputs:
            self._symbol(node, kind, name)
            return
        inputs, arrays, attrs, operands, places, second = [], {}, {}, [], [], 0
        batches: list[spots.Place] = []
        for position, item in enumerate(node["inputs"]):
            (form, value), *_ = item["arg"].items()
            if form == "as_none":
                continue
            found = _tensor_names(form, value)
            if found is None:
                attrs[item["name"]] = self._plain(name, kind, item["name"], form, value)
                continue
            self.aliases.check(name, kind, found)
            if form == "as_optional_tensors" and len(found) < len(value):
                attrs["(present)"] = [k for k, part in enumerate(value) if "as_tensor" in part]
            for index, tensor in enumerate(found):
                if tensor in self.tensors or tensor in self.late:
                    places.append(position)
                    batches.append(spots.FRONT if tensor in self.tensors else self._place(tensor))
                if tensor in self.tensors:
                    inputs.append(self.tensors[tensor])
                elif tensor in self.late:
                    inputs.append(self.late[tensor])
                    second += 1
                elif tensor in self.constants:
                    # In a list of tensors: the argument's position, then the place in the list.
                    one = form in ("as_tensor", "as_optional_tensor")
                    arrays[str(position) if one else f"{position}.{index}"] = self.constants[tensor]
                    operands.append(self.constants[tensor])
                else:
                    raise UnsupportedError(
                        f"layer {name!r} ({kind}): it reads {tensor!r}, an output that hardwire does not compute"
                    )
        read = [
            key
            for item in node["inputs"]
            for form in item["arg"]
            for key in _tensor_names(form, item["arg"][form]) or []
        ]
        self.aliases.note(name, kind, read, outputs)
        written = renames(kind)
        if kind in LIKE and (LIKE[kind] is not TENSOR or (operands and operands[-1].ndim == 0 and places in ([], [0]))):
            if LIKE[kind] is TENSOR:
                attrs = {**attrs, "value": operands[-1].item()}
            self.constants[outputs[0]] = self._filled(name, kind, outputs[0], attrs, second)
            if written:
                self.tensors.pop(read[0], None)
                self.constants[read[0]] = self.constants[outputs[0]]
            return
        if not inputs:
            if written and kind.removeprefix("aten.") not in RULES:
                kind = next((other for other in functional(kind) if other.removeprefix("aten.") in RULES), kind)
            values = evaluate(name, kind, operands, attrs)
            self.constants.update(zip(outputs, values, strict=False))
            if written:
                self.constants[read[0]] = values[0]
            return
        step = self._step(name, kind, attrs, arrays, inputs, batches, outputs)
        if step is not None and step.results:
            for output, (result, place) in zip(outputs, step.results, strict=True):
                self._bind(name, kind, output, result, place)
            return
        original = attrs
        if step is not None:
            attrs, arrays = dict(step.attrs or {}), dict(step.arrays or {})
        rule = import_rule("torch", kind)
        if rule is None and written:
            kind = next((other for other in functional(kind) if import_rule("torch", other)), kind)
            rule = import_rule("torch", kind)
        if rule is None:
            raise _unknown(name, kind)
        versions = {
            "batch": self.batch,
            "dtype_in": self._dtype(_first_tensor(node)),
            "dtype_out": self._dtype(outputs[0]),
            "late": bool(second),
            "positions": tuple(places),
            "read": tuple(output in self._read() for output in outputs),
            "torch_version": self.file.torch_version,
        }
        record = Record(name, kind, tuple(inputs), attrs, arrays, versions)
        try:
            made = rule(record, self.net)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise ModelError(f"layer {name!r} ({kind}): its operands or arguments do not fit: {error}") from error
        record.finish()
        results = [made] if isinstance(made, str) else made
        for output, result in zip(outputs, results, strict=False):
            sizes = self._sizes(output)
            if step is not None:
                rank = len(self.net.shape(inputs[0])) - len(step.place.factors) + 1
                gone = spots.removed_axes(kind, original, step.place, rank)
                moved = spots.found_place(self.net.shape(result), sizes, step.place, self.batch or 0, gone)
                self._bind(name, kind, output, result, moved)
                continue
            apart = len(sizes) > 1 and sizes[1] == self.batch and (sizes[0], *sizes[2:]) == self.net.shape(result)
            if apart and (second or (kind in spots.RECURRENT and output != outputs[0])):
                self.late[output] = result
                continue
            self._check_shape(name, kind, output, result)
            self.tensors[output] = result
        if written:
            # The name of what was written stands for the new elements.
            self.constants.pop(read[0], None)
            kept = self.late if outputs[0] in self.late else self.tensors
            kept[read[0]] = kept[outputs[0]]

    def _filled(self, name: str, kind: str, output: str, attrs: Mapping[str, Any], second: int) -> NDArray[Any]:
        """Value of an operator that fills a tensor of another's shape; the batch has one example."""
        sizes = self._sizes(output)
        at = 1 if second else 0
        shape = [
            1 if size == self.batch and (k == at or isinstance(size, str)) else size for k, size in enumerate(sizes)
        ]
        if any(isinstance(size, str) for size in shape):
            raise UnsupportedError(f"layer {name!r} ({kind}): its shape {sizes} depends on the batch")
        return filled_like(name, kind, [int(size) for size in shape], attrs, self._dtype(output))

    def _place(self, tensor: str) -> spots.Place:
        return self.where.get(tensor, spots.Place(1))

    def _step(
        self,
        name: str,
        kind: str,
        attrs: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        inputs: list[str],
        places: list[spots.Place],
        outputs: list[str],
    ) -> spots.Step | None:
        """Follow the batch to other axes and back; None for an operator that a rule imports as it stands."""
        if kind in spots.RECURRENT and any(place != places[0] or place.factors for place in places):
            raise UnsupportedError(
                f"layer {name!r} ({kind}): it reads tensors with the batch on different axes",
                hint="bring the batch to the front first (x.transpose(0, 1)), or build the layer with batch_first=True",
            )
        sizes = [self._sizes(output) for output in outputs]
        return spots.follow(name, kind, attrs, arrays, self.net, inputs, places, sizes, self.batch or 0)

    def _bind(self, name: str, kind: str, output: str, result: str, place: spots.Place | None) -> None:
        """Let a tensor of the file be one of the Network, with the batch at `place`."""
        sizes = self._sizes(output)
        fits = place is not None and spots.found_place(self.net.shape(result), sizes, place, self.batch or 0) == place
        if place is None or place == spots.FRONT or not fits:
            self._check_shape(name, kind, output, result)
            self.tensors[output] = result
            return
        self.late[output], self.where[output] = result, place

    def _read(self) -> set[str]:
        """Names of all tensors that a node or the model's output reads."""
        if not self._names_read:
            arguments = [item["arg"] for node in self.graph["nodes"] for item in node["inputs"]]
            arguments += self.graph["outputs"]
            for argument in arguments:
                for form, value in argument.items():
                    self._names_read.update(_tensor_names(form, value) or [])
        return self._names_read

    def _check_shape(self, name: str, kind: str, output: str, tensor: str) -> None:
        """Compare with the shape that PyTorch recorded: what touches the batch axis shows here at the latest."""
        sizes, shape = self._sizes(output), self.net.shape(tensor)
        if not sizes or sizes[0] != self.batch or tuple(sizes[1:]) != shape:
            kept = (self.batch, *shape)
            raise UnsupportedError(
                f"layer {name!r} ({kind}): its output has the shape {tuple(sizes)}, not {kept} with the batch first",
                hint="axis 0 must stay the batch and examples must not be mixed",
            )

    def _symbol(self, node: Mapping[str, Any], kind: str, name: str) -> None:
        """Bind the result of an operator on sizes: a number, or None for the batch and what is made from it."""
        for item in node["outputs"]:
            if "as_sym_int" in item:
                value = self.graph.get("sym_int_values", {}).get(item["as_sym_int"]["as_name"], {})
                self.symbols[item["as_sym_int"]["as_name"]] = None if self._is_batch(value) else value.get("as_int")
                if not self._is_batch(value) and "as_int" not in value:
                    self.symbols[item["as_sym_int"]["as_name"]] = -2
            elif "as_sym_bool" not in item and "as_sym_float" not in item:
                raise UnsupportedError(f"layer {name!r}: the PyTorch operator {kind!r} is not supported")

    def _is_batch(self, value: Mapping[str, Any]) -> bool:
        return "as_expr" in value and _symbol_name(value["as_expr"]["expr_str"]) == self.batch

    # Arguments.

    def _plain(self, name: str, kind: str, attr: str, form: str, value: Any) -> Any:
        """Return an argument that is no tensor as a Python value; the batch's size is None."""
        if form in ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats", "as_bools", "as_strings"):
            return float(value) if form == "as_float" else value
        if form == "as_sym_int":
            return self._size(value)
        if form == "as_sym_ints":
            return [self._size(item) for item in value]
        if form == "as_scalar_type":
            return DTYPES.get(value, f"type {value}")
        if form in ("as_memory_format", "as_layout", "as_device"):
            return value
        raise UnsupportedError(f"layer {name!r} ({kind}): argument {attr!r} ({form[3:]}) is not understood")

    def _size(self, value: Mapping[str, Any]) -> int | None:
        return value["as_int"] if "as_int" in value else self.symbols.get(value["as_name"], -2)

    def _sizes(self, tensor: str) -> list[Batch]:
        found = self.graph["tensor_values"][tensor]["sizes"]
        return [item["as_int"] if "as_int" in item else _symbol_name(item["as_expr"]["expr_str"]) for item in found]

    def _dtype(self, tensor: str | None) -> str:
        value = self.graph["tensor_values"].get(tensor, {})
        return DTYPES.get(value.get("dtype"), "unknown")

    def _name(self, node: Mapping[str, Any], outputs: list[str]) -> str:
        """Name a node after the path of its module; operators outside PyTorch's own modules add their own name."""
        own = str(node.get("name") or (outputs[0] if outputs else node["target"]))
        stack = str(node.get("metadata", {}).get("nn_module_stack", ""))
        path, _, module = stack.split(";")[-1].partition(",")[2].partition(",")
        path = re.sub(r"@\d+", "", path)
        if not path:
            return own
        return path if module.startswith("torch.nn.modules.") else f"{path}.{own}"


def _unknown(name: str, kind: str) -> UnsupportedError:
    return UnsupportedError(
        f"layer {name!r}: the PyTorch operator {kind!r} is not supported",
        hint="replace it with supported operators (docs: layers), or report it with the model",
    )


def _tensors(arguments: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of all tensors among arguments or outputs."""
    return [name for item in arguments for form in item for name in _tensor_names(form, item[form]) or []]


def _tensor_names(form: str, value: Any) -> list[str] | None:
    """Names of the tensors of an argument; None for other arguments."""
    if form == "as_tensor":
        return [value["name"]]
    if form == "as_tensors":
        return [item["name"] for item in value]
    if form == "as_optional_tensor":
        return [value["as_tensor"]["name"]] if "as_tensor" in value else []
    if form == "as_optional_tensors":
        return [item["as_tensor"]["name"] for item in value if "as_tensor" in item]
    return None


def _first_tensor(node: Mapping[str, Any]) -> str | None:
    return next((item["arg"]["as_tensor"]["name"] for item in node["inputs"] if "as_tensor" in item["arg"]), None)


def _symbol_name(expression: str) -> str:
    """Return `s17` of `Symbol('s17', positive=True, integer=True)`; other expressions as they stand."""
    match = re.fullmatch(r"Symbol\('(\w+)'[^()]*\)", expression)
    return match.group(1) if match else expression
