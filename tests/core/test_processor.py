"""Which instructions a processor has, from what Linux states about it."""

import pytest

from movie_ratings.core import processor

X86 = "processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: {name}\nflags\t\t: fpu sse4_2 avx {flags}\nbugs\t\t: none\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd {flags}\nCPU implementer\t: 0x41\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86.format(vendor="AuthenticAMD", name="EPYC of 2021", flags="avx2 fma"), {"avx2"}),
        (X86.format(vendor="GenuineIntel", name="Core of 2021", flags="avx2 avx_vnni"), {"avx2", "vnni"}),
        (
            X86.format(vendor="GenuineIntel", name="Xeon of 2019", flags="avx2 avx512f avx512_vnni"),
            {"avx2", "avx512", "vnni"},
        ),
        (
            X86.format(vendor="AuthenticAMD", name="EPYC of 2022", flags="avx2 avx512f avx512_vnni avx512_bf16"),
            {"avx2", "avx512", "vnni", "bf16"},
        ),
        (
            X86.format(vendor="GenuineIntel", name="Xeon of 2023", flags="avx2 avx512f avx512_vnni amx_bf16 amx_int8"),
            {"avx2", "avx512", "vnni", "bf16"},
        ),
        (X86.format(vendor="GenuineIntel", name="Xeon of 2010", flags=""), set()),
        (ARM.format(flags="asimddp i8mm bf16"), {"bf16"}),
        (ARM.format(flags="asimddp"), set()),
        ("", set()),
    ],
)
def test_the_flags_tell_what_a_processor_can_do(cpuinfo: str, expected: set[str]) -> None:
    assert processor.abilities(processor.flags(processor.first_core(cpuinfo))) == expected


def test_of_several_cores_the_first_is_read() -> None:
    core = X86.format(vendor="AuthenticAMD", name="EPYC: two cores", flags="avx2")
    found = processor.first_core(f"{core}\n{core.replace('two', 'other')}\n")
    assert (found["vendor_id"], found["model name"]) == ("AuthenticAMD", "EPYC: two cores")
    assert processor.first_core("") == {}


def test_this_machine_is_read_where_it_is_linux() -> None:
    assert processor.present() == processor.abilities(processor.flags(processor.read()))
    assert bool(processor.read()) == processor.CPUINFO.is_file()
