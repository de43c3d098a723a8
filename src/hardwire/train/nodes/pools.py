"""Pooling over windows."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from hardwire.network.graph import Node
from hardwire.train.nodes._base import Making, Plain, refused, trains

_MAX: dict[int, Any] = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE: dict[int, Any] = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def _pooled(x: Tensor, rank: int, edges: list[int], average: bool, options: dict[str, Any]) -> Tensor:
    """Channels first, and back; `edges` repeat the outermost elements, which leaves the greatest as it is."""
    x = x.movedim(-1, 1)
    if any(edges):
        x = functional.pad(x, edges, mode="replicate")
    y = (_AVERAGE if average else _MAX)[rank](x, **options)
    return y.movedim(1, -1)


@trains("max_pool", "average_pool")
def _pool(node: Node, making: Making) -> nn.Module:
    """Torch's pooling, where it has the file's padding."""
    average = node.kind == "average_pool"
    pads, size = node.attrs["padding"], [int(n) for n in node.attrs["size"]]
    rank = len(size)
    if rank not in _MAX:
        raise refused(f"a window over {rank} axes")
    options: dict[str, Any] = {"kernel_size": size, "stride": [int(n) for n in node.attrs["strides"]]}
    dilation = [int(n) for n in node.attrs.get("dilation", (1,) * rank)]
    even = all(a == b and a <= k // 2 for (a, b), k in zip(pads, size, strict=True))
    edges = [0] * (2 * rank)
    if even:
        options["padding"] = [int(a) for a, _ in pads]
    elif average or any(d != 1 for d in dilation) or node.attrs.get("ceil"):
        raise refused(f"a padding {pads} that differs at both ends", "pad in a layer of its own")
    else:
        edges = [int(n) for pair in reversed(pads) for n in pair]
    if average:
        if any(d != 1 for d in dilation):
            raise refused("an average over a dilated window")
        options |= {"ceil_mode": bool(node.attrs.get("ceil")), "count_include_pad": bool(node.attrs["count_padding"])}
        if node.attrs.get("divisor") is not None:
            if rank == 1:
                raise refused("an average over one axis with a divisor of its own")
            options["divisor_override"] = int(node.attrs["divisor"])
    else:
        options |= {"ceil_mode": bool(node.attrs.get("ceil")), "dilation": dilation}
    return Plain(partial(_pooled, rank=rank, edges=edges, average=average, options=options))
