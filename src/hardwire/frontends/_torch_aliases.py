"""Tensors that share memory in an exported graph: what an operator that writes in place makes out of date.

Programs that `torch.export` has not made functional hold operators like `add_` and `fill_`. Their result stands for the
tensor that they write. Views of the same memory would change with it; to read one afterwards is an error here.
"""

from __future__ import annotations

from hardwire.errors import UnsupportedError

_HARMLESS = ("dropout_", "alpha_dropout_", "feature_dropout_", "feature_alpha_dropout_", "detach_", "requires_grad_")
"""Written like operators in place, but they change nothing at inference."""

_RESHAPES = ("transpose_", "t_", "squeeze_", "unsqueeze_", "swapaxes_", "swapdims_")
"""They change the shape of one name; the elements stay."""

_VIEWS: frozenset[str] = frozenset(
    {
        *(
            "view",
            "reshape",
            "_unsafe_view",
            "_reshape_alias",
            "flatten",
            "unflatten",
            "slice",
            "select",
            "narrow",
            "split",
        ),
        *(
            "split_with_sizes",
            "chunk",
            "tensor_split",
            "hsplit",
            "vsplit",
            "dsplit",
            "unbind",
            "transpose",
            "permute",
            "t",
        ),
        *(
            "mT",
            "numpy_T",
            "swapaxes",
            "swapdims",
            "movedim",
            "moveaxis",
            "unsqueeze",
            "squeeze",
            "expand",
            "expand_as",
        ),
        *("broadcast_to", "view_as", "reshape_as", "alias", "detach", "diagonal", "unfold", "as_strided", "contiguous"),
        *("to", "type_as", "atleast_1d", "atleast_2d", "atleast_3d", "positive", "adjoint", "ravel"),
        *_HARMLESS,
        *_RESHAPES,
    }
)
"""Operators whose results may share the memory of their first operand."""


class AliasError(UnsupportedError):
    """A tensor is read that another operator has changed in place through a view."""


def writes(kind: str) -> bool:
    """Whether an operator (`aten.add_.Tensor`) changes the elements of its first operand."""
    base = kind.removeprefix("aten.").partition(".")[0]
    if base.startswith("__i") and base.endswith("__"):
        return base != "__invert__"
    return base.endswith("_") and not base.endswith("__") and base not in (*_HARMLESS, *_RESHAPES)


def renames(kind: str) -> bool:
    """Whether the name of an operator's first operand stands for its result from then on."""
    return writes(kind) or kind.removeprefix("aten.").partition(".")[0] in _RESHAPES


def functional(kind: str) -> list[str]:
    """Names that the same operator may have that does not write in place."""
    base, _, overload = kind.removeprefix("aten.").partition(".")
    plain = f"__{base[3:-2]}__" if base.startswith("__i") else base.rstrip("_")
    return [f"aten.{plain}.{form}" for form in ("Tensor_Scalar", overload, "default", "Tensor", "int")]


class Aliases:
    """Which tensors of a graph share memory, and which of them are out of date."""

    def __init__(self) -> None:
        self._memory: dict[str, int] = {}
        self._stale: dict[str, str] = {}

    def check(self, name: str, kind: str, tensors: list[str]) -> None:
        """Raise `AliasError` naming the layer where it reads a tensor that is out of date."""
        for tensor in tensors:
            if tensor in self._stale:
                raise AliasError(
                    f"layer {name!r} ({kind}): it reads {tensor!r}, whose memory {self._stale[tensor]!r} has changed "
                    "in place through a view",
                    hint="compute it out of place, or save program.run_decompositions({}), which does so",
                )

    def note(self, name: str, kind: str, inputs: list[str], outputs: list[str]) -> None:
        """Follow an operator: its results are views of its first operand, write it, or are new."""
        if not inputs:
            return
        written = writes(kind)
        base = kind.removeprefix("aten.").partition(".")[0]
        if not written and base not in _VIEWS:
            return
        memory = self._memory.setdefault(inputs[0], len(self._memory))
        if written:
            others = [tensor for tensor, own in self._memory.items() if own == memory and tensor != inputs[0]]
            self._stale.update((tensor, name) for tensor in others)
        self._memory.update((output, memory) for output in outputs)
