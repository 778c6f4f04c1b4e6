"""Execute docs/notebook.ipynb and store the outputs in it: its tables and pictures are those of the committed model.

    python -m benchmarks.notebook

Needs the outputs of the pipeline, and takes about half a minute. A code cell keeps a hash of the code that made its
outputs, so that a test finds outputs of older code. Nothing is stored if a cell fails.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from movie_ratings.core import storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError

NOTEBOOK: Final = Path("docs/notebook.ipynb")
SECONDS: Final = 600  # for a cell
EXECUTED: Final = "executed"  # the key of the hash in a cell's metadata


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(arguments)
    return exit_code(lambda: execute(NOTEBOOK))


def execute(path: Path) -> None:
    """Run the cells of a notebook in a new process, from the notebook's folder, and store their outputs.

    Raises:
        UserError: there is no such notebook, or a cell fails; the message has its number and its error.
    """
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this command in the root of the repository") from None
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # a warning says that root can read the messages between two processes
        timeout=SECONDS,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,  # the same cells give the same file
    )
    try:
        client.execute()
    except CellExecutionError as error:
        place = next(n for n, cell in enumerate(notebook.cells, 1) if is_failed(cell))
        raise UserError(f"{path} cell {place}: {error.ename}: {error.evalue}") from None
    # The version of Python is not that of the reader.
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata[EXECUTED] = code_hash(cell.source)
    with storage.whole(path) as temporary:
        temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    print(f"{path}: {len(notebook.cells)} cells, {path.stat().st_size / 1000:.0f} kB")


def code_hash(source: str) -> str:
    """Twelve hexadecimal digits that stand for the code of a cell."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def is_failed(cell: Any) -> bool:
    """Whether the cell's outputs hold an error."""
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


if __name__ == "__main__":
    sys.exit(main())
