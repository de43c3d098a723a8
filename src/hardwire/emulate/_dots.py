"""Dot products of packed operands: the instruction of each kind of host, and the loop over tables of weights."""

from __future__ import annotations

from collections.abc import Callable

from hardwire.emulate._globals import Globals
from hardwire.emulate._host import Host
from hardwire.emulate._plan import TILE

_PIECES = 2
"""Two registers of 32-bit lanes make a vector of events, whatever the register's width."""


def dot_product(
    host: Host, bits: int, shared: Globals, new: Callable[[str], str], total: str, x: str, weights: str
) -> str:
    """`total` plus, lane by lane, the products of the packed `bits`-bit values of `x` and `weights`.

    All three are names of registers of 32-bit lanes, or constants; `new` writes an instruction and names its result.
    """
    part = host.lanes // _PIECES
    kind = f"<{part} x i32>"
    if bits == 8 or host.dot16 == "vnni":
        name = f"@llvm.x86.avx512.{'vpdpbusd' if bits == 8 else 'vpdpwssd'}.{32 * part}"
        shared.declare(f"declare {kind} {name}({kind}, {kind}, {kind})")
        return new(f"call {kind} {name}({kind} {total}, {kind} {x}, {kind} {weights})")
    name = "@llvm.x86.avx512.pmaddw.d.512" if host.dot16 == "bw" else "@llvm.x86.avx2.pmadd.wd"
    pairs = f"<{2 * part} x i16>"
    shared.declare(f"declare {kind} {name}({pairs}, {pairs})")
    x = new(f"bitcast {kind} {x} to {pairs}")
    weights = new(f"bitcast {kind} {weights} to {pairs}")
    product = new(f"call {kind} {name}({pairs} {x}, {pairs} {weights})")
    return new(f"add {kind} {total}, {product}")


def products(host: Host, bits: int, shared: Globals) -> str:
    """Name of the loop over a block's tiles, `void (slots, sums, starts, ends, packs, words, i64 tiles)`.

    Tile by tile, `TILE` sums begin with their starts (i32) and go over the packs up to the tile's end (i64): each is
    found by its place (i32, bytes) in the slots and meets `TILE` words (i32), one for every sum.
    """
    name = f"@products{bits}"
    if name in shared.functions:
        return name
    part = host.lanes // _PIECES
    kind, bytes_ = f"<{part} x i32>", 4 * part
    lines: list[str] = []
    count = 0

    def new(text: str) -> str:
        nonlocal count
        count += 1
        lines.append(f"%v{count} = {text}")
        return f"%v{count}"

    def splat(base: str, place: int) -> str:
        value = new(f"load i32, ptr {new(f'getelementptr i32, ptr {base}, i64 {place}')}, align 4")
        first = new(f"insertelement {kind} poison, i32 {value}, i32 0")
        return new(f"shufflevector {kind} {first}, {kind} poison, <{part} x i32> zeroinitializer")

    def taken() -> str:
        text = "\n  ".join(lines)
        lines.clear()
        return text

    begun = [splat("%start", j) for j in range(TILE)]
    head = taken()
    pieces = [new(f"getelementptr i8, ptr %x, i64 {k * bytes_}") for k in range(_PIECES)]
    whole = [new(f"load {kind}, ptr {piece}, align {bytes_}") for piece in pieces]
    sums = []
    for j in range(TILE):
        word = splat("%w", j)
        sums += [dot_product(host, bits, shared, new, f"%a{j}.{k}", whole[k], word) for k in range(_PIECES)]
    body = taken()
    for j, total in enumerate(sums):
        place = new(f"getelementptr i8, ptr %sum, i64 {j * bytes_}")
        lines.append(f"store {kind} {total}, ptr {place}, align {bytes_}")
    tail = taken()
    loops = "".join(
        f"  %a{j}.{k} = phi {kind} [{begun[j]}, %tile], [{sums[_PIECES * j + k]}, %loop]\n"
        for j in range(TILE)
        for k in range(_PIECES)
    )
    arguments = ", ".join(f"ptr noalias %{a}" for a in ("slots", "sums", "starts", "ends", "packs", "words"))
    shared.functions[name] = f"""define internal void {name}({arguments}, i64 %tiles) #0 {{
entry:
  br label %tile
tile:
  %t = phi i64 [0, %entry], [%t1, %done]
  %n0 = phi i64 [0, %entry], [%n1, %done]
  %end.p = getelementptr i64, ptr %ends, i64 %t
  %end = load i64, ptr %end.p, align 8
  %at = mul i64 %t, {TILE}
  %start = getelementptr i32, ptr %starts, i64 %at
  {head}
  br label %loop
loop:
  %n = phi i64 [%n0, %tile], [%n1, %loop]
{loops}  %place.p = getelementptr i32, ptr %packs, i64 %n
  %place.i = load i32, ptr %place.p, align 4
  %place = zext i32 %place.i to i64
  %x = getelementptr i8, ptr %slots, i64 %place
  %row = mul i64 %n, {TILE}
  %w = getelementptr i32, ptr %words, i64 %row
  {body}
  %n1 = add i64 %n, 1
  %more = icmp slt i64 %n1, %end
  br i1 %more, label %loop, label %done
done:
  %to = mul i64 %t, {TILE * _PIECES * bytes_}
  %sum = getelementptr i8, ptr %sums, i64 %to
  {tail}
  %t1 = add i64 %t, 1
  %again = icmp slt i64 %t1, %tiles
  br i1 %again, label %tile, label %out
out:
  ret void
}}
"""
    return name
