"""Whether a workbook can be read in little memory, tried in a process of its own.

The library that reads workbooks holds every cell between the first and the last one of a sheet. A workbook of a
kilobyte can place one cell at XFD1048576, or repeat a cell ten million times, and would then take all memory of the
service.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from movie_ratings.core.errors import UserError

SUFFIXES: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
MEMORY: Final = 384 << 20  # bytes of address space, of which Python and the library take a fifth
SECONDS: Final = 20
# Where the system has no such limit (Windows, macOS), the time alone bounds the trial.
TRIAL: Final = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import python_calamine
workbook = python_calamine.CalamineWorkbook.from_path(sys.argv[1])
for name in workbook.sheet_names:
    workbook.get_sheet_by_name(name)
"""


def require_small(path: Path) -> None:
    """Check that reading the file ``path`` takes little memory and time; a file that is no workbook is always small.

    Raises:
        UserError: the workbook takes too much of either, or cannot be read at all. The message has the file's name.
    """
    if path.suffix.lower() not in SUFFIXES:
        return
    command = [sys.executable, "-I", "-c", TRIAL, str(path), str(MEMORY)]
    try:
        fits = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        ).returncode == 0  # fmt: skip
    except subprocess.TimeoutExpired:
        fits = False
    if not fits:
        raise UserError(
            f"{path.name}: no workbook that can be read: damaged, with a password, or with cells too far apart; "
            "save the sheet as CSV"
        )
