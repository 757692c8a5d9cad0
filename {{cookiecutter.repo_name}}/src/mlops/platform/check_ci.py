"""The check of CI's files: GitHub's workflows by actionlint and zizmor, GitLab's pipeline by GitLab's own schema."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from .findings import Finding, Unread, answer_of, tool

WORKFLOWS = Path(".github/workflows")
PIPELINE = Path(".gitlab-ci.yml")
# The keys of a pipeline that are no jobs, and those that make a job run something
KEYWORDS = ("default", "include", "spec", "variables", "workflow")
RUNS = ("extends", "run", "script", "trigger")
EVERYTHING = "{" * 2 + "json ." + "}" * 2  # a template of Go's, which actionlint's output is made of


def check_ci(root: Path) -> Iterator[Finding]:
    """Check whichever of the two is there; nothing where a team has neither."""
    for place, looks in ((WORKFLOWS, (_actionlint, _zizmor)), (PIPELINE, (_schema, _jobs))):
        found: list[Finding] = []
        for look in looks if (root / place).exists() else ():
            if not found:  # the second reads only what the first accepts
                try:
                    found += look(root)
                except Unread as reason:
                    found.append(Finding(place, "", str(reason)))
        yield from found


def _actionlint(root: Path) -> Iterator[Finding]:
    """Syntax, types and contexts of the workflows, and their scripts by shellcheck."""
    files = sorted(str(path.relative_to(root)) for path in (root / WORKFLOWS).glob("*.y*ml"))
    flags = ["-no-color", "-pyflakes=", f"-shellcheck={tool('shellcheck')}", "-format", EVERYTHING]
    for problem in answer_of(root, "actionlint", *flags, *files):
        yield Finding(Path(problem["filepath"]), f"line {problem['line']}", problem["message"])


def _zizmor(root: Path) -> Iterator[Finding]:
    """Security holes of the workflows: permissions, credentials that stay, strangers' input in a script."""
    for problem in answer_of(root, "zizmor", "--offline", "--no-progress", "--quiet", "--format=json", "."):
        place = next(place for place in problem["locations"] if place["symbolic"]["kind"] == "Primary")
        path = Path(place["symbolic"]["key"]["Local"]["verbatim_path"])
        line = place["concrete"]["location"]["start_point"]["row"] + 1
        said = f"{problem['ident']}: {problem['desc']}: {place['symbolic']['annotation']}"
        yield Finding(path, f"line {line}", f"{said} ({problem['url']})")


def _schema(root: Path) -> Iterator[Finding]:
    """The pipeline by the schema that GitLab publishes, as check-jsonschema brings it."""
    flags = ["--builtin-schema=vendor.gitlab-ci", "--output-format=json"]
    answer = answer_of(root, "check-jsonschema", *flags, str(PIPELINE))
    for problem in [*answer.get("errors", []), *answer.get("parse_errors", [])]:
        yield Finding(PIPELINE, problem.get("path", "").removeprefix("$."), problem["message"])


def _jobs(root: Path) -> Iterator[Finding]:
    """The names of other jobs in a job, which no schema holds: GitLab says it when the pipeline is to start."""
    pipeline = yaml.safe_load((root / PIPELINE).read_text(encoding="utf-8"))
    jobs = {name: job for name, job in pipeline.items() if isinstance(job, dict) and name not in KEYWORDS}
    for name, job in jobs.items():
        if not name.startswith(".") and not set(RUNS) & set(job):
            yield Finding(PIPELINE, name, f"it runs nothing: it has none of {', '.join(RUNS)}")
        for field in ("needs", "extends", "dependencies"):
            named = job.get(field) or []
            for other in [named] if isinstance(named, str) else named:
                known = other.get("job") if isinstance(other, dict) else other
                if known and known not in jobs:
                    yield Finding(PIPELINE, f"{name}.{field}", f"there is no job {known}")
