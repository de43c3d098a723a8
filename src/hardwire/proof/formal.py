"""The formal proof that a circuit computes its model: exact, for every input, in well under a second.

The specification is the lowered Program before any optimisation: one LINEAR value per neuron with the model's own
weights and bias. The implementation is the scheduled adder graph. Both are brought to canonical forms over the same
atoms (`proof.forms`); equal forms are equal functions. SAT and SMT do not scale on re-associated adders; this does.

Proven: every output's function, every neuron's weights and bias, no overflow (each value's width holds the range that
its form can reach), balanced latency (every operand of an op arrives in the same cycle through its registers). Not
proven here, only simulated: the printing of the circuit as Verilog, and synthesis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from hardwire.fixed import Ints
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.ir.ranges import Range, range_of
from hardwire.ir.relaxation import relaxed_ranges
from hardwire.passes._operands import operands
from hardwire.passes.dce import dce
from hardwire.passes.unroll import unroll
from hardwire.proof.forms import Atoms, Form, Terms, forms_of, primitive


@dataclass(frozen=True)
class Proof:
    """What was proven. `failures` is empty when everything was; each line names the layer and the reason."""

    neurons: int
    neurons_proven: int
    outputs: int
    outputs_proven: int
    values: int
    values_without_overflow: int
    latency_balanced: bool
    failures: tuple[str, ...] = field(default=())

    @property
    def proven(self) -> bool:
        """Whether every claim was proven."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """Return the `verification.formal` part of the report."""
        return {
            "proven": self.proven,
            "neurons": self.neurons,
            "neurons_proven": self.neurons_proven,
            "outputs": self.outputs,
            "outputs_proven": self.outputs_proven,
            "values": self.values,
            "values_without_overflow": self.values_without_overflow,
            "latency_balanced": self.latency_balanced,
            "failures": list(self.failures[:20]),
            "by_proof": ["output functions", "weights and biases", "no overflow", "balanced latency"],
            "by_simulation": ["RTL text", "synthesised netlist"],
        }


def prove(specification: Program, implementation: Kernel, stage: Ints | None = None) -> Proof:
    """Prove a flat `implementation` (with `stage` per value, cycles) equal to the `specification` Program.

    `specification` still has one LINEAR per neuron; its loops are unrolled here.
    """
    spec = dce(unroll(specification).flat)
    n = implementation.n_inputs
    failures: list[str] = []
    inputs = list(zip(spec.lo[: spec.n_inputs].tolist(), spec.hi[: spec.n_inputs].tolist(), strict=True))
    if spec.n_inputs != n or len(spec.outputs) != len(implementation.outputs):
        return Proof(0, 0, len(spec.outputs), 0, len(implementation), 0, False, ("the ports differ",))
    atoms = Atoms(inputs)
    wanted = forms_of(_with_own_ranges(spec), atoms, learn=True)
    found = forms_of(implementation, atoms)
    outputs_proven = 0
    for k, (a, b) in enumerate(zip(spec.outputs.tolist(), implementation.outputs.tolist(), strict=True)):
        if wanted[a] == found[b]:
            outputs_proven += 1
        else:
            failures.append(f"output {k}: the circuit computes another function than layer {spec[a].origin!r}")
    neurons, proven, where = _neurons(spec, wanted, set(found), atoms)
    failures.extend(where)
    fits = _overflow(implementation, found, atoms, failures)
    balanced = stage is None or _balanced(implementation, np.asarray(stage), failures)
    return Proof(
        neurons=neurons,
        neurons_proven=proven,
        outputs=len(spec.outputs),
        outputs_proven=outputs_proven,
        values=len(implementation),
        values_without_overflow=fits,
        latency_balanced=stage is not None and balanced,
        failures=tuple(failures),
    )


def _with_own_ranges(spec: Kernel) -> Kernel:
    """The specification with ranges that follow from its inputs' alone."""
    lo, hi = relaxed_ranges(spec)
    return spec.with_(lo=lo, hi=hi)


def _neurons(spec: Kernel, wanted: list[Form], found: set[Form], atoms: Atoms) -> tuple[int, int, list[str]]:
    """Neurons of the specification whose function the implementation has.

    A neuron whose own value was merged into a later one (its rounding's half added to the bias) or decided nothing (a
    later value is constant, whatever the neuron says) counts when every value that reads it does.
    """
    linears = np.flatnonzero(spec.op == OpCode.LINEAR)
    pointer, ids = operands(spec)
    bounds, readers = pointer.tolist(), ids.tolist()
    readers_missing = [False] * len(spec)
    has_reader = [False] * len(spec)
    counts = [False] * len(spec)
    for value in range(len(spec) - 1, -1, -1):
        there = not wanted[value].terms or wanted[value] in found
        counts[value] = there or (has_reader[value] and not readers_missing[value])
        for arg in readers[bounds[value] : bounds[value + 1]]:
            has_reader[arg] = True
            readers_missing[arg] |= not counts[value]
    proven, missing = 0, []
    for value in linears.tolist():
        if counts[value]:
            proven += 1
        else:
            missing.append(f"layer {spec[value].origin!r}: neuron %{value} is not computed as its weights say")
    return len(linears), proven, missing


def _overflow(kernel: Kernel, forms: list[Form], atoms: Atoms, failures: list[str]) -> int:
    fits = 0
    for op, form in zip(kernel, forms, strict=True):
        lo, hi = atoms.range(form)
        if op.code is OpCode.TABLE:
            low, high = atoms.range(forms[op.args[0]])
            if low < op.q or high - op.q >= len(kernel.tables[op.p]):
                failures.append(f"layer {op.origin!r}: %{op.id} can read its table at [{low}, {high}], outside of it")
                continue
        if (lo < op.lo or op.hi < hi) and op.args:
            # What the operands' own ranges say, each proven before: a form takes its atoms as independent.
            spans = [_both((kernel[arg].lo, kernel[arg].hi), atoms.range(forms[arg])) for arg in op.args]
            if all(low <= high for low, high in spans):
                table = kernel.tables[op.p].tolist() if op.code is OpCode.TABLE else ()
                lo, hi = _both((lo, hi), range_of(op.code, spans, op.p, op.q, coefs=op.coefs, table=table))
        if (lo < op.lo or op.hi < hi) and op.code in _SUMS:
            lo, hi = _both((lo, hi), _over_learnt(kernel, forms, atoms, op.id))
        if op.lo <= lo and hi <= op.hi:
            fits += 1
        else:
            failures.append(
                f"layer {op.origin!r}: %{op.id} ({op.code.name.lower()}) can reach [{lo}, {hi}], "
                f"its range [{op.lo}, {op.hi}] of {op.width} bits does not hold that"
            )
    return fits


_SUMS = (OpCode.LINEAR, OpCode.ADD, OpCode.SUB, OpCode.SHL)


def _over_learnt(kernel: Kernel, forms: list[Form], atoms: Atoms, value: int) -> Range:
    """Range of a sum over its parts of learnt ranges and of other ops, all sums between written out.

    The form itself is over atoms, which say less than was learnt of a part; the operands' ranges do not see what
    cancels between the two. Every part's range, the circuit's too, was proven before or is a failure already.
    """
    coefs = {value: 1}
    parts: dict[Terms, tuple[int, Range]] = {}
    constant = 0
    while coefs:
        at = max(coefs)
        coef, op, form = coefs.pop(at), kernel[at], forms[at]
        if op.code in _SUMS and (at == value or not atoms.is_learnt(form)):
            weights = op.coefs
            if op.code is OpCode.LINEAR:
                constant += coef * op.p
            else:
                weights = (1 << op.p, -(1 << op.q) if op.code is OpCode.SUB else 1 << op.q)[: len(op.args)]
            for arg, weight in zip(op.args, weights, strict=True):
                coefs[arg] = coefs.get(arg, 0) + coef * weight
            continue
        constant += coef * form.constant
        if form.terms:
            # Parts that are multiples of each other, or a constant off, are one.
            terms, unit = primitive(form.terms)
            before, span = parts.get(terms, (0, atoms.range(Form(terms, 0))))
            low, high = sorted(Fraction(bound - form.constant, unit) for bound in (op.lo, op.hi))
            parts[terms] = before + coef * unit, _both(span, (ceil(low), floor(high)))
    bounds = [sorted(coef * bound for bound in span) for coef, span in parts.values()]
    return constant + sum(low for low, _ in bounds), constant + sum(high for _, high in bounds)


def _both(first: Range, second: Range) -> Range:
    return max(first[0], second[0]), min(first[1], second[1])


def _balanced(kernel: Kernel, stage: Ints, failures: list[str]) -> bool:
    """Operands are never later than their op, and inputs come at stage 0; constants are wired and have no stage.

    An operand (or output) that is earlier is carried by registers, one a stage, so equal paths need no more than this
    order; the registers themselves are made from these stages by the back ends.
    """
    pointer, ids = operands(kernel)
    owner = np.repeat(np.arange(len(kernel)), np.diff(pointer))
    # Proven by `_overflow`: a value whose range is one number is that number.
    constant = kernel.lo == kernel.hi
    late = np.flatnonzero((stage[ids] > stage[owner]) & ~constant[ids] & ~constant[owner])
    for k in late[:5].tolist():
        op = kernel[int(owner[k])]
        failures.append(f"layer {op.origin!r}: %{op.id} at stage {stage[op.id]} reads %{ids[k]} of a later stage")
    early = np.flatnonzero((stage[: kernel.n_inputs] != 0) & ~constant[: kernel.n_inputs])
    if len(early):
        failures.append(f"input {early[0]} is not at stage 0")
    return not len(late) and not len(early)
