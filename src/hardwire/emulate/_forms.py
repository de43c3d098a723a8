"""Adder graphs read back as the sums that they compute, where a dot product is the cheaper way to them.

Hardware shares partial sums because an adder is dear there; a vector unit multiplies and adds four bytes in one
instruction. A connected region of additions, subtractions and shifts is a set of linear forms over the region's inputs;
where evaluating those forms directly costs less than the region does, its results become LINEAR and the rest is dead.
"""

from __future__ import annotations

from dataclasses import replace

from hardwire.emulate._host import Host
from hardwire.emulate._plan import lane_of, split_terms
from hardwire.ir.jobs import Job, Node, live_values
from hardwire.ir.ops import OpCode

Form = dict[int, int]
"""Coefficient by value; the constant under `_BIAS`."""

_BIAS = -1
_LINEAR = frozenset((OpCode.LINEAR, OpCode.ADD, OpCode.SUB, OpCode.SHL))
_MOST_TERMS = 2_000_000
"""Terms of all forms of a region together, beyond which it stays as it is (memory and time)."""

_ADDER_COST = 1.5
"""Of an addition against a byte dot product, both of one register: many wait in memory between chunks."""


def recover(job: Job, host: Host) -> Job:
    """Return the job with LINEARs for regions that are cheaper so; nothing changes without dot products."""
    if not host.dot16:
        return job
    live = live_values(job)
    regions = _regions(job, live)
    nodes = list(job.nodes)
    wanted = _read_outside(job, live, regions)
    for members in regions:
        if len(members) == 1 or not _nested(job, members):
            continue
        forms = _forms(job, members)
        if forms is None:
            continue
        fresh = {i: _as_linear(nodes[i], forms[i]) for i in members if i in wanted}
        if _linear_cost(job, fresh, host) < sum(_adder_cost(job, nodes[i], host) for i in members):
            for i, node in fresh.items():
                nodes[i] = node
    return replace(job, nodes=nodes)


def _nested(job: Job, members: list[int]) -> bool:
    inside = set(members)
    return any(arg in inside for i in members for arg in job.nodes[i].args)


def _regions(job: Job, live: list[bool]) -> list[list[int]]:
    """Live linear values, grouped by connection through operands; each group in order."""
    parent = list(range(len(job.nodes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, node in enumerate(job.nodes):
        if live[i] and node.op in _LINEAR:
            for arg in node.args:
                if job.nodes[arg].op in _LINEAR:
                    parent[root(i)] = root(arg)
    groups: dict[int, list[int]] = {}
    for i, node in enumerate(job.nodes):
        if live[i] and node.op in _LINEAR:
            groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _read_outside(job: Job, live: list[bool], regions: list[list[int]]) -> set[int]:
    """Values that something outside their own region reads."""
    home = {i: k for k, members in enumerate(regions) for i in members}
    wanted = {value for _, _, value in job.writes}
    for i, node in enumerate(job.nodes):
        if live[i]:
            wanted.update(arg for arg in node.args if home.get(arg, -1) != home.get(i, -2))
    return wanted


def _forms(job: Job, members: list[int]) -> dict[int, Form] | None:
    """Linear form of every member over values outside; None when they are too large together."""
    forms: dict[int, Form] = {}
    size = 0
    for i in members:
        node = job.nodes[i]
        if node.op == OpCode.LINEAR:
            parts = list(zip(node.args, node.coefs, strict=True))
            form: Form = {_BIAS: node.p}
        else:
            sign = -1 if node.op == OpCode.SUB else 1
            factors = (1 << node.p, sign << node.q) if node.op != OpCode.SHL else (1 << node.p,)
            parts = list(zip(node.args, factors, strict=True))
            form = {}
        for arg, factor in parts:
            inner = forms.get(arg)
            if inner is not None:
                for value, coef in inner.items():
                    form[value] = form.get(value, 0) + coef * factor
            elif job.nodes[arg].op == OpCode.CONST:
                form[_BIAS] = form.get(_BIAS, 0) + job.nodes[arg].p * factor
            else:
                form[arg] = form.get(arg, 0) + factor
        forms[i] = form
        size += len(form)
        if size > _MOST_TERMS:
            return None
    return forms


def _as_linear(node: Node, form: Form) -> Node:
    terms = sorted((value, coef) for value, coef in form.items() if value != _BIAS and coef)
    args, coefs = tuple(t[0] for t in terms), tuple(t[1] for t in terms)
    return Node(OpCode.LINEAR, args, coefs, form.get(_BIAS, 0), 0, node.lo, node.hi)


def _registers(node: Node) -> float:
    """Registers that a vector of a value takes."""
    return lane_of(node.lo, node.hi) / 16


def _adder_cost(job: Job, node: Node, host: Host) -> float:
    if node.op == OpCode.LINEAR:
        return _linear_cost(job, {0: node}, host)
    steps = 1 + 0.5 * ((node.p > 0) + (node.q > 0))
    return _ADDER_COST * steps * _registers(node)


def _linear_cost(job: Job, linear: dict[int, Node], host: Host) -> float:
    """Instructions of LINEARs as they would be emitted: packs are guessed from the order of their operands."""
    places = {arg: k for k, arg in enumerate(sorted({arg for node in linear.values() for arg in node.args}))}
    total = 0.0
    packed: set[tuple[int, int]] = set()
    for node in linear.values():
        terms = split_terms(job, node, host)
        registers = _registers(node)
        if terms is None:
            total += (2.5 * len(node.args) + 1) * registers
            continue
        words = {(4, places[arg] // 4) for _, arg in terms.bytes} | {(2, places[arg] // 2) for _, arg in terms.words}
        packed |= words
        total += 2 * len(words) + 2 + 2.5 * len(terms.rest) * registers
    return total + sum(3 * group for group, _ in packed)
