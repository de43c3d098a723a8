"""A float model as one of quantised layers: `hardwire.train.quantize`.

Modules are replaced one by one, with their weights; the model's own forward stays. Batch normalisation goes into the
dense layer or convolution that it alone reads.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from hardwire import nn as hw
from hardwire.errors import ModelError, UnsupportedError
from hardwire.nn._sums import Sums
from hardwire.nn.activations import near_power
from hardwire.nn.quantisers import LearnedRange, LearnedWeight, Quantiser
from hardwire.nn.recurrent import Cell
from hardwire.nn.scheme import Scheme

_EXACT = (
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.MaxPool1d, nn.MaxPool2d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d),
    *(nn.ConstantPad2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.Upsample),
)
"""Modules of PyTorch that stay as they are."""

_ROWS = 1024
_SPARE = 4.0
"""Bits more than asked for while ranges are looked at."""


class _Refused(Exception):
    """Why a module cannot be quantised."""


@dataclass
class _Plan:
    """What is known of a model before it changes."""

    scheme: Scheme
    norms: dict[str, str] = field(default_factory=dict)
    """Batch normalisation by the layer that it is folded into."""
    asked: dict[str, bool] = field(default_factory=dict)
    """Attention modules by whether they are known to read one tensor alone."""
    refused: list[str] = field(default_factory=list)


def quantize(model: nn.Module, scheme: Scheme | None = None, *, bits: float = 8.0, x: Any = None) -> nn.Module:
    """Return a copy of a float model whose layers are those of `hardwire.nn`, near to it from the start.

    `scheme` says how to quantise (learnt bits by default). Weights start at `bits` bits of the largest of their row.
    `x`, an array or tensor (batch first) or a tuple of them, shows the ranges of all inputs, which start at `bits`
    bits then; without it they follow from the first training batches. The model's mode, training or not, is kept.

    Raises `UnsupportedError` that lists every module and function that has no quantised counterpart.
    """
    result = copy.deepcopy(model)
    plan = _plan(result, scheme or Scheme.learned(bits))
    changed: dict[int, nn.Module] = {}
    named = dict(_outermost("", result))
    for name, module in named.items():
        if _atomic(module):
            if id(module) not in changed:
                changed[id(module)] = _converted(name, module, named, plan)
        elif own := [key for key, value in module._parameters.items() if value is not None]:
            kind = type(module).__name__
            plan.refused.append(f"{name or 'the model'} ({kind}: parameters of its own, {', '.join(own)})")
    if plan.refused:
        raise UnsupportedError(
            f"model {type(model).__name__}: no quantised counterpart of {'; '.join(dict.fromkeys(plan.refused))}",
            hint="replace them with modules of hardwire.nn, or give them a layer of your own (docs: training layers)",
        )
    for norm in plan.norms:
        changed[id(named[norm])] = nn.Identity()
    if id(result) in changed:
        result = changed[id(result)]
    else:
        for module in list(result.modules()):
            for key, child in list(module._modules.items()):
                if child is not None and id(child) in changed:
                    module._modules[key] = changed[id(child)]
    _start_weights(result, bits)
    if x is not None:
        _start_ranges(result, bits, x)
    return result.train(model.training)


def _outermost(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules by name, without what is inside those that change as a whole."""
    yield name, module
    if not _atomic(module):
        for key, child in module.named_children():
            yield from _outermost(f"{name}.{key}" if name else key, child)


def _atomic(module: nn.Module) -> bool:
    return type(module) in _RULES or isinstance(module, hw.Layer | Quantiser) or not list(module.children())


def _converted(name: str, module: nn.Module, named: dict[str, nn.Module], plan: _Plan) -> nn.Module:
    kind = type(module)
    if kind in _EXACT or isinstance(module, hw.Layer | Quantiser | hw.LeakyReLU):
        return module
    if kind in _RULES:
        try:
            return _RULES[kind](_Context(name, plan, named), module)
        except _Refused as why:
            plan.refused.append(f"{name or 'the model'} ({kind.__name__}: {why})")
            return module
    known = kind.__module__.startswith("torch.nn.")
    if known or any(True for _ in module.parameters()):
        plan.refused.append(f"{name or 'the model'} ({kind.__name__})")
    return module


@dataclass
class _Context:
    """What a rule may know."""

    name: str
    plan: _Plan
    named: dict[str, nn.Module]

    @property
    def scheme(self) -> Scheme:
        return self.plan.scheme

    def norm(self, bias: Tensor | None) -> hw.Norm | bool:
        """The batch normalisation behind the layer, for one whose own bias goes into it."""
        behind = next((norm for norm, layer in self.plan.norms.items() if layer == self.name), None)
        return False if behind is None else _norm(self.named[behind], bias)


# Rules.


def _norm(module: nn.Module, bias: Tensor | None = None) -> hw.Norm:
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    if module.running_mean is None or module.running_var is None:
        raise _Refused("without running statistics")
    norm = hw.Norm(module.num_features, module.eps, 0.1 if module.momentum is None else module.momentum)
    with torch.no_grad():
        if module.weight is not None:
            norm.gamma.copy_(module.weight)
            norm.beta.copy_(module.bias)
        norm.mean.copy_(module.running_mean if bias is None else module.running_mean - bias)
        norm.variance.copy_(module.running_var)
        if module.num_batches_tracked is not None:
            norm.batches.copy_(module.num_batches_tracked)
    return norm


def _batch_norm(context: _Context, module: Any) -> nn.Module:
    if context.name in context.plan.norms:
        return nn.Identity()
    made = hw.BatchNorm(module.num_features, scheme=context.scheme)
    made.norm = _norm(module)
    return made


def _take(made: Sums, module: Any) -> Sums:
    with torch.no_grad():
        made.weight.copy_(module.weight)
        if made.bias is not None:
            made.bias.copy_(module.bias)
    return made


def _linear(context: _Context, module: Any) -> nn.Module:
    biased, norm = module.bias is not None, context.norm(module.bias)
    return _take(hw.Dense(module.in_features, module.out_features, biased, norm=norm, scheme=context.scheme), module)


def _conv(context: _Context, module: Any) -> nn.Module:
    if module.padding_mode != "zeros":
        raise _Refused(f"padding_mode={module.padding_mode!r}")
    make = hw.Conv1d if isinstance(module, nn.Conv1d) else hw.Conv2d
    made = make(
        module.in_channels,
        module.out_channels,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
        module.bias is not None,
        norm=context.norm(module.bias),
        scheme=context.scheme,
    )
    return _take(made, module)


def _function(function: str, **fields: str) -> Callable[[_Context, Any], nn.Module]:
    """Rule of a table; `fields` are the function's arguments by the module's attributes."""

    def rule(context: _Context, module: Any) -> nn.Module:
        arguments = {key: float(getattr(module, attribute)) for key, attribute in fields.items()}
        return hw.Activation(function, (1,), output=True, scheme=context.scheme, **arguments)

    return rule


def _gelu(context: _Context, module: Any) -> nn.Module:
    return hw.GELU(approximate=module.approximate, scheme=context.scheme)


def _softmax(context: _Context, module: Any) -> nn.Module:
    if module.dim is None:
        raise _Refused("without dim")
    return hw.Softmax(module.dim, scheme=context.scheme)


def _leaky(context: _Context, module: Any) -> nn.Module:
    if module.negative_slope <= 0:
        raise _Refused(f"negative_slope={module.negative_slope}")
    return hw.LeakyReLU(near_power(module.negative_slope))


def _average(context: _Context, module: Any) -> nn.Module:
    if isinstance(module, nn.AvgPool1d):
        fields = (module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad)
        return hw.AvgPool1d(*fields)
    fields = (module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad)
    return hw.AvgPool2d(*fields, module.divisor_override)


def _global_average(context: _Context, module: Any) -> nn.Module:
    if module.output_size not in (1, (1,), (1, 1)):
        raise _Refused(f"output_size={module.output_size}, expected 1")
    return hw.Mean((-1,) if isinstance(module, nn.AdaptiveAvgPool1d) else (-2, -1), keep=True)


def _embedding(context: _Context, module: Any) -> nn.Module:
    if module.max_norm is not None:
        raise _Refused(f"max_norm={module.max_norm}")
    made = hw.Embedding(module.num_embeddings, module.embedding_dim, scheme=context.scheme)
    with torch.no_grad():
        made.weight.copy_(module.weight)
    return made


def _attention(context: _Context, module: Any) -> nn.Module:
    if module.bias_k is not None or module.add_zero_attn:
        raise _Refused("with add_bias_kv or add_zero_attn")
    biased = module.in_proj_bias is not None
    # Where nothing is known of the call, keys may be other tensors than queries.
    cross = not context.plan.asked.get(context.name, False)
    made = hw.MultiheadAttention(
        module.embed_dim,
        module.num_heads,
        biased,
        module.kdim,
        module.vdim,
        module.batch_first,
        cross=cross,
        scheme=context.scheme,
    )
    if module._qkv_same_embed_dim:
        weights = module.in_proj_weight.chunk(3)
    else:
        weights = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
    pairs: list[tuple[Any, Tensor, Tensor | None]] = []
    if made.cross:
        biases = module.in_proj_bias.chunk(3) if biased else (None, None, None)
        pairs += zip((made.query, made.key, made.value), weights, biases, strict=True)
    else:
        pairs.append((made.in_proj, module.in_proj_weight, module.in_proj_bias))
    pairs.append((made.out_proj, module.out_proj.weight, module.out_proj.bias))
    with torch.no_grad():
        for layer, weight, bias in pairs:
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(bias)
    return made


def _recurrent(context: _Context, module: Any) -> nn.Module:
    if getattr(module, "proj_size", 0):
        raise _Refused(f"proj_size={module.proj_size}")
    make: Any = {nn.LSTM: hw.LSTM, nn.GRU: hw.GRU, nn.RNN: hw.SimpleRNN}[type(module)]
    options = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    fields = (module.input_size, module.hidden_size, module.num_layers, module.bias)
    made: nn.Module = make(*fields, module.batch_first, module.bidirectional, scheme=context.scheme, **options)
    u, sides = module.hidden_size, 1 + module.bidirectional
    for number, cell in enumerate(made.cells):
        suffix = f"l{number // sides}{'_reverse' if number % sides else ''}"
        own, back = getattr(module, f"weight_ih_{suffix}"), getattr(module, f"weight_hh_{suffix}")
        order = torch.arange(len(own))
        if isinstance(module, nn.GRU):
            # PyTorch has the reset gate before the update gate.
            order = torch.cat([order[u : 2 * u], order[:u], order[2 * u :]])
        with torch.no_grad():
            cell.weight.copy_(torch.cat([own, back], 1)[order])
            if module.bias:
                first, second = getattr(module, f"bias_ih_{suffix}"), getattr(module, f"bias_hh_{suffix}")
                joint = first + second
                if isinstance(module, nn.GRU):
                    joint[2 * u :] = first[2 * u :]
                    cell.recurrent_bias.copy_(second[2 * u :])
                cell.bias.copy_(joint[order])
    return made


_RULES: dict[type[nn.Module], Callable[[_Context, Any], nn.Module]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.Tanh: _function("tanh"),
    nn.Sigmoid: _function("sigmoid"),
    nn.LogSigmoid: _function("log_sigmoid"),
    nn.SiLU: _function("silu"),
    nn.Mish: _function("mish"),
    nn.SELU: _function("selu"),
    nn.ELU: _function("elu", alpha="alpha"),
    nn.CELU: _function("celu", alpha="alpha"),
    nn.Softplus: _function("softplus", beta="beta"),
    nn.Softsign: _function("softsign"),
    nn.Tanhshrink: _function("tanh_shrink"),
    nn.Hardswish: _function("hard_swish"),
    nn.Hardsigmoid: lambda context, module: hw.HardSigmoid(scheme=context.scheme),
    nn.GELU: _gelu,
    nn.Softmax: _softmax,
    nn.LeakyReLU: _leaky,
    nn.AvgPool1d: _average,
    nn.AvgPool2d: _average,
    nn.AdaptiveAvgPool1d: _global_average,
    nn.AdaptiveAvgPool2d: _global_average,
    nn.Embedding: _embedding,
    nn.MultiheadAttention: _attention,
    nn.LSTM: _recurrent,
    nn.GRU: _recurrent,
    nn.RNN: _recurrent,
}
"""How each module of PyTorch is converted."""


# What the model's forward does.

_INEXACT: dict[Any, str] = {
    **{getattr(torch, name): name for name in ("tanh", "sigmoid", "exp", "log", "sqrt", "softmax", "log_softmax")},
    **{
        getattr(functional, name): name
        for name in (
            *("tanh", "sigmoid", "gelu", "silu", "mish", "elu", "selu", "softplus", "softmax", "log_softmax"),
            *("hardswish", "hardsigmoid", "leaky_relu", "layer_norm", "batch_norm", "linear", "conv1d", "conv2d"),
            "scaled_dot_product_attention",
        )
    },
    operator.truediv: "division",
}
_METHODS = ("tanh", "sigmoid", "exp", "log", "sqrt", "softmax", "log_softmax")


class _Tracer(fx.Tracer):
    """Goes through the model's own modules, into none of PyTorch's or hardwire's."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _atomic(m) or super().is_leaf_module(m, module_qualified_name)


def _plan(model: nn.Module, scheme: Scheme) -> _Plan:
    plan = _Plan(scheme)
    try:
        graph = _Tracer().trace(model)
    except Exception:  # a forward that depends on values: what can be said without it
        for norm, layer in _neighbours(model):
            plan.norms[norm] = layer
        return plan
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    calls: dict[str, int] = {}
    for node in nodes:
        calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    named = dict(model.named_modules())
    for node in graph.nodes:
        if node.op == "call_function" and node.target in _INEXACT:
            divisor = node.args[1] if node.target is operator.truediv else None
            if divisor is None or isinstance(divisor, fx.Node):
                plan.refused.append(f"the function {_INEXACT[node.target]} in forward (as {node.name})")
        elif node.op == "call_method" and node.target in _METHODS:
            plan.refused.append(f"the function {node.target} in forward (as {node.name})")
        elif node.op == "call_module":
            module, before = named.get(str(node.target)), node.args[0] if node.args else None
            if isinstance(module, nn.MultiheadAttention):
                parts = [*node.args, *(node.kwargs.get(key) for key in ("query", "key", "value"))]
                parts = [part for part in parts if part is not None][:3]
                plan.asked[str(node.target)] = all(part is parts[0] for part in parts)
            if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
                continue
            once = calls[str(before.target)] == calls[str(node.target)] == 1
            if once and _fits(named.get(str(before.target)), module):
                plan.norms[str(node.target)] = str(before.target)
    return plan


def _neighbours(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Batch normalisations right behind a layer in a `Sequential`, and that layer."""
    for name, module in model.named_modules():
        if type(module) is nn.Sequential:
            children = list(module.named_children())
            for (first, layer), (second, norm) in zip(children, children[1:], strict=False):
                if _fits(layer, norm):
                    prefix = f"{name}." if name else ""
                    yield f"{prefix}{second}", f"{prefix}{first}"


def _fits(layer: nn.Module | None, norm: nn.Module | None) -> bool:
    if type(norm) is nn.BatchNorm1d:
        return type(layer) in (nn.Linear, nn.Conv1d)
    return type(norm) is nn.BatchNorm2d and type(layer) is nn.Conv2d


# Where bits start.


def _start_weights(model: nn.Module, bits: float) -> None:
    for module in model.modules():
        if isinstance(module, Sums):
            folded = module.bias if module.norm is None else module.norm.shift()
            pairs = [(module._folded(), module.weight_quantiser, 0.0), (folded, module.bias_quantiser, 2.0)]
        elif isinstance(module, hw.BatchNorm):
            pairs = [(module.norm.factor(), module.weight_quantiser, 0.0)]
            pairs.append((module.norm.shift(), module.bias_quantiser, 2.0))
        elif isinstance(module, Cell):
            pairs = [(module.weight, module.weight_quantiser, 0.0), (module.bias, module.bias_quantiser, 2.0)]
            if isinstance(module, hw.recurrent.GruCell):
                pairs.append((module.recurrent_bias, module.recurrent_quantiser, 2.0))
        elif isinstance(module, hw.Embedding):
            pairs = [(module.weight, module.weight_quantiser, 0.0)]
        else:
            continue
        for weight, quantiser, more in pairs:
            if weight is not None and isinstance(quantiser, LearnedWeight):
                _start_weight(weight.detach(), quantiser, bits + more)


def _start_weight(weight: Tensor, quantiser: LearnedWeight, bits: float) -> None:
    """Fractional bits at which the largest of each row (a vector is one row) has `bits` bits and a sign."""
    axes = tuple(range(1, weight.ndim)) if weight.ndim > 1 else (0,)
    size = weight.abs().amax(axes, keepdim=True).clamp(min=2.0**-12)
    fraction = (bits - 1.0 - torch.ceil(torch.log2(size))).clamp(-12.0, 18.0)
    with torch.no_grad():
        shape = quantiser.f.shape
        shared = [k for k, n in enumerate(shape) if n == 1 and fraction.shape[k] != 1]
        quantiser.f.copy_((fraction.amax(shared, keepdim=True) if shared else fraction).expand(shape))


def _start_ranges(model: nn.Module, bits: float, x: Any) -> None:
    """Show the ranges of all inputs to their quantisers, with more bits than they will have, then with those."""
    parts = [torch.as_tensor(part) for part in (x if isinstance(x, tuple) else (x,))]
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    parts = [part.to(kind) if part.is_floating_point() else part for part in parts]
    ranges = [module for module in model.modules() if isinstance(module, LearnedRange)]
    handles = [
        module.register_forward_hook(_two_axes)
        for module in model.modules()
        if isinstance(module, hw.Dense) and module.norm is not None
    ]
    try:
        for extra in (_SPARE, 0.0):
            with torch.no_grad():
                for quantiser in ranges:
                    quantiser.f.copy_(_fraction(quantiser, bits + extra))
            _watch(model, parts)
    finally:
        for handle in handles:
            handle.remove()


def _two_axes(module: nn.Module, inputs: Any, output: Tensor) -> None:
    if output.ndim != 2:
        raise ModelError(
            f"a batch normalisation behind a dense layer of outputs {tuple(output.shape)} normalises another axis "
            "than the features",
            hint="move the features to axis 1, or use hardwire.nn.Dense(norm=True)",
        )


def _watch(model: nn.Module, parts: list[Tensor]) -> None:
    """Run the model as in evaluation, its quantisers alone following what they see."""
    model.eval()
    quantisers = [module for module in model.modules() if isinstance(module, Quantiser)]
    for quantiser in quantisers:
        quantiser.training = True
    with torch.no_grad():
        for at in range(0, len(parts[0]), _ROWS):
            model(*(part[at : at + _ROWS] for part in parts))


def _fraction(quantiser: LearnedRange, bits: float) -> Tensor:
    """Fractional bits that leave `bits` in all for the range that was seen."""
    size = torch.maximum(quantiser.high, -quantiser.low)
    whole = torch.where(size > 0, torch.ceil(torch.log2(size.clamp(min=2.0**-10) * (1 + 2.0**-12))), 0.0)
    return (bits - whole - (quantiser.low < 0).to(size.dtype)).clamp(-12.0, 18.0)
