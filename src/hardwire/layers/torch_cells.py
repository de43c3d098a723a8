"""PyTorch's recurrent cells, called step by step in a loop: products, functions of the sums, and the new state.

`nn.RNNCell`, `nn.LSTMCell`, `nn.GRUCell`. Gates stand as in the weights: i f g o (LSTM), r z n (GRU).
"""

from __future__ import annotations

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.fixed import Floats
from hardwire.layers import _torch as torch
from hardwire.layers._base import imports
from hardwire.layers.constant import constant_tensor
from hardwire.layers.torch_functions import function
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_GATES = {"aten.rnn_tanh_cell.default": 1, "aten.rnn_relu_cell.default": 1}
_GATES |= {"aten.lstm_cell.default": 4, "aten.gru_cell.default": 3}


@imports("torch", *_GATES)
def _torch_cell(record: Record, net: NetworkBuilder) -> str | list[str]:
    """One step: the state (and carry) from the input and the state (and carry) before."""
    name = record.name
    positions = record.versions["positions"]
    x = record.inputs[0]
    if positions[0] != 0 or len(net.shape(x)) != 1:
        raise UnsupportedError(f"layer {name!r} ({record.kind}): an input of the shape (batch, features) is expected")
    weights = [record.array(str(k)).astype(np.float64) for k in (2, 3)]
    biases = [record.array(str(k)).astype(np.float64) for k in (4, 5) if record.has_array(str(k))]
    gates, u = _GATES[record.kind], weights[1].shape[1]
    states = _states(record, net, x, u)
    if record.kind == "aten.gru_cell.default":
        return _gru(net, name, x, states[0], u, weights, biases)
    joined = net.add("concat", f"{name}_joined", [x, states[0]], {"axis": 0})
    params = {"kernel": np.concatenate([weights[0].T, weights[1].T])}
    if biases:
        params["bias"] = biases[0] + biases[1]
    sums = net.add("dense", f"{name}_sums", [joined], {}, params)
    if gates == 1:
        return net.add("relu", name, [sums]) if "relu" in record.kind else function(net, name, sums, "tanh")
    i, f, g, o = (_part(net, f"{name}_{gate}_sum", sums, k, u) for k, gate in enumerate("ifgo"))
    kept = net.add("mul", f"{name}_kept", [function(net, f"{name}_f", f, "sigmoid"), states[1]])
    new = [function(net, f"{name}_i", i, "sigmoid"), function(net, f"{name}_g", g, "tanh")]
    carry = net.add("add", f"{name}_carry", [kept, net.add("mul", f"{name}_new", new)])
    shown = function(net, f"{name}_shown", carry, "tanh")
    return [net.add("mul", name, [function(net, f"{name}_o", o, "sigmoid"), shown]), carry]


def _states(record: Record, net: NetworkBuilder, x: str, u: int) -> list[str]:
    """State, and carry of an LSTM: computed, or a constant start."""
    computed = list(record.inputs[1:])
    constants = {key: record.array(key) for key in record.array_keys() if key == "1" or key.startswith("1.")}
    found = []
    for k in range(2 if "lstm" in record.kind else 1):
        value = constants.get(f"1.{k}", constants.get("1"))
        if value is None:
            found.append(computed.pop(0))
        else:
            flat = torch.batch_free(record, value, 1)
            found.append(constant_tensor(net, f"{record.name}_start{k}", x, np.broadcast_to(flat, (u,))))
    return found


def _part(net: NetworkBuilder, name: str, sums: str, k: int, u: int) -> str:
    return net.add("take", name, [sums], {"axis": 0, "indices": tuple(range(k * u, (k + 1) * u))})


def _gru(
    net: NetworkBuilder,
    name: str,
    x: str,
    state: str,
    u: int,
    weights: list[Floats],
    biases: list[Floats],
) -> str:
    """`n + z · (h - n)` with `n = tanh(W x + r · (U h))`."""
    own, back = (
        net.add("dense", f"{name}_{key}", [tensor], {}, {"kernel": w.T, **({"bias": biases[k]} if biases else {})})
        for k, (key, tensor, w) in enumerate((("x", x, weights[0]), ("h", state, weights[1])))
    )
    r, z = (
        function(
            net,
            f"{name}_{gate}",
            net.add(
                "add",
                f"{name}_{gate}_sum",
                [_part(net, f"{name}_{gate}_x", own, k, u), _part(net, f"{name}_{gate}_h", back, k, u)],
            ),
            "sigmoid",
        )
        for k, gate in enumerate("rz")
    )
    reset = net.add("mul", f"{name}_reset", [r, _part(net, f"{name}_n_h", back, 2, u)])
    n = function(
        net, f"{name}_n", net.add("add", f"{name}_n_sum", [_part(net, f"{name}_n_x", own, 2, u), reset]), "tanh"
    )
    apart = net.add("sub", f"{name}_apart", [state, n])
    return net.add("add", name, [n, net.add("mul", f"{name}_kept", [z, apart])])
