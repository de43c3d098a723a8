"""QKeras' recurrent layers forwards and backwards: `QBidirectional`, and `Bidirectional` around a layer of QKeras."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers.recurrent import MERGES, in_order, merged_sides
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

INNER = ("QSimpleRNN", "QLSTM", "QGRU")


# --- Keras


@imports("keras", "QBidirectional", "qkeras.qrecurrent.QBidirectional")
def _bidirectional(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`QBidirectional` is Keras' own with another name."""
    mode = record.expect("merge_mode", *MERGES)
    record.ignore("input_dim", "input_length")
    return both_ways(record, net, mode, record.take("layer"), record.take("backward_layer", None))


def both_ways(
    record: Record, net: NetworkBuilder, mode: str | None, layer: Any, backward: Any = None
) -> str | list[str]:
    """The layer forwards and its mirror image (or a layer of its own) backwards, put in order and merged.

    `layer` and `backward` are configurations of layers of QKeras. Raises `UnsupportedError` for others.
    """
    if len(record.inputs) != 1:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): an initial state is not supported")
    arrays = _by_side(record)
    sides = [_side(record, net, "forward", layer, arrays["forward"], mirrored=False)]
    own = layer if backward is None else backward
    sides.append(_side(record, net, "backward", own, arrays["backward"], mirrored=backward is None))
    return merged_sides(record, net, mode, sides)


def _by_side(record: Record) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays of each side by their last name: `forward_layer/cell/0` (`.keras`), `forward_qlstm/…/kernel` (HDF5)."""
    sides: dict[str, dict[str, NDArray[Any]]] = {"forward": {}, "backward": {}}
    for key in record.array_keys():
        # HDF5 names a backward layer of the user's own by its own name.
        folders = key.split("/")[:-1]
        side = "forward" if any(folder.startswith("forward") for folder in folders) else "backward"
        sides[side][key.rpartition("/")[2]] = record.array(key)
    return sides


def _side(
    record: Record, net: NetworkBuilder, side: str, spec: Any, arrays: dict[str, NDArray[Any]], *, mirrored: bool
) -> list[str]:
    from hardwire.layers.time_distributed import plain_config

    kind = spec.get("class_name") if isinstance(spec, dict) else None
    if kind not in INNER or not isinstance(spec.get("config"), dict):
        raise record.unsupported("layer", kind, f"only {', '.join(INNER)} are supported")
    config = plain_config(spec["config"])
    config["zero_output_for_mask"] = bool(config.get("return_sequences"))  # as Keras sets it, whatever it says
    if mirrored:
        config["go_backwards"] = not config.get("go_backwards", False)
    outputs = keras.delegated(record, net, kind, record.inputs, config, arrays, name=f"{record.name}_{side}")
    if side == "backward" and config.get("return_sequences"):
        outputs[0] = in_order(record, net, outputs[0])
    return outputs
