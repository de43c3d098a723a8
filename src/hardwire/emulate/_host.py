"""What the machine that runs the emulator can do: target triple, CPU features and the lanes of one vector."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm


@dataclass(frozen=True)
class Host:
    """A code generation target.

    `lanes`: events that one vector holds; a 16-bit vector of them fills a register. `dot8`: the target multiplies
    unsigned by signed bytes and adds groups of four into 32 bits (AVX512-VNNI). `dot16`: it multiplies signed 16-bit
    pairs and adds two of them into 32 bits: `"vnni"`, `"bw"` (AVX-512), `"avx2"` or `""` for none.
    """

    triple: str
    cpu: str
    features: str
    lanes: int
    dot8: bool
    dot16: str

    @property
    def key(self) -> str:
        """Everything that the generated code depends on."""
        return "|".join(map(str, (self.triple, self.cpu, self.features, self.lanes, self.dot8, self.dot16)))


@cache
def this_host() -> Host:
    """Return this machine, with every vector extension that it has."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    found = llvm.get_host_cpu_features()
    wide = platform.machine() in ("x86_64", "AMD64") and found.get("avx512bw", False)
    dot16 = ""
    if wide:
        dot16 = "vnni" if found.get("avx512vnni", False) else "bw"
    elif found.get("avx2", False):
        dot16 = "avx2"
    return Host(
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        found.flatten(),
        32 if wide else 16,
        dot16 == "vnni",
        dot16,
    )


def portable(host: Host) -> Host:
    """The same machine without dot products, which leaves only what every vector machine has."""
    return Host(host.triple, host.cpu, host.features, host.lanes, False, "")
