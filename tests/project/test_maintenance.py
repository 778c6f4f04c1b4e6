"""What maintainers rely on: pinned requirements, the wheel, workflows, and a guide that names what exists."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS: Final = {
    "": "requirements-serving.txt",
    "train": "requirements.txt",
    "ray": "requirements-ray.txt",
    "s3": "requirements-s3.txt",
    "bf16": "requirements-bf16.txt",
    "gpu": "requirements-gpu.txt",
    "dev": "requirements-dev.txt",
}
MAKEFILE: Final = (ROOT / "Makefile").read_text()
TARGETS: Final = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
# Packages that torch's CUDA build alone needs; nvidia-ml-py is a library of dvclive.
CUDA: Final = re.compile(r"(nvidia-(?!ml-py)|cuda-|triton)")


def lines(name: str) -> list[str]:
    """The lines of a requirements file that name a package, with their comments."""
    return [line for line in (ROOT / name).read_text().splitlines() if line and line[0] not in "#-"]


def parsed(name: str) -> list[Requirement]:
    """The requirements of a file, without those of the files that it includes."""
    return [Requirement(re.sub(r"\s+#.*", "", line)) for line in lines(name)]


def version(requirement: Requirement) -> str:
    """The version that a requirement pins."""
    (only,) = requirement.specifier
    assert only.operator == "=="
    return only.version


def pins() -> dict[str, set[str]]:
    """The versions in constraints.txt by package; more than one where they depend on the version of Python."""
    found: dict[str, set[str]] = {}
    for requirement in parsed("constraints.txt"):
        found.setdefault(requirement.name, set()).add(version(requirement))
    return found


@pytest.mark.parametrize("name", REQUIREMENTS.values())
def test_each_requirement_is_pinned_and_says_why(name: str) -> None:
    for line in lines(name):
        assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+(; \S.*?)? +# \w.*", line), line


def test_every_file_of_requirements_is_an_extra_or_the_wheels_own() -> None:
    assert {path.name for path in ROOT.glob("requirements*.txt")} == set(REQUIREMENTS.values())


@pytest.mark.parametrize("name", REQUIREMENTS.values())
def test_the_constraints_hold_each_requirement_in_its_version(name: str) -> None:
    for requirement in parsed(name):
        assert pins()[canonicalize_name(requirement.name)] == {version(requirement)}


def test_the_constraints_hold_what_requirements_need_in_turn() -> None:
    pinned, seen = pins(), set[str]()
    waiting = [requirement for name in REQUIREMENTS.values() for requirement in parsed(name)]
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), sorted(requirement.extras) or [""]
        if f"{name}{extras}" in seen or CUDA.match(name):
            continue
        seen.add(f"{name}{extras}")
        assert name in pinned
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # Ray and S3 are installed by `make setup-all`
            continue
        waiting += [
            one
            for one in needed
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    assert len(seen) > 100


def test_the_constraints_suit_every_build_of_torch_and_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert not [name for name in pins() if CUDA.match(name)]
    assert not re.search(r"\+|://|--", text)


def test_the_build_needs_what_the_requirements_of_development_pin() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= {
        str(requirement) for requirement in parsed("requirements-dev.txt")
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the working tree builds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    (found,) = folder.iterdir()
    return found


@pytest.mark.slow
def test_the_wheels_extras_are_the_requirements_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    found: dict[str, set[tuple[str, str]]] = {}
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        extra = re.search(r"extra == '(\w+)'", line.replace('"', "'"))
        pair = canonicalize_name(requirement.name), version(requirement)
        found.setdefault(extra[1] if extra else "", set()).add(pair)
    assert found == {
        extra: {(canonicalize_name(requirement.name), version(requirement)) for requirement in parsed(name)}
        for extra, name in REQUIREMENTS.items()
    }
    assert metadata["Version"] == PROJECT["project"]["version"]


@pytest.mark.slow
def test_the_wheel_holds_the_library_with_its_data_and_the_service_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = ("movie_ratings", "serving")
    kept = (path for package in packages for path in (ROOT / package).rglob("*") if path.is_file())
    assert names == {str(path.relative_to(ROOT)) for path in kept if "__pycache__" not in path.parts}
    assert "movie_ratings/py.typed" in names
    assert "movie_ratings/reports/pages/report.html.j2" in names


@pytest.mark.slow
def test_the_wheels_classifier_and_service_need_nothing_of_the_pipeline(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = """
import sys
import movie_ratings
heavy = {"numpy", "pyarrow", "onnxruntime", "torch", "pandas"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert movie_ratings.__file__.startswith(sys.argv[1])
from movie_ratings import Classifier
import serving.__main__
training = {"torch", "transformers", "datasets", "sklearn", "scipy", "polars", "matplotlib", "dvc", "stages"}
assert not training & set(sys.modules), training & set(sys.modules)
print(Classifier.__module__)
"""
    # The extracted wheel stands first on the path, and the repository, where stages/ lies, is not on it.
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("movie_ratings."), done.stderr


def runs(found: Any) -> Iterator[str]:
    """Every command of a workflow or an action."""
    if isinstance(found, dict):
        if isinstance(found.get("run"), str):
            yield found["run"]
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from runs(one)


def read(name: str) -> Any:
    """A YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text())


WORKFLOWS: Final = [str(path.relative_to(ROOT)) for path in (ROOT / ".github/workflows").iterdir()]
ACTIONS: Final = [str(path.relative_to(ROOT)) for path in (ROOT / ".github/actions").rglob("action.yml")]


# The jobs that may write, and what. None of them runs code of the repository.
WRITING: Final = {
    (".github/workflows/gate.yml", "comment"): {"pull-requests": "write"},
    (".github/workflows/retrain.yml", "propose"): {"contents": "write", "pull-requests": "write"},
}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read_but_for_jobs_that_run_no_code_of_the_repository(name: str) -> None:
    workflow = read(name)
    assert workflow["permissions"] == {"contents": "read"}
    for job, found in workflow["jobs"].items():
        assert found.get("permissions") == WRITING.get((name, job)), job
        commands = "\n".join(runs(found))
        if (name, job) in WRITING:
            assert not re.search(r"\b(make|python|dvc|pip)\b", commands), job
            assert not [step for step in found["steps"] if step.get("uses", "").startswith("./")]
        else:
            assert "github.token" not in str(found)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_puts_no_text_of_others_into_a_command(name: str) -> None:
    """A branch, a title or an output reaches a command through its environment, where it is no code."""
    for command in runs(read(name)):
        assert "${{" not in command


@pytest.mark.parametrize("name", [*WORKFLOWS, *ACTIONS])
def test_workflows_run_stages_that_exist(name: str) -> None:
    for module in re.findall(r"python -m (\S+)", "\n".join(runs(read(name)))):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists() or module == "venv", module


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_use_actions_in_the_same_versions(name: str) -> None:
    """Dependabot raises all of them together."""
    used = set(re.findall(r"uses: (actions/\S+)", (ROOT / name).read_text()))
    known = set(re.findall(r"uses: (actions/\S+)", (ROOT / ".github/workflows/ci.yml").read_text()))
    assert used <= known


@pytest.mark.parametrize(("there", "called"), [("", "POST issues/7/comments"), ("42", "PATCH issues/comments/42")])
def test_the_gate_writes_one_comment_and_brings_it_up_to_date(tmp_path: Path, there: str, called: str) -> None:
    step = read(".github/workflows/gate.yml")["jobs"]["comment"]["steps"][-1]
    (tmp_path / "body.md").write_text("### Gate passed\n")
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\ncase "$*" in *--jq*) echo "{there}";; *) echo "$*" > called; cp marked.md sent;; esac\n')
    gh.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_REPOSITORY": "owner/name", "NUMBER": "7"}
    command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
    subprocess.run(command, cwd=tmp_path, env=environment | {"MARK": step["env"]["MARK"]}, check=True)
    method, _, place = called.partition(" ")
    assert f"--method {method} repos/owner/name/{place} --field body=@marked.md" in (tmp_path / "called").read_text()
    assert (tmp_path / "sent").read_text() == f"{step['env']['MARK']}\n### Gate passed\n"


def test_retraining_pushes_a_branch_of_its_own_and_never_main() -> None:
    workflow = read(".github/workflows/retrain.yml")
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}  # YAML takes the key "on" for true
    pushes = [line for command in runs(workflow) for line in command.splitlines() if "git push" in line]
    assert pushes == ['git push origin "HEAD:refs/heads/$BRANCH"']
    assert workflow["jobs"]["propose"]["env"]["BRANCH"].startswith("retrain/")


def test_lint_tests_pipeline_and_image_are_jobs_of_their_own() -> None:
    jobs = read(".github/workflows/ci.yml")["jobs"]
    assert set(jobs) == {"lint", "test", "pipeline", "image"}
    versions = jobs["test"]["strategy"]["matrix"]["python-version"]
    named = [line.rpartition(" :: ")[2] for line in PROJECT["project"]["classifiers"] if ":: Python ::" in line]
    assert versions == named == ["3.11", "3.13"]


@pytest.mark.parametrize("name", [*WORKFLOWS, *ACTIONS])
def test_workflows_run_make_targets_that_exist(name: str) -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)", "\n".join(runs(read(name))))) <= TARGETS


def test_dependabot_follows_every_kind_of_dependency() -> None:
    assert {update["package-ecosystem"] for update in read(".github/dependabot.yml")["updates"]} == {
        "pip", "docker", "docker-compose", "github-actions",
    }  # fmt: skip


def test_hooks_run_programs_of_the_requirements_and_watch_what_the_pipeline_depends_on() -> None:
    hooks = {hook["id"]: hook for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]}
    assert all(".venv/bin/" in hook["entry"] for hook in hooks.values())
    watched = re.compile(hooks["dvc-lock"]["files"])
    code = {path for stage in read("dvc.yaml")["stages"].values() for path in stage["deps"]}
    code = {path for path in code if path.startswith(("stages/", "movie_ratings/", "inputs"))}
    assert len(code) > 10
    for path in {"dvc.yaml", "dvc.lock", "params.yaml"} | code:
        assert watched.match(f"{path}/" if (ROOT / path).is_dir() else path), path


def test_make_runs_modules_that_exist() -> None:
    own = re.findall(r"python -m ((?:stages|tests|benchmarks)\.\w+)", MAKEFILE)
    assert own
    for module in own:
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_make_help_lists_every_target_for_people() -> None:
    done = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed == TARGETS
    stages = set(read("dvc.yaml")["stages"])
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("repro"))
    assert stages <= set(re.findall(r"\w+", line))


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md"])
def test_a_guide_names_targets_and_files_that_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    assert set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text)) <= TARGETS
    folders = r"movie_ratings|serving|stages|tests|docs|benchmarks|\.github|\.devcontainer|\.ci"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)", text):
        assert "NAME" in path or (ROOT / path).exists(), path


def test_the_changelog_has_the_version_of_the_project() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert versions[1] == PROJECT["project"]["version"]
