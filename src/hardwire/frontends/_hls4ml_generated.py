"""Reads the functions that hls4ml generates for one project (`nnet_utils/nnet_code_gen.h`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite

from hardwire.errors import UnsupportedError
from hardwire.fixed import MAX_BITS
from hardwire.frontends._hls4ml_cpp import without_comments
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers.hls4ml_generated import Code, Step

_FUNCTION = re.compile(
    r"template\s*<\s*typename\s+(?:input_t|inp_t)\s*,\s*typename\s+(?:output_t|out_t)\s*>\s*"
    r"void\s+(\w+)\s*\(([^()]*)\)\s*\{([^{}]*)\}"
)
_KIND = r"ap_u?(?:fixed|int)\s*<[^<>]*>"
_STATEMENT = re.compile(rf"(?:({_KIND})\s+)?(\w+(?:\[\s*\d+\s*\])?)\s*=\s*(.+)", re.S)
_CAST = re.compile(rf"({_KIND})\s*\((.*)\)", re.S)
_NUMBER = r"\d+\.?\d*(?:[eE][-+]?\d+)?"
_TERM = re.compile(
    rf"\s*([+-]?)\s*(?:bit_shift\s*<\s*(-?\d+)\s*>\s*\(\s*(\w+)\s*\)"
    rf"|{_KIND}\s*\(\s*({_NUMBER})\s*\)|([A-Za-z_]\w*(?:\[\s*\d+\s*\])?)|({_NUMBER}))\s*"
)
_WINDOWS = re.compile(r"class\s+(fill_buffer_\w+)\b(.*?)(?=\bclass\b|\Z)", re.S)
_PLACE = re.compile(r"buffer\[\s*(\d+)\s*\]\[\s*(\d+)\s*\]\s*=\s*(?:data\[\s*(\d+)\s*\]|0)\s*;|partition\s*==\s*(\d+)")


def functions(text: str, type_of: Callable[[str], Fixed]) -> dict[str, Code]:
    """Return the straight-line functions of a file by name; others are left out."""
    plain = re.sub(r"#pragma[^\n]*", "", without_comments(text))
    found = {}
    for name, _, body in _FUNCTION.findall(plain):
        code = _code(name, body, type_of)
        if code is not None:
            found[name] = code
    return found


def _code(name: str, body: str, type_of: Callable[[str], Fixed]) -> Code | None:
    steps = []
    for statement in body.split(";"):
        if not statement.strip():
            continue
        match = _STATEMENT.fullmatch(statement.strip())
        if match is None:
            return None
        declared, target, value = match.groups()
        cast = _CAST.fullmatch(value.strip())
        kind, value = (cast[1], cast[2]) if cast is not None else (declared, value)
        terms = _terms(value)
        if terms is None or (cast is not None and declared is not None):
            return None
        try:
            steps.append(Step(_short(target), type_of(kind) if kind else None, *terms))
        except UnsupportedError:
            return None
    outputs = sum(step.target.startswith("out[") for step in steps)
    return Code(name, tuple(steps), outputs)


def _terms(value: str) -> tuple[tuple[tuple[float, str], ...], float] | None:
    """Read a sum of names, shifted names and numbers."""
    terms, constant, place = [], 0.0, 0
    while place < len(value):
        match = _TERM.match(value, place)
        if match is None or (place > 0 and not match[1]):
            return None
        sign, shift, shifted, typed, name, number = match.groups()
        factor = -1.0 if sign == "-" else 1.0
        if typed is not None or number is not None:
            constant += factor * float(typed or number)
        elif abs(int(shift or 0)) > MAX_BITS:
            return None
        else:
            terms.append((factor * 2.0 ** int(shift or 0), _short(shifted or name)))
        place = match.end()
    return (tuple(terms), constant) if isfinite(constant) else None


def _short(name: str) -> str:
    """Name inputs `inp[i]` and outputs `out[i]` in both kinds of functions."""
    return re.sub(r"\s", "", name).replace("model_inp[", "inp[").replace("model_out[", "out[")


def windows(text: str) -> dict[str, list[list[int]]]:
    """Return, by the name of each `fill_buffer`, the element that every place of every window holds; -1 is a zero."""
    found = {}
    for name, body in _WINDOWS.findall(without_comments(text)):
        rows: dict[tuple[int, int], dict[int, int]] = {}
        partition = 0
        for pixel, place, element, start in _PLACE.findall(body):
            if start:
                partition = int(start)
            else:
                rows.setdefault((partition, int(pixel)), {})[int(place)] = int(element) if element else -1
        if rows:
            found[name] = [[row.get(i, -1) for i in range(len(row))] for _, row in sorted(rows.items())]
    return found
