"""The emulator: a Program compiled to the machine's vector instructions, bit-exact with the interpreter.

Events lie side by side in vector lanes (structure of arrays), 32 to a vector on AVX-512; each value has the narrowest
lane that its proven range allows, and sums over many operands of few bits become byte dot products.
"""

from __future__ import annotations

from hardwire.emulate.emulator import Emulator, compile_program

__all__ = ["Emulator", "compile_program"]
