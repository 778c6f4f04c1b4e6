"""What Linux states about the processor: its name, and the instructions that decide how fast it multiplies matrices."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

CPUINFO: Final = Path("/proc/cpuinfo")

Ability = Literal["avx2", "avx512", "vnni", "bf16"]

# The flags, as Linux names them, of which one is enough. x86: avx512_bf16, amx_bf16; ARM: bf16.
FLAGS: Final[Mapping[Ability, frozenset[str]]] = {
    "avx2": frozenset({"avx2"}),
    "avx512": frozenset({"avx512f"}),
    "vnni": frozenset({"avx_vnni", "avx512_vnni"}),  # sums of products of 8-bit numbers, without an overflow at 16 bits
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
}


def abilities(flags: Iterable[str]) -> frozenset[Ability]:
    """What a processor with these flags has instructions for."""
    found = frozenset(flags)
    return frozenset(ability for ability, names in FLAGS.items() if names & found)


def flags(core: Mapping[str, str]) -> list[str]:
    """The flags that Linux states of a core, as `first_core` returns it: ``flags`` on x86, ``Features`` on ARM."""
    return (core.get("flags") or core.get("Features") or "").split()


def first_core(cpuinfo: str) -> dict[str, str]:
    """What the text of /proc/cpuinfo states about the first core, by name; empty for an empty text."""
    pairs = (line.partition(":") for line in cpuinfo.strip().split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def read() -> dict[str, str]:
    """`first_core` of this machine; empty on systems other than Linux."""
    try:
        return first_core(CPUINFO.read_text(encoding="utf-8"))
    except OSError:
        return {}


def present() -> frozenset[Ability]:
    """What the processor of this machine has instructions for; empty where the system does not state it."""
    return abilities(flags(read()))
