"""The way of a model, start to end: file or live model → Network → Program → Circuit → files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from hardwire import frontends
from hardwire.calibrate import Calibration, Metric, check_data
from hardwire.calibrate import calibrate as choose_types
from hardwire.design import EMULATOR, Design, module_name, needs_circuit
from hardwire.errors import ContractError, ModelError
from hardwire.fixed import FixedType, Ints
from hardwire.implement import rescheduled_report
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.layers._lowering import lower
from hardwire.layers.softmax import largest_error
from hardwire.network._ports import with_output_types
from hardwire.network.graph import Network
from hardwire.network.inspect import multiplications
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.reference import forward_all
from hardwire.open_types import at_end, complete, open_input_types, open_results
from hardwire.passes.pipelines import flatten, simplify
from hardwire.proof.formal import prove
from hardwire.quantiser import Quantiser
from hardwire.report.schema import compile_report
from hardwire.schedule import Circuit, schedule
from hardwire.schedule.fit import check_hopeless, check_multiplications
from hardwire.solver import AdderGraph, FullAdderCost, solve_cached
from hardwire.targets import Target
from hardwire.targets import target as find_target
from hardwire.writing import Hardware, written

_MEASURED_ROWS = 4000

_SPARE_VALUES = 2_000
"""Programs of one matrix and up to so many values are solved a second time with a level to spare."""

_SPARE_GAIN = 0.99
"""Fewer LUTs than this share make up for the registers that the looser graph takes more."""

_LEVELS = (3, 4, 5, 6, 8)
"""Levels of adders that are tried for sums of tables on targets whose adders take tables in."""

PortTypes = str | FixedType | Sequence[str | FixedType] | Mapping[str, str | FixedType]
"""One type for all inputs (or outputs), one for each in order, or by their names."""

Progress = Callable[[str], None]
"""Told what is being done, in a few words."""


def compile(
    model: Any,
    *,
    example: Any = None,
    weights: Any = None,
    target: str | Target = "ecp5-85k",
    clock_mhz: float | None = None,
    latency_ns: float | None = None,
    latency_cycles: int | None = None,
    calibrate: Any = None,
    input_type: PortTypes | None = None,
    output_type: PortTypes | None = None,
    exact: bool = False,
    fidelity: float = 0.999,
    metric: Metric | None = None,
    tolerance: float = 0.0,
    backend: str = "verilog",
    effort: int = 1,
    seed: int = 0,
    name: str | None = None,
    progress: Progress | None = None,
) -> Design:
    """Compile a trained network to hardware.

    `model`: a path, live model or `Network`; `example`: arrays (batch first) that give shapes where the model does
    not; `weights`: a separate weights file. `clock_mhz`, `latency_ns`, `latency_cycles`: the contract; without any,
    the target's default clock. A float model needs `calibrate` (arrays `(N, *shape)`, one per input, as an array or
    tuple; types are chosen to `fidelity`, or to `metric` within `tolerance`) or `exact=True` with `input_type`
    (`s8.4`, one, one per input or by name): every parameter as it stands. A quantised model keeps its types; inputs
    and softmax-like results that it leaves open get `input_type`, `output_type` (outputs are rounded to it, to nearest
    even, saturated), or one from the data of `calibrate`. `effort` and `seed` steer the solver; equal arguments give
    equal bytes.

    Raises a `HardwireError` whose message names the layer or field; see `hardwire.errors`.
    """
    say = progress or (lambda _text: None)
    part = find_target(target)
    scheduled = needs_circuit(backend)
    types, output_types = _types(input_type), _types(output_type)
    say("reading the model")
    if not isinstance(model, Network):
        model = frontends.load(model, example=example, weights=weights)
    network = prepare(model)
    if name is not None:
        network = network.with_(name=name)
    quantised = network.quantised
    if output_types is not None:
        network = prepare(with_output_types(network, output_types))
    calibration: Calibration | None = None
    searching = partial(_searching, say)
    if calibrate is not None and not quantised:
        if types is not None or exact:
            other = "exact=True" if exact else "input_type"
            raise ModelError(
                f"model {network.name!r}: calibrate and {other} are both given; calibration chooses every type",
                hint=f"leave out {other} (--{'exact' if exact else 'input-type'}), or calibrate",
            )
        if scheduled:
            check_multiplications(network.name, multiplications(network), part)
        say("choosing types from data")
        calibration = choose_types(
            network,
            _arrays(calibrate, network),
            fidelity=fidelity,
            metric=metric,
            tolerance=tolerance,
            progress=searching,
        )
        network = prepare(calibration.network)
    elif not quantised and not exact:
        raise ModelError(
            f"model {network.name!r} has no quantisers, and its types are not guessed",
            hint="calibrate=x (--calibrate x.npy) to choose types from data, or exact=True (--exact) with an input "
            "type to take every parameter as it stands",
        )
    elif calibrate is not None:
        arrays = check_data(network, _arrays(calibrate, network))
        rows = [x[:_MEASURED_ROWS] for x in arrays]
        if types is None:
            types = open_input_types(network, rows, fidelity) or None
        say("choosing the types that the model leaves open")
        ports = input_quantisers(network, types)
        calibration = complete(
            network, ports, rows, fidelity=fidelity, metric=metric, tolerance=tolerance, progress=searching
        )
        network = network if calibration is None else prepare(calibration.network)
    _check_results(network, quantised)
    quantisers = input_quantisers(network, types)
    say("lowering to integers")
    program = simplify(lower(network, quantisers))
    if calibrate is not None:
        _measure_softmax(network, program, quantisers, _arrays(calibrate, network))
    options = {
        "target": part.name,
        "clock_mhz": clock_mhz,
        "latency_ns": latency_ns,
        "latency_cycles": latency_cycles,
        "backend": backend,
        "exact": exact,
        "effort": effort,
        "seed": seed,
        "input_type": _types_text(types),
        "output_type": _types_text(output_types),
    }
    hardware: Hardware | None = None
    if scheduled:
        check_hopeless(program, part)
        hardware = _built(program, part, options, say)
    files: Mapping[str, str] = {}
    if backend != EMULATOR:
        say("writing")
        files = written(module_name(network.name), program, hardware, part, clock_mhz, backend)
    circuit = None if hardware is None else hardware.circuit
    report = compile_report(network, program, circuit, part, calibration, options, sorted(files))
    return Design(network.name, network, program, hardware, part, report, files=files)


def _searching(say: Progress, steps: int, figure: float) -> None:
    say(f"choosing types: {steps} bits saved, fidelity {figure:.5f}")


def _check_results(network: Network, quantised: bool) -> None:
    """Raise `ModelError` for the first result of a table without a type, with every way to give it one."""
    for node in open_results(network):
        what = node.attrs.get("function", node.kind.replace("_", " "))
        stated = "output_type='u16.16' (--output-type u16.16), " if at_end(network, node) else ""
        data = "calibrate=x (--calibrate x.npy) to choose it from data, " if quantised else ""
        raise ModelError(
            f"layer {node.name!r}: {what} has no exact fixed-point result and no type for its output",
            hint=f"{stated}{data}a quantiser after the layer{', or argmax instead' if what == 'softmax' else ''}",
        )


def retarget(design: Design, target: str | Target) -> Design:
    """Return the design scheduled for another target under the same contract, with its verification still to be done.

    Raises `ContractError` where the target cannot meet the contract.
    """
    part = find_target(target)
    options = {**design.report_data["options"], "target": part.name}
    hardware = None
    if needs_circuit(design.backend):
        hardware = _built(design.program, part, options, lambda _text: None)
    files = written(design.module, design.program, hardware, part, options["clock_mhz"], design.backend)
    report = rescheduled_report(design, hardware, part, options, files)
    return Design(design.name, design.network, design.program, hardware, part, report, files=files)


def _built(program: Program, part: Target, options: Mapping[str, Any], say: Progress) -> Hardware:
    """Solve and schedule the program."""
    flat, matrices = _flattened(program, part, options, say)
    others: Iterable[Program] = ()
    if len(flat.flat) <= _SPARE_VALUES:
        if matrices == 1:
            others = (_flattened(program, part, options, _quiet, spare=1)[0],)
        elif part.taken_in and np.any(flat.flat.op == OpCode.TABLE):
            others = (_flattened(program, part, options, _quiet, levels=n)[0] for n in _LEVELS)
    say("scheduling")
    circuit = _scheduled(flat, part, options)
    for other in others:
        if _luts(other, part) >= _SPARE_GAIN * _luts(flat, part):
            continue
        # Stages may have room for a level more: fewer adders there, and no cycle later.
        later = _scheduled(other, part, options, or_else=circuit)
        if later.kernel is not other.flat or later.latency > circuit.latency:
            break
        flat, circuit = other, later
    return Hardware(flat, circuit)


def _quiet(_text: str) -> None:
    """Say nothing."""


def _flattened(
    program: Program, part: Target, options: Mapping[str, Any], say: Progress, spare: int = 0, levels: int = 0
) -> tuple[Program, int]:
    """Solve each layer at the least depth, which costs about one per cent of the adders and saves whole cycles.

    Each may take `spare` levels more, a sum of tables `levels` in all. Returns the flat Program and the number of
    matrices.
    """
    cost = FullAdderCost(part.costs.adder_overhead)
    matrices = 0

    def solve(matrix: Ints, lo: Ints, hi: Ints, depth: Ints) -> AdderGraph:
        nonlocal matrices
        matrices += 1
        effort, seed = options["effort"], options["seed"]
        return solve_cached(
            matrix, lo=lo, hi=hi, input_depth=depth, depth_limit=spare, cost=cost, effort=effort, seed=seed
        )

    flat = flatten(
        program,
        solve,
        progress=lambda layer: say(f"solving {layer}"),
        fabric=part,
        proven=_proven,
        unsigned=part.costs.carry_passes,
        levels=levels,
    )
    return flat, matrices


def _scheduled(flat: Program, part: Target, options: Mapping[str, Any], or_else: Circuit | None = None) -> Circuit:
    """Schedule to the contract; `or_else` instead of raising `ContractError`."""
    contract = {key: options[key] for key in ("clock_mhz", "latency_ns", "latency_cycles")}
    try:
        return schedule(flat, part, **contract)
    except ContractError:
        if or_else is None:
            raise
        return or_else


def _luts(flat: Program, part: Target) -> float:
    return float(part.cost(flat.flat).lut.sum())


def _measure_softmax(
    network: Network, program: Program, quantisers: Mapping[str, Quantiser], data: Sequence[Any]
) -> None:
    """Note beside each softmax's proven bound the largest error on the calibration data."""
    notes = program.notes.get("softmax", {})
    if notes:
        arrays = [x[:_MEASURED_ROWS] for x in check_data(network, data)]
        tensors = forward_all(network, [quantisers[n](x) for n, x in zip(network.inputs, arrays, strict=True)])
        for node in network.nodes:
            if node.name in notes:
                x, *masks = (tensors[tensor] for tensor in node.inputs)
                notes[node.name]["error_on_data"] = largest_error(node, x, notes[node.name], *masks)


def _proven(program: Program, flat: Kernel) -> bool:
    return prove(program, flat).proven


def _arrays(data: Any, network: Network) -> list[Any]:
    """One array per input; a list stands for several arrays only where there are several inputs."""
    if isinstance(data, tuple) or (isinstance(data, list) and len(network.inputs) > 1):
        return [np.asarray(x) for x in data]
    return [np.asarray(data)]


def _types(given: PortTypes | None) -> list[FixedType] | dict[str, FixedType] | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {name: _type(kind) for name, kind in given.items()}
    return [_type(given)] if isinstance(given, str | FixedType) else [_type(kind) for kind in given]


def _type(kind: str | FixedType) -> FixedType:
    return FixedType.parse(kind) if isinstance(kind, str) else kind


def _types_text(types: list[FixedType] | dict[str, FixedType] | None) -> list[str] | dict[str, str] | None:
    if isinstance(types, dict):
        return {name: str(kind) for name, kind in types.items()}
    return None if types is None else [str(kind) for kind in types]
