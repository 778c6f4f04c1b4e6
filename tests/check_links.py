"""Fails unless every relative link, anchor, path and module that the Markdown pages name exists.

Nothing is looked up on the network: a link with a scheme (https:, mailto:) is left alone.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

PAGES: Final = ("*.md", "docs/*.md", "*/README.md")
FENCED: Final = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"`[^`\n]+`")
LINK: Final = re.compile(r"\[[^][]*\]\(\s*<?([^\s()<>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
# A file or a folder of the repository; * and NAME stand for any name. DVC makes what is in data/ and models/.
FOLDERS: Final = "benchmarks|deploy|docs|inputs|metrics|movie_ratings|serving|spaces|stages|tests"
NAMED: Final = re.compile(rf"`((?:{FOLDERS})/[\w./*-]*)`")
# `stages.NAME` stands for any stage.
MODULE: Final = re.compile(r"\bpython -m ((?:benchmarks|serving|stages|tests)(?:\.[a-z_]\w*)*)(?!\.?\w)")


def main() -> int:
    found = list(faults(Path()))
    for fault in found:
        print(fault, file=sys.stderr)
    return int(bool(found))


def faults(root: Path) -> Iterator[str]:
    """One line for each name on a page under ``root`` that nothing has, with the page."""
    for page in sorted({path for pattern in PAGES for path in root.glob(pattern)}):
        text = page.read_text(encoding="utf-8")
        for target in links(text):
            path, _, anchor = target.partition("#")
            file = page.parent / unquote(path) if path else page
            if not file.exists():
                yield f"{page.relative_to(root)}: links to {target}, which does not exist"
            elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text(encoding="utf-8")):
                yield f"{page.relative_to(root)}: links to {target}, but no heading has this anchor"
        for path in NAMED.findall(FENCED.sub("", text)):
            if not any(root.glob(path.rstrip("/").replace("NAME", "*"))):
                yield f"{page.relative_to(root)}: names {path}, which does not exist"
        for module in MODULE.findall(text):
            file = root.joinpath(*module.split("."))
            if not (file.with_suffix(".py").exists() or (file / "__main__.py").exists()):
                yield f"{page.relative_to(root)}: names the module {module}, which does not exist"


def links(text: str) -> list[str]:
    """The targets of the relative links and images of a page, those in code left out."""
    # A link's text may be code, so what is in backticks is blanked rather than dropped.
    prose = CODE.sub("code", FENCED.sub("", text))
    return [target for target in LINK.findall(prose) if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page: "What is *new*?" is at #what-is-new."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^][]*)\]\([^()]*\)", r"\1", heading).lower())
        anchor = plain.replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


if __name__ == "__main__":
    sys.exit(main())
