"""Attention with quantised queries, keys, values, scores, weights and context."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import torch
from torch import Tensor

from hardwire.errors import ModelError
from hardwire.nn import exact
from hardwire.nn._layer import Layer, bits_of, cast, quantised
from hardwire.nn.dense import Dense
from hardwire.nn.quantisers._base import Quantiser
from hardwire.nn.scheme import LEARNED, Scheme
from hardwire.nn.softmax import Softmax
from hardwire.nn.work import Multiplications, Work


class MultiheadAttention(Layer):
    """Attention of `num_heads` heads, (batch, positions, embed_dim); the arguments are those of `torch.nn`'s.

    A query is asked against itself (`forward(x, x, x)`, one product for query, key and value), or with `cross`, or a
    `kdim` or `vdim` of its own, against others. Projections, softmax and the output projection are layers of their
    own (`in_proj`, or `query`, `key` and `value`; `softmax`; `out_proj`), which quantise what they read. Raises
    `ModelError` for a width that does not part into heads, or a scheme without input quantisers.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = True,
        *,
        cross: bool = False,
        scheme: Scheme = LEARNED,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ModelError(f"MultiheadAttention: embed_dim={embed_dim} does not part into num_heads={num_heads}")
        if scheme.input is None:
            raise ModelError("MultiheadAttention: its products need quantised operands, and the scheme has input=None")
        self.embed_dim, self.num_heads, self.batch_first = embed_dim, num_heads, batch_first
        self.cross = cross or (kdim or embed_dim, vdim or embed_dim) != (embed_dim, embed_dim)
        if self.cross:
            self.query = Dense(embed_dim, embed_dim, bias, scheme=scheme)
            self.key = Dense(kdim or embed_dim, embed_dim, bias, scheme=scheme)
            self.value = Dense(vdim or embed_dim, embed_dim, bias, scheme=scheme)
        else:
            self.in_proj = Dense(embed_dim, 3 * embed_dim, bias, scheme=scheme)
        self.query_quantiser = scheme.input((embed_dim,))
        self.key_quantiser = scheme.input((embed_dim,))
        self.value_quantiser = scheme.input((embed_dim,))
        self.softmax = Softmax(-1, 1.0 / sqrt(embed_dim // num_heads), scheme=scheme)
        self.out_proj = Dense(embed_dim, embed_dim, bias, scheme=scheme)
        self.queries, self.keys = 1, 1
        """Positions, in the last forward pass."""

    def constants(self) -> dict[str, Tensor]:
        """None of its own."""
        return {}

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """Return the result, shaped like the query, and None: weights are not given out.

        `key_padding_mask` (batch, keys) and `attn_mask` (queries, keys) are true where a key is left out; `is_causal`
        leaves out later ones.
        """
        query, key, value = self._projected(query, key, value)
        q, k, v = (
            quantised(quantiser, part).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for quantiser, part in (
                (self.query_quantiser, query),
                (self.key_quantiser, key),
                (self.value_quantiser, value),
            )
        )
        width, n = q.shape[-1], k.shape[-2]
        scores = _product(self, width, (self.query_quantiser, q), (self.key_quantiser, k.transpose(-1, -2)))
        mask = _kept(q.shape[-2], n, key_padding_mask, attn_mask, is_causal)
        weights = self.softmax(scores, mask)
        mixed = _product(self, n, (self.softmax.output_quantiser, weights), (self.value_quantiser, v))
        if not torch.compiler.is_exporting():
            self.queries, self.keys = q.shape[-2], n
        y = self.out_proj(mixed.transpose(1, 2).flatten(-2))
        return (y if self.batch_first else y.transpose(0, 1)), None

    def _projected(self, query: Tensor, key: Tensor | None, value: Tensor | None) -> tuple[Tensor, ...]:
        if not self.cross:
            if (key is not None and key is not query) or (value is not None and value is not query):
                raise ModelError(
                    "MultiheadAttention: keys or values that are not the queries",
                    hint="build it with cross=True",
                )
            x = query if self.batch_first else query.transpose(0, 1)
            return self.in_proj(x).split(self.embed_dim, -1)
        key = query if key is None else key
        value = key if value is None else value
        parts = (query, key, value) if self.batch_first else (part.transpose(0, 1) for part in (query, key, value))
        return tuple(layer(part) for layer, part in zip((self.query, self.key, self.value), parts, strict=True))

    def work(self) -> Iterator[Work]:
        """Yield the products of computed tensors and the casts of their operands; the layers inside yield theirs."""
        name, like = type(self).__name__, torch.ones(1)
        q, k, v = (
            bits_of(quantiser, like) for quantiser in (self.query_quantiser, self.key_quantiser, self.value_quantiser)
        )
        pairs = self.queries * self.keys
        yield Multiplications(name, q, k, self.embed_dim, pairs, self.embed_dim - self.num_heads)
        mixed = self.embed_dim * (self.keys - 1) / self.keys
        yield Multiplications(name, self.softmax.output_quantiser.bits(), v, self.embed_dim, pairs, mixed)
        for quantiser, places in (
            (self.query_quantiser, self.queries),
            (self.key_quantiser, self.keys),
            (self.value_quantiser, self.keys),
        ):
            yield from cast(name, quantiser, self.embed_dim, places)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.embed_dim}, {self.num_heads}, cross={self.cross}, batch_first={self.batch_first}"


def _product(layer: Layer, terms: int, left: tuple[Quantiser, Tensor], right: tuple[Quantiser, Tensor]) -> Tensor:
    """`left @ right` of quantised tensors; exact in evaluation."""
    a, b = left[1], right[1]
    if not torch.compiler.is_exporting() and not layer.training:
        kind = exact.products(type(layer).__name__, terms, left[0], right[0])
        a, b = a.to(kind), b.to(kind)
    elif a.dtype is not b.dtype:
        b = b.to(a.dtype)
    return a @ b


def _kept(queries: int, keys: int, padding: Tensor | None, left_out: Tensor | None, is_causal: bool) -> Tensor | None:
    """What the softmax keeps, broadcasting to (batch, heads, queries, keys)."""
    kept = None
    if is_causal and left_out is None:
        kept = torch.ones(queries, keys, dtype=torch.bool).tril()
    if left_out is not None:
        if left_out.is_floating_point():
            left_out = left_out < -1.0
        kept = ~left_out
    if padding is not None:
        present = ~(padding != 0)[:, None, None, :]
        kept = present if kept is None else present & kept
    return kept
