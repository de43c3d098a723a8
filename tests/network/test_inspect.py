from __future__ import annotations

import numpy as np

from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.inspect import layer_rows, multiplications, summary, weight_bits
from hardwire.quantiser import Quantiser


def network(quantised: bool = True) -> Network:
    net = NetworkBuilder("n")
    t = net.input("x", (3, 2))
    if quantised:
        bits = np.array([4, 6])
        t = net.add("quantise", "q", [t], {"quantiser": Quantiser.of_arrays(True, bits, 2)})
    t = net.add("dense", "fc", [t], {}, {"kernel": np.array([[0.5, 0.0], [0.75, -3.0]]), "bias": np.array([0.0, 1.0])})
    return net.build([net.add("reshape", "flat", [t], {"shape": (6,)})])


def test_weight_bits_run_from_the_highest_to_the_lowest_set_bit() -> None:
    assert weight_bits(np.array([0.0, 1.0, 0.5, 0.75, -3.0, 5.0, 0.625])).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_rows_count_what_is_there() -> None:
    rows = {row["name"]: row for row in layer_rows(network())}
    dense = rows["fc"]
    assert (dense["parameters"], dense["nonzero"], dense["macs"], dense["shape"]) == (6, 4, 12, [3, 2])
    # Three rows; 4-bit inputs meet weights of 1 bit, 6-bit inputs weights of 2 and 2 bits.
    assert dense["ebops"] == 3 * (4 * 1 + 6 * (2 + 2))
    assert rows["q"]["type"] == "s(4…6).2 RND_CONV SAT"
    assert rows["flat"]["macs"] == 0


def test_without_types_there_are_no_ebops() -> None:
    rows = layer_rows(network(quantised=False))
    assert summary(rows) == {"layers": 2, "parameters": 6, "nonzero": 4, "macs": 12, "ebops": None}
    assert summary(layer_rows(network()))["ebops"] == 84


def test_the_cell_of_a_recurrence_counts_once_and_works_at_every_step() -> None:
    rule = Quantiser.of_arrays(True, 6, 2)
    cell = NetworkBuilder("cell")
    x, state = cell.input("x", (2,)), cell.input("state", (3,))
    a = cell.add("dense", "own", [x], {}, {"kernel": np.full((2, 3), 0.75), "bias": np.ones(3)})
    b = cell.add("dense", "back", [state], {}, {"kernel": np.eye(3)})
    both = cell.add("add", "both", [a, b])
    inner = cell.build([cell.add("quantise", "next", [both], {"quantiser": rule})])
    net = NetworkBuilder("n")
    attrs = {"cell": inner, "input": rule, "state": rule, "reverse": False, "sequence": False}
    recurrence = net.build([net.add("scan", "r", [net.input("x", (5, 2))], attrs)])
    (row,) = layer_rows(recurrence)
    assert (row["parameters"], row["nonzero"], row["macs"]) == (18, 12, 5 * 15)
    # Six-bit inputs meet six weights of two bits, six-bit states three of one.
    assert row["ebops"] == 5 * (6 * 6 * 2 + 6 * 3)
    assert multiplications(recurrence) == {"r": 5 * 9}


def test_a_recurrent_layer_multiplies_once_a_step() -> None:
    net = NetworkBuilder("n")
    x = net.input("x", (4, 2))
    attrs = {"activation": (), "go_backwards": False, "time_order": False, "returns": "last", "types": {}}
    kernel = np.full((5, 3), 0.5)
    rnn = net.build([net.add("rnn", "r", [x], attrs, {"kernel": kernel, "bias": np.ones(3)})])
    (row,) = layer_rows(rnn)
    assert (row["parameters"], row["macs"]) == (18, 4 * 15)
    assert multiplications(rnn) == {"r": 4 * 15}
