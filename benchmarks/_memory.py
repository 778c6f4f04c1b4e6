"""The memory that a process took at its peak."""

import re
from pathlib import Path


def peak_megabytes(process: int | str = "self") -> float:
    """Peak resident memory of this process, or of the one with another number, in megabytes (Linux).

    Not ru_maxrss, which a process inherits from the one that started it.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) / 1024
