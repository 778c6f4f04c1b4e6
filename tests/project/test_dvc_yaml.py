"""dvc.yaml lists the code that each stage runs and the files that each stage writes."""

import ast
from pathlib import Path
from typing import get_args

from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core import paths
from tests.support.builders import ROOT

SOURCES = get_args(params.Fetch.model_fields["source"].annotation)

# No change to these alters a result: reading and checking parameters, files, errors, locks, processes. Nothing that
# chooses rows may live there.
PLUMBING = ("movie_ratings/core/", "movie_ratings/params.py", "movie_ratings/__init__.py", "stages/__init__.py")

# Behind a method of the classifier that no stage calls: the reader of tables, which it imports, decides no result.
FRAMES = "movie_ratings/prediction/frames.py"


def imports(module: str) -> set[str]:
    """The files of this project that a module brings in, its own included, but for plumbing."""
    found: dict[str, str] = {}
    queue = [module]
    while queue:
        name = queue.pop()
        path = ROOT / name.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not file.is_file():
            continue
        found[name] = str(file.relative_to(ROOT))
        # What these import checks parameters (params.py) or is loaded by other programs (movie_ratings/__init__.py).
        if found[name].startswith((*PLUMBING, FRAMES)):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("stages", "movie_ratings")):
                queue += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return {path for path in found.values() if not path.startswith(PLUMBING) and not only_described(ROOT / path)}


def only_described(file: Path) -> bool:
    """Whether a file holds a docstring and nothing else, as a package's __init__ does."""
    return file.name == "__init__.py" and len(ast.parse(file.read_text()).body) == 1


def covered(dependency: str) -> set[str]:
    """The code that a dependency of dvc.yaml stands for: a file, or all files of a folder."""
    path = ROOT / dependency
    files = path.rglob("*.py") if path.is_dir() else [path] if path.suffix == ".py" else []
    return {str(file.relative_to(ROOT)) for file in files}


def test_each_stage_depends_on_the_code_that_decides_its_result() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    entries = 0
    for name, stage in stages.items():
        needed = imports(f"stages.{name}")
        if name == "fetch":
            needed = needed.union(*(imports(f"movie_ratings.sources.{source}") for source in SOURCES))
        code = {dep for dep in stage["deps"] if dep.startswith(("stages/", "movie_ratings/"))}
        assert all((ROOT / dep).exists() for dep in code), name
        missing = needed - set().union(*(covered(dep) for dep in code))
        assert not missing, f"{name} imports what dvc.yaml does not list"
        assert all(covered(dep) & needed for dep in code), f"{name} lists code that it does not import"
        assert not any(dep.startswith(PLUMBING) for dep in code)
        assert "always_changed" not in stage
        assert stage["cmd"] == f"python -m stages.{name}"
        entries += len(code)
    assert entries <= 45


def test_no_stage_predicts_a_frame() -> None:
    files = {path for folder in ("stages", "movie_ratings") for path in (ROOT / folder).rglob("*.py")}
    named = {str(path.relative_to(ROOT)) for path in files if "predict_frame" in path.read_text()}
    assert named == {FRAMES, "movie_ratings/prediction/classifier.py"}


def test_what_dvc_leaves_out_chooses_no_rows() -> None:
    """The exempt modules know neither the movie record nor its fields, nor any module that does."""
    exempt = imports_within("movie_ratings/core")
    assert not {name for name in exempt if not name.startswith("movie_ratings.core")}


def imports_within(folder: str) -> set[str]:
    """The modules of this project that the files of a folder import."""
    return {
        node.module
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("stages", "movie_ratings"))
        if node.module
    }


def test_every_output_of_the_pipeline_has_its_path_in_one_place() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    written = {
        entry if isinstance(entry, str) else next(iter(entry))
        for stage in stages.values()
        for kind in ("outs", "metrics")
        for entry in stage.get(kind, [])
    }
    named = {value for value in vars(paths).values() if isinstance(value, str)}
    assert written <= named
    kept = {paths.STORE, paths.LOCKS, paths.TRAIN_STATE, paths.SLATES, paths.OUTCOME_PAGE, paths.OUTCOME}
    assert {path for path in named if path.startswith(("data/", "models/", "metrics/"))} - written == kept
