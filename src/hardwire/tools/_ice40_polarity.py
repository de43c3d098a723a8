"""Inverters of iCE40 netlists, most of them made needless.

A carry cell of iCE40 sees the bits that it adds as they are: to subtract, Yosys puts an inverter, a LUT of its own, in
front of every bit of the subtrahend, about a quarter of the LUTs of an adder graph. But a carry chain that gets all of
its bits and its carry in inverted gives every carry inverted; the LUTs that read them can take that into account, and
can give their own results inverted too, as any LUT can. So a chain may work on true or on inverted bits, and a net may
carry its value or the inverse; an inverter is left only where chains want both of a net. Which chains work inverted is
chosen by local search. The simulation of the netlist checks that it still computes the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

Bit = int | str
Net = tuple[int, bool]
"""A net, and whether its inverse is meant."""

_PINS = ("I0", "I1", "I2", "I3")
_MOST_ROUNDS = 8
_AS_IT_IS = -1
"""In place of a chain: what cannot take an inverted bit."""
_RESETS = {"SB_DFFSR": "SB_DFFSS", "SB_DFFESR": "SB_DFFESS", "SB_DFFR": "SB_DFFS", "SB_DFFER": "SB_DFFES"}
_RESETS |= {other: kind for kind, other in _RESETS.items()}


def drop_inverters(module: dict[str, Any]) -> int:
    """Change a netlist module (as in Yosys' JSON) in place; returns how many inverters it had."""
    netlist = _Netlist(module)
    if netlist.behind:
        flipped = _search(netlist)
        _rewrite(netlist, flipped)
    return len(netlist.behind)


class _Netlist:
    """Carry chains, nets behind inverters, and what is wanted of each net."""

    def __init__(self, module: dict[str, Any]) -> None:
        cells: dict[str, Any] = module["cells"]
        self.module, self.cells = module, cells
        self.chain = _chains(cells)
        """Carry cell → its chain."""
        self.carry_nets = {cells[name]["connections"]["CO"][0]: chain for name, chain in self.chain.items()}
        """Net between carry cells → its chain; what a chain gives to LUTs is inverted with it."""
        self.behind: dict[Bit, int] = {}
        """Net that an inverter drives → the net that it inverts."""
        for cell in cells.values():
            source = _inverted(cell)
            if source is not None and source not in self.carry_nets:
                self.behind[cell["connections"]["O"][0]] = source
        self.wanted: dict[int, Counter[tuple[int, bool]]] = defaultdict(Counter)
        """Net → the chains that read it (and whether behind an inverter), or `_AS_IT_IS`, and how often."""
        self.fixed_chains: set[int] = set()
        """Chains whose carries go to something else than LUTs."""
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input" and cell["type"] != "SB_LUT4":
                    # Of a register its data may come inverted: a LUT in front of it costs nothing.
                    for bit in bits:
                        self._want(bit, self.chain.get(name, _AS_IT_IS), port == "CI", port == "D")
        for port in module["ports"].values():
            if port["direction"] != "input":
                for bit in port["bits"]:
                    self._want(bit, _AS_IT_IS, False, False)
        driven = {bit for cell in cells.values() if self._invertible(cell) for bit in _output(cell)}
        self.fixed_nets = {net for net in self.wanted if net not in driven}

    def _want(self, bit: Bit, chain: int, carry_in: bool, data: bool) -> None:
        if bit in self.carry_nets:
            if not carry_in:
                self.fixed_chains |= {self.carry_nets[bit], chain}
        elif isinstance(bit, int) and not data:
            net, odd = self.root(bit)
            self.wanted[net][chain, odd] += 1

    def _invertible(self, cell: Any) -> bool:
        """Whether a cell can give the inverse: a LUT, or a register that a LUT may stand in front of."""
        if cell["type"].startswith("SB_DFF"):
            return cell["connections"]["D"][0] not in self.carry_nets
        return bool(cell["type"] == "SB_LUT4")

    def root(self, bit: int) -> Net:
        """What a net carries, without inverters."""
        odd = False
        while bit in self.behind:
            bit, odd = self.behind[bit], not odd
        return bit, odd

    def votes(self, net: int, flipped: list[bool]) -> list[int]:
        """How many want a net as it is, and how many want the inverse."""
        votes = [0, 0]
        for (chain, odd), count in self.wanted[net].items():
            votes[odd ^ (chain != _AS_IT_IS and flipped[chain])] += count
        return votes

    def inverters(self, nets: set[int], flipped: list[bool]) -> int:
        """Inverters that are left behind these nets."""
        votes = ((net, self.votes(net, flipped)) for net in nets)
        return sum(inverse > 0 and (true > 0 or net in self.fixed_nets) for net, (true, inverse) in votes)


def _search(netlist: _Netlist) -> list[bool]:
    """Which chains work on inverted bits: flip one by one as long as that saves inverters."""
    flipped = [False] * len(netlist.cells)
    nets: dict[int, set[int]] = defaultdict(set)
    for net, wishes in netlist.wanted.items():
        for chain, _ in wishes:
            nets[chain].add(net)
    for _ in range(_MOST_ROUNDS):
        changed = False
        for chain in sorted({*netlist.chain.values()} - netlist.fixed_chains):
            before = netlist.inverters(nets[chain], flipped)
            flipped[chain] = not flipped[chain]
            if netlist.inverters(nets[chain], flipped) < before:
                changed = True
            else:
                flipped[chain] = not flipped[chain]
        if not changed:
            break
    return flipped


def _rewrite(netlist: _Netlist, flipped: list[bool]) -> None:
    """Every net carries what most want of it; LUTs compute accordingly, and inverters are made for the rest."""
    cells, module = netlist.cells, netlist.module
    inverse: dict[Bit, bool] = {}
    for net in netlist.wanted:
        true, other = netlist.votes(net, flipped)
        inverse[net] = other > true and net not in netlist.fixed_nets
    for name in [name for name, cell in cells.items() if cell["connections"].get("O", [""])[0] in netlist.behind]:
        del cells[name]
    lut_nets = {cell["connections"]["O"][0] for cell in cells.values() if cell["type"] == "SB_LUT4"}
    for cell in cells.values():
        if cell["type"].startswith("SB_DFF") and isinstance(cell["connections"]["D"][0], int):
            net, odd = netlist.root(cell["connections"]["D"][0])
            if net in lut_nets:
                # The LUT in front of a register gives what the register holds.
                inverse.setdefault(net, odd ^ inverse.get(cell["connections"]["Q"][0], False))
    next_net = 1 + max(bit for bits in _all_bits(module) for bit in (*bits, 1) if isinstance(bit, int))
    made: dict[int, int] = {}

    def given(bit: Bit, flip: bool = False) -> Bit:
        """A net that holds the value of `bit`, inverted where `flip`."""
        if not isinstance(bit, int):
            return {"0": "1", "1": "0"}.get(bit, bit) if flip else bit
        if bit in netlist.carry_nets:
            return bit  # Of a chain that is inverted only other carry cells and LUTs read it; those know.
        net, odd = netlist.root(bit)
        if inverse.get(net, False) == odd ^ flip:
            return net
        return made.setdefault(net, next_net + len(made))

    shared = _shared(netlist)
    for name, cell in cells.items():
        wires = cell["connections"]
        if cell["type"] == "SB_LUT4":
            _rewrite_lut(cell, netlist, shared.get(name), inverse, flipped)
            continue
        if cell["type"] in _RESETS and inverse.get(wires["Q"][0], False):
            cell["type"] = _RESETS[cell["type"]]
            old, new = ("R", "S") if "R" in wires else ("S", "R")
            for part in (wires, cell["port_directions"]):
                part[new] = part.pop(old)
        for port, bits in wires.items():
            if cell["port_directions"][port] == "input":
                flip = name in netlist.chain and flipped[netlist.chain[name]]
                flip |= port == "D" and cell["type"].startswith("SB_DFF") and inverse.get(wires["Q"][0], False)
                wires[port] = [given(bit, flip) for bit in bits]
    for name, carry in shared.items():
        wires = cells[name]["connections"]
        wires["I1"], wires["I2"] = (list(cells[carry]["connections"][port]) for port in ("I0", "I1"))
    for port in module["ports"].values():
        if port["direction"] != "input":
            port["bits"] = [given(bit) for bit in port["bits"]]
    for net, other in made.items():
        cells[f"$inverter${other}"] = _inverter(net, other)


def _rewrite_lut(
    cell: Any, netlist: _Netlist, carry: str | None, inverse: dict[Bit, bool], flipped: list[bool]
) -> None:
    """The same function of nets of other polarities; `carry` gives two of its inputs."""
    wires, table = cell["connections"], _table(cell)
    for k, port in enumerate(_PINS):
        bit = wires[port][0]
        if carry is not None and port in ("I1", "I2"):
            flip = flipped[netlist.chain[carry]]
        elif bit in netlist.carry_nets:
            flip = flipped[netlist.carry_nets[bit]]
        elif isinstance(bit, int):
            net, odd = netlist.root(bit)
            wires[port], flip = [net], odd ^ inverse.get(net, False)
        else:
            flip = False
        if flip:
            table = sum(((table >> (place ^ 1 << k)) & 1) << place for place in range(16))
    if inverse.get(wires["O"][0], False):
        table ^= 0xFFFF
    cell["parameters"]["LUT_INIT"] = f"{table:016b}"


def _chains(cells: dict[str, Any]) -> dict[str, int]:
    """Carry cell → the number of its chain."""
    before = {cell["connections"]["CO"][0]: name for name, cell in cells.items() if cell["type"] == "SB_CARRY"}
    chain: dict[str, int] = {}
    count = 0
    for name in before.values():
        path: list[str] = []
        at: str | None = name
        while at is not None and at not in chain:
            path.append(at)
            at = before.get(cells[at]["connections"]["CI"][0])
        if at is None:
            number, count = count, count + 1
        else:
            number = chain[at]
        chain.update(dict.fromkeys(path, number))
    return chain


def _shared(netlist: _Netlist) -> dict[str, str]:
    """LUT → the carry cell with which it shares a logic cell, and so two inputs."""

    def carry_in(bit: Bit) -> Bit:
        return bit if bit in netlist.carry_nets else "none"

    carries = {}
    for name in netlist.chain:
        wires = netlist.cells[name]["connections"]
        carries[wires["I0"][0], wires["I1"][0], carry_in(wires["CI"][0])] = name
    found = {}
    for name, cell in netlist.cells.items():
        if cell["type"] == "SB_LUT4":
            wires = cell["connections"]
            key = wires["I1"][0], wires["I2"][0], carry_in(wires["I3"][0])
            if key in carries:
                found[name] = carries[key]
    return found


def _table(cell: Any) -> int:
    return int(cell["parameters"]["LUT_INIT"].replace("x", "0"), 2)


def _inverted(cell: Any) -> int | None:
    """The net of which a cell is an inverter; None if it is none."""
    if cell["type"] != "SB_LUT4":
        return None
    nets = [(k, cell["connections"][port][0]) for k, port in enumerate(_PINS)]
    inputs = [(k, bit) for k, bit in nets if isinstance(bit, int)]
    if len(inputs) != 1:
        return None
    place = sum(1 << k for k, bit in nets if bit == "1")
    table, (k, bit) = _table(cell), inputs[0]
    return bit if (table >> place) & 1 and not (table >> (place | 1 << k)) & 1 else None


def _output(cell: Any) -> list[Bit]:
    return [bit for port in ("O", "Q") for bit in cell["connections"].get(port, [])]


def _all_bits(module: dict[str, Any]) -> list[list[Bit]]:
    found = [bits for cell in module["cells"].values() for bits in cell["connections"].values()]
    return [*found, *(port["bits"] for port in module["ports"].values())]


def _inverter(net: int, other: int) -> dict[str, Any]:
    pins = {"I0": ["0"], "I1": ["0"], "I2": ["0"], "I3": [net], "O": [other]}
    return {
        "hide_name": 1,
        "type": "SB_LUT4",
        "parameters": {"LUT_INIT": f"{0x00FF:016b}"},
        "attributes": {},
        "port_directions": {port: "output" if port == "O" else "input" for port in pins},
        "connections": pins,
    }
