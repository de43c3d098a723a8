"""What the names of an hls4ml project stand for: types, constants, config structs, and weights with their values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Overflow, Rounding
from hardwire.frontends._hls4ml_cpp import (
    MAX_DEPTH,
    Evaluator,
    Parser,
    Struct,
    Tokens,
    Unit,
    preprocess,
    tokenise,
    without_comments,
)
from hardwire.frontends._hls4ml_generated import functions, windows
from hardwire.frontends._hls4ml_project import GENERATED, KEPT, Project
from hardwire.layers._hls4ml_types import INT, Fixed
from hardwire.layers.hls4ml_generated import Code

_ROUNDINGS = {
    "TRN": Rounding.TRN,
    "TRN_ZERO": Rounding.TRN_ZERO,
    "RND": Rounding.RND,
    "RND_ZERO": Rounding.RND_ZERO,
    "RND_INF": Rounding.RND_INF,
    "RND_MIN_INF": Rounding.RND_MIN_INF,
    "RND_CONV": Rounding.RND_CONV,
}
_OVERFLOWS = {
    "WRAP": Overflow.WRAP,
    "SAT": Overflow.SAT,
    "SAT_SYM": Overflow.SAT_SYM,
    "SAT_ZERO": Overflow.SAT_ZERO,
    "WRAP_SM": Overflow.WRAP_SM,
}
_STREAMS = ("hls::stream", "stream", "ac_channel", "sycl::ext::intel::pipe")
_ARRAYS = ("nnet::array", "std::array", "array")
_NUMBERS = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_NEWEST = (1, 3)
_RELEASES = (
    ((0, 7), ("datareg>threshold[norm_index]",)),
    ((0, 8), ("ap_fixed<W,I>avg(",)),
    ((1, 1), ("res_T(1.0507009873554804934193349852946)", "/(res_T)2", "(x-CONFIG_T::n_in/2)*2")),
)
"""Text of the library (without blanks) by which a release is known, that of selu, average and binary products."""


@dataclass(frozen=True)
class Tensor:
    """The type of a tensor variable: `lanes` elements of one type, maybe a stream of such packets."""

    element: Fixed
    lanes: int = 1
    stream: bool = False


class Scope:
    """The declarations of a project, resolved on demand."""

    def __init__(self, project: Project, unit: Unit, macros: Mapping[str, str]) -> None:
        self.project = project
        self.unit = unit
        self.macros = macros
        self.label = f"model {project.label}"
        self._release: tuple[int, int] | None = None
        self._generated: dict[str, Code] | None = None
        self._windows: dict[str, list[list[int]]] | None = None
        self._weights: dict[str, tuple[str, int | None, list[str]] | None] = {}

    def release(self) -> tuple[int, int]:
        """Return the newest release of hls4ml whose library computes as this project's does.

        It is seen in the text of the library where that lies in the project, else as far as the configs tell.
        """
        if self._release is None:
            found = [text for file, text in self.project.files.items() if file.rpartition("/")[2] in KEPT]
            configs = self.project.text("parameters.h")
            text = re.sub(r"\s", "", without_comments("\n".join(found)))
            if re.search(r"class\s+x_T,\s*class\s+y_T,\s*class\s+res_T", configs):  # products of three types
                self._release = (0, 6)
            elif text:
                marked = (release for release, marks in _RELEASES if any(mark in text for mark in marks))
                self._release = next(marked, _NEWEST)
            else:
                self._release = (0, 8) if "nnet::dense_config" in configs and "kernel =" not in configs else _NEWEST
        return self._release

    def generated(self, name: str) -> Code | None:
        """Return a function that hls4ml generated for this project."""
        if self._generated is None:
            self._generated = functions(self._code(), self._named_type)
        return self._generated.get(name)

    def windows(self, name: str) -> list[list[int]] | None:
        """Return the windows that a generated `fill_buffer` collects."""
        if self._windows is None:
            self._windows = windows(self._code())
        return self._windows.get(name)

    def _code(self) -> str:
        files = [text for file, text in self.project.files.items() if file.rpartition("/")[2] == GENERATED]
        return "\n".join(files)

    def _named_type(self, text: str) -> Fixed:
        return self._element(self.type(tuple(tokenise(text, self.label))), (text,))

    # --- constants

    def number(self, tokens: Tokens, struct: Struct | None = None, depth: int = 0) -> int | float | str:
        """Evaluate a constant expression; names without a value stay text."""
        if depth > MAX_DEPTH:
            raise ModelError(f"{self.label}: constants that stand for each other: {' '.join(tokens)[:80]!r}")

        def lookup(name: str) -> int | float | str | None:
            short = name
            owner = struct
            if "::" in name and name.split("::")[-2] in self.unit.structs:
                owner, short = self.unit.structs[name.split("::")[-2]], name.split("::")[-1]
            if owner is not None and short in owner.values:
                return self.number(owner.values[short], owner, depth + 1)
            for table in (self.unit.values,):
                if name in table:
                    return self.number(table[name], None, depth + 1)
            if self.macros.get(name):
                return self.number(tuple(tokenise(self.macros[name], self.label)), None, depth + 1)
            return {"true": 1, "false": 0}.get(name)

        return Evaluator(tokens, lookup, self.label).value()

    def integer(self, tokens: Tokens, what: str, struct: Struct | None = None) -> int:
        """Evaluate an expression that must be an integer."""
        value = self.number(tokens, struct)
        if not isinstance(value, int):
            raise ModelError(f"{self.label}: {what} is {' '.join(tokens)[:80]!r}, expected an integer")
        return value

    # --- types

    def type(self, tokens: Tokens, struct: Struct | None = None, depth: int = 0) -> Fixed | Tensor | str:
        """Resolve a type; what is no number's or tensor's type is its name's last part."""
        if depth > MAX_DEPTH:
            raise ModelError(f"{self.label}: types that stand for each other: {' '.join(tokens)[:80]!r}")
        if "<" in tokens:
            at = tokens.index("<")
            name, template = "".join(tokens[:at]), Parser(tokens[at:], self.unit, self.label).angled()
        else:
            name, template = "".join(tokens), ()
        if name in ("ap_fixed", "ap_ufixed", "ap_int", "ap_uint", "ac_fixed", "ac_int"):
            return self._fixed(name, template, struct)
        if name in _STREAMS or name.endswith(("::stream", "::pipe")):
            inner = self.type(template[-1] if name in _STREAMS else template[0], struct, depth + 1)
            tensor = inner if isinstance(inner, Tensor) else Tensor(self._element(inner, tokens))
            return Tensor(tensor.element, tensor.lanes, True)
        if name in _ARRAYS:
            inner = self.type(template[0], struct, depth + 1)
            return Tensor(self._element(inner, tokens), self.integer(template[1], f"length of {name}", struct))
        if tokens in (("int",), ("unsigned", "int"), ("unsigned",), ("short",), ("unsigned", "short"), ("long",)):
            return INT
        if name == "bool":
            return Fixed(False, 1, 1)
        for table in (struct.types if struct is not None else {}, self.unit.types):
            if name in table and table[name] != tokens:
                return self.type(table[name], struct, depth + 1)
        return name.rpartition("::")[2]

    def _element(self, kind: Fixed | Tensor | str, tokens: Tokens) -> Fixed:
        if isinstance(kind, Fixed):
            return kind
        raise UnsupportedError(f"{self.label}: the type {''.join(tokens)!r} is not understood")

    def _fixed(self, name: str, template: tuple[Tokens, ...], struct: Struct | None) -> Fixed:
        if not template:
            raise ModelError(f"{self.label}: {name} without a width")
        width = self.integer(template[0], f"width of {name}", struct)
        if not 0 < width <= 4096:
            raise ModelError(f"{self.label}: {name} of {width} bits")
        if name in ("ap_int", "ap_uint"):
            return Fixed(name == "ap_int", width, width, Rounding.TRN_ZERO)
        if name == "ac_int":
            return Fixed(self._flag(template, 1, True), width, width)
        if len(template) < 2:
            raise ModelError(f"{self.label}: {name} without integer bits")
        integer = self.integer(template[1], f"integer bits of {name}", struct)
        if abs(integer) > 4096:
            raise ModelError(f"{self.label}: {name} with {integer} integer bits")
        signed = name == "ap_fixed" if name != "ac_fixed" else self._flag(template, 2, True)
        modes = template[3 if name == "ac_fixed" else 2 :]
        rounding = self._mode(modes, 0, _ROUNDINGS, "AP_TRN", name)
        overflow = self._mode(modes, 1, _OVERFLOWS, "AP_WRAP", name)
        if len(modes) > 2 and self.integer(modes[2], "saturated bits", struct) != 0:
            raise UnsupportedError(
                f"{self.label}: a type with {''.join(modes[2])} saturated bits: {name}<{''.join(template[0])}, …>",
                hint="0 saturated bits, which is the default",
            )
        return Fixed(signed, width, integer, rounding, overflow)

    def _flag(self, template: tuple[Tokens, ...], place: int, default: bool) -> bool:
        return default if place >= len(template) else bool(self.number(template[place]))

    def _mode(self, modes: tuple[Tokens, ...], place: int, table: Mapping[str, Any], default: str, name: str) -> Any:
        text = "".join(modes[place]).rpartition("::")[2] if place < len(modes) else default
        short = text.partition("_")[2]
        if short not in table:
            raise UnsupportedError(f"{self.label}: mode {text!r} of {name} is not understood")
        return table[short]

    # --- config structs

    def config(self, name: str, depth: int = 0) -> dict[str, Any]:
        """Return a config struct's members: numbers, types, names (of functions, products, implementations), structs.

        A typed constant defined outside of the struct is a float of that type. What cannot be read stays text.
        """
        struct = self.unit.structs.get(name)
        if struct is None or depth > MAX_DEPTH:
            raise ModelError(f"{self.label}: the config {name!r} is not declared in parameters.h")
        base = "".join(struct.base).rpartition("::")[2]
        out: dict[str, Any] = {}
        if base in self.unit.structs and base != name:
            out.update(self.config(base, depth + 1))
        for key, tokens in struct.types.items():
            out[key] = self._member_type(tokens, struct, depth)
        values = {**struct.values}
        for key, tokens in self.unit.values.items():
            if key.startswith(f"{name}::"):
                values[key.removeprefix(f"{name}::")] = tokens
        for key, tokens in values.items():
            kind = out.get(key)
            out[key] = self._member_value(tokens, struct)
            if isinstance(kind, Fixed) and isinstance(out[key], int | float):
                out[key], out[f"{key}.type"] = float(kind(np.float64(out[key]))), kind
        return out

    def _member_type(self, tokens: Tokens, struct: Struct, depth: int) -> Any:
        kind = self.type(tokens, struct)
        if isinstance(kind, Tensor):
            return kind.element
        if isinstance(kind, str) and kind in self.unit.structs and kind != struct.name:
            return self.config(kind, depth + 1)
        return kind.partition("<")[0] if isinstance(kind, str) else kind

    def _member_value(self, tokens: Tokens, struct: Struct) -> Any:
        if tokens[:1] == ("{",) and tokens[-1:] == ("}",):  # `perm[3] = {2, 0, 1}`
            return tuple(int(float(number)) for number in _NUMBERS.findall(" ".join(tokens)))
        try:
            value = self.number(tokens, struct)
        except ModelError:
            return " ".join(tokens)
        if isinstance(value, str):
            if value in self.unit.arrays and self.unit.arrays[value].value is not None:
                text = " ".join(self.unit.arrays[value].value or ())
                return tuple(int(float(number)) for number in _NUMBERS.findall(text))
            return value.rpartition("::")[2]
        return value

    # --- weights

    def weight(self, name: str) -> NDArray[Any]:
        """Return a weight array as its C simulation holds it: values after the cast to their type, flat.

        A binary weight's are 0 and 1. Exponential weights are (n, 2): sign and exponent; compressed ones (n, 3): row,
        column, value.
        """
        text = self._weight_text(name)
        if text is None:
            raise ModelError(
                f"{self.label}: no values of the weights {name!r} (firmware/weights/{name}.txt or {name}.h)",
                hint="write the project again with its weights (hls_model.write())",
            )
        kind_text, length, numbers = text
        kind = self.type(tuple(tokenise(kind_text, self.label)))
        try:
            values = np.array([float(number) for number in numbers], np.float64)
        except ValueError as error:
            raise ModelError(f"{self.label}: the weights {name!r}: {str(error)[:80]}") from None
        if not np.all(np.isfinite(values)):
            raise ModelError(f"{self.label}: the weights {name!r} hold a value that is no finite number")
        if isinstance(kind, Fixed):
            columns, casts = 1, [kind]
        elif isinstance(kind, str) and kind in self.unit.structs:
            struct = self.unit.structs[kind]
            members = [self.type(tokens, struct) for tokens in struct.types.values()]
            casts = [member for member in members if isinstance(member, Fixed)]
            columns = len(casts)
        else:
            raise UnsupportedError(f"{self.label}: weights {name!r} of the type {kind_text!r} are not understood")
        if length is not None and len(values) != length * columns:
            raise ModelError(
                f"{self.label}: the weights {name!r} have {len(values) // columns} values, their array {length}",
                hint="the file is truncated or belongs to another model; write the project again",
            )
        table = values.reshape(-1, columns)
        done = np.stack([cast(table[:, i]) for i, cast in enumerate(casts)], axis=1)
        return done[:, 0] if columns == 1 else done

    def weight_type(self, name: str) -> Fixed | str:
        """Return the element type of a weight array, the struct's name for pairs and triples."""
        text = self._weight_text(name)
        kind = self.type(tuple(tokenise(text[0], self.label))) if text is not None else "unknown"
        return kind.element if isinstance(kind, Tensor) else kind

    def has_weight(self, name: str) -> bool:
        """Whether there are weights of this name."""
        return self._weight_text(name) is not None

    def _weight_text(self, name: str) -> tuple[str, int | None, list[str]] | None:
        if name not in self._weights:
            self._weights[name] = self._found_weights(name)
        return self._weights[name]

    def _found_weights(self, name: str) -> tuple[str, int | None, list[str]] | None:
        """Type, length and numbers of a weight array: from the text file where one is loaded, else from the header."""
        declared = None
        for file in (f"weights/{name}.h", "parameters.h"):
            if declared is None and file in self.project.files:
                declared = _array_in(self.project.files[file], name, file)
        if declared is None:
            return None
        kind, length, literal = declared
        count = self.integer(tuple(tokenise(length, self.label)), f"length of {name}") if length.strip() else None
        if f"weights/{name}.txt" in self.project.files:
            # A simulation reads the first line, up to commas; structs' members stand in brackets.
            line = self.project.files[f"weights/{name}.txt"].partition("\n")[0]
            parts = _NUMBERS.findall(line) if "{" in line or ";" in line else [p for p in line.split(",") if p.strip()]
            return kind, count, parts
        return None if literal is None else (kind, count, _NUMBERS.findall(literal))


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"([A-Za-z_][\w:<>,\s]*?)[\s&*]+{re.escape(name)}\s*\[([^\]]*)\]\s*(?:=\s*\{{(.*?)\}}\s*;|;)", re.S
    )


def _array_in(text: str, name: str, file: str) -> tuple[str, str, str | None] | None:
    """Find an array's type, length and numbers; those of a synthesis where a simulation loads them from a file."""
    if name not in text:
        return None
    best: tuple[str, str, str | None] | None = None
    for defined in ({}, {"__SYNTHESIS__": "1"}):
        plain, _ = preprocess(text, defined, file)
        match = _pattern(name).search(plain)
        if match is not None and (best is None or best[2] is None):
            kind = re.sub(r"\b(static|const|constexpr|inline|hls_register|extern)\b", " ", match[1]).strip()
            kind = kind.rpartition("\n")[2] if "\n" in kind else kind
            best = (kind, match[2], match[3])
    return best
