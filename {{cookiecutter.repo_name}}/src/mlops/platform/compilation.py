"""Read and compile Polyaxonfiles by Polyaxon itself, for the checks and the runner. No cluster is needed.

Written against Polyaxon 2.18. The imports that begin with an underscore are not part of its public API: take in a new
release of Polyaxon together with `make check` and the tests.
"""

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jinja2
import yaml
from clipped.utils.np import sanitize_dict
from kubernetes import client
from polyaxon import settings
from polyaxon._k8s.executor.executor import Executor
from polyaxon._polyaxonfile.specs.libs import engine
from polyaxon._schemas.agent import AgentConfig
from polyaxon.polyaxonfile import (
    CompiledOperationSpecification,
    OperationSpecification,
    check_polyaxonfile,
    get_ops_from_suggestions,
)
from polyaxon.schemas import V1RandomSearch
from polyaxon.tuners.grid_search import GridSearchManager
from polyaxon.tuners.mapping import MappingManager
from polyaxon.tuners.random_search import RandomSearchManager

from .. import project
from ..errors import UserError

SEARCHES = {"random": RandomSearchManager, "grid": GridSearchManager, "mapping": MappingManager}

warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)


def use_platform(root: Path = project.ROOT) -> None:
    """Compile from now on with the repository's own platform configuration, as the platform's agent would."""
    config = yaml.safe_load((root / project.POLYAXON / "polyaxon-config.yml").read_text(encoding="utf-8"))
    known = {"namespace": config["namespace"], "artifactsStore": config["artifactsStore"]}
    settings.AGENT_CONFIG = AgentConfig.from_dict(known | {"connections": config.get("connections") or []})


def read(path: Path, params: list[str] | None = None, presets: tuple[Path, ...] = ()):
    """Read a Polyaxonfile with its references, as `polyaxon check --strict-params` does. Returns an operation."""
    files = [str(path), *map(str, presets)]
    return check_polyaxonfile(polyaxonfile=files, params=params, strict_params=True, is_cli=False, verbose=False)


def explain(error: BaseException) -> tuple[str, str]:
    """Return the field that an error of Polyaxon's names, or "", and what its innermost cause says."""
    while error.__cause__:
        error = error.__cause__
    if hasattr(error, "errors"):  # pydantic's, which say where
        first = error.errors()[0]
        return ".".join(map(str, first["loc"])), first["msg"]
    return "", " ".join(str(error).split())


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Say in one sentence what is wrong with a file or a parameter: Polyaxon raises any exception for it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(": ".join(filter(None, [name, *explain(error)]))) from None


def compiled(operation):
    """Return the operation merged with the component it runs."""
    return OperationSpecification.compile_operation(operation)


def with_suggestion(operation, suggestion: dict[str, object]):
    """Return one run of an operation with a matrix: the same operation with these values, and no matrix."""
    # The operation's own params become the inputs' values first: a child is made of the inputs and its suggestion only.
    whole, params = OperationSpecification.compile_operation_with_params(operation)
    whole = CompiledOperationSpecification.apply_params(config=whole, params=params, context={})
    (child,) = get_ops_from_suggestions(
        content=operation.to_json(), compiled_operation=whole, suggestions=[sanitize_dict(suggestion)]
    )
    return child


def suggestions(matrix) -> list[dict[str, object]]:
    """Return the parameters of all runs of a search, drawn by Polyaxon's own search manager."""
    if matrix.kind not in SEARCHES:
        kinds = ", ".join([*SEARCHES, "hyperband"])
        raise UserError(f"A matrix of the kind {matrix.kind} runs on the cluster only; this machine runs {kinds}.")
    with explained(f"matrix of the kind {matrix.kind}"):
        return SEARCHES[matrix.kind](matrix).get_suggestions()


def sample(matrix) -> dict[str, object]:
    """Return parameters that a search may give a run; a search that only the platform runs is sampled at random."""
    if matrix.kind in SEARCHES:
        return suggestions(matrix)[0]
    if not matrix.params:
        return {}
    return RandomSearchManager(V1RandomSearch(num_runs=1, params=matrix.params)).get_suggestions()[0]


def one_of_each(operation, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the runs that an operation leads to, one of each matrix, with the name of their part or ""."""
    whole = compiled(operation)
    if whole.schedule:  # the platform starts such an operation by the clock, without its schedule
        yield from one_of_each(operation.model_copy(update={"schedule": None}), name)
    elif whole.matrix:
        yield name, with_suggestion(operation, sample(whole.matrix))
    elif whole.is_dag_run:
        for child in whole.run.operations:
            yield from one_of_each(child, f"{name}.{child.name}" if name else child.name)
    else:
        yield name, operation


def pods(operation, project_name: str, run_uuid: str = uuid.UUID(int=0).hex) -> list[dict]:
    """Return the pod specs that the platform's agent makes of one run: one, or one a replica of a distributed job."""
    resource = Executor.make_and_convert(
        owner_name=project.OWNER,
        project_name=project_name,
        run_name=operation.name,
        run_uuid=run_uuid,
        content=operation.to_json(),
    )
    content = client.ApiClient().sanitize_for_serialization(resource)
    spec = next(value for key, value in content.items() if key.endswith("Spec"))
    parts = spec["replicaSpecs"].values() if "replicaSpecs" in spec else [spec]
    return [part["template"]["spec"] for part in parts for _ in range(part.get("replicas", 1))]


def _strict_engine() -> jinja2.Environment:
    environment = _lenient_engine()
    environment.undefined = jinja2.StrictUndefined
    return environment


# Make an unknown variable an error: Polyaxon renders it as nothing.
_lenient_engine, engine.get_engine = engine.get_engine, _strict_engine
