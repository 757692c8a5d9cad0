"""Settings that Seldon's operator silently overrides or misreads, found before they are applied.

Read in the operator's seldondeployment_controller.go and defaults.go, and in its orchestrator's predictor_process.go.
Standard library only.
"""

from collections.abc import Iterator

METRICS_PORT, METRICS_PATH = "metrics", "/prometheus"  # the name that the operator looks for; the page it asks for
ROUTING = "SELDON_ENABLE_ROUTING_INJECTION"
PRE_STOP = 10  # seconds that the operator lets pass before SIGTERM; they count towards the grace period
Fault = tuple[str, str]  # the field, and what is wrong with it


def faults(predictors: list[dict]) -> Iterator[Fault]:
    """Yield every field of these predictors that would not do what it says."""
    budgets = 0
    for number, predictor in enumerate(predictors):
        field = f"spec.predictors.{number}"
        yield from _routing(predictor, field)
        for place, component in enumerate(predictor.get("componentSpecs") or []):
            yield from _pod(component, f"{field}.componentSpecs.{place}")
            yield from _scaling(component, predictor.get("svcOrchSpec") or {}, f"{field}.componentSpecs.{place}")
            budgets += "pdbSpec" in component
            if "pdbSpec" in component and budgets > 1:
                yield (
                    f"{field}.componentSpecs.{place}.pdbSpec",
                    "Seldon's budgets are each for all pods of the deployment, and Kubernetes moves no pod that has "
                    "two: one is enough",
                )


def _routing(predictor: dict, field: str) -> Iterator[Fault]:
    """A router learns from feedback only when answers say which way they went."""
    set_ones = {item.get("name"): item.get("value") for item in (predictor.get("svcOrchSpec") or {}).get("env") or []}
    if (predictor.get("graph") or {}).get("children") and not set_ones.get(ROUTING):
        yield f"{field}.svcOrchSpec.env", f"without {ROUTING} no answer says which child gave it: set it to true"


def _pod(component: dict, field: str) -> Iterator[Fault]:
    spec, annotations = component.get("spec") or {}, (component.get("metadata") or {}).get("annotations") or {}
    if spec.get("securityContext"):
        yield f"{field}.spec.securityContext", "Seldon puts its own in the pod's place: write it on the containers"
    if spec.get("terminationGracePeriodSeconds", 20) <= PRE_STOP:
        yield f"{field}.spec.terminationGracePeriodSeconds", f"Seldon waits {PRE_STOP} s of it before SIGTERM"
    if str((component.get("pdbSpec") or {}).get("maxUnavailable")) in ("0", "0%"):
        yield f"{field}.pdbSpec.maxUnavailable", "0 lets no node be drained"
    path = annotations.get("prometheus.io/path", METRICS_PATH)
    if path != METRICS_PATH:
        yield f"{field}.metadata.annotations", f"Seldon has metrics served at {METRICS_PATH}, not at {path}"
    for number, container in enumerate(spec.get("containers") or []):
        yield from _container(container, annotations.get("prometheus.io/port"), f"{field}.spec.containers.{number}")


def _scaling(component: dict, orchestrator: dict, field: str) -> Iterator[Fault]:
    """A share of what is asked for, as autoscaling counts it, needs every container of the pod to ask."""
    shares = [item.get("resource") or {} for item in (component.get("hpaSpec") or {}).get("metricsv2") or []]
    resources = {str(item.get("name")) for item in shares if "averageUtilization" in (item.get("target") or {})}
    listed = (component.get("spec") or {}).get("containers") or []
    containers = {f"{field}.spec.containers.{number}": container for number, container in enumerate(listed)}
    if orchestrator.get("resources"):  # without, Seldon asks for some itself
        containers[f"{field.partition('.componentSpecs')[0]}.svcOrchSpec"] = orchestrator
    for place, container in containers.items():
        for name in sorted(resources - set((container.get("resources") or {}).get("requests") or {})):
            yield f"{place}.resources.requests", f"it asks for no {name}, so nothing can be scaled by a share of it"


def _container(container: dict, scraped: str | None, field: str) -> Iterator[Fault]:
    if not container.get("command"):
        yield (
            f"{field}.command",
            "s2i starts an image by a shell, which as its first process lets no SIGTERM through: write [/s2i/bin/run]",
        )
    ports = [port.get("containerPort") for port in container.get("ports") or [] if port.get("name") == METRICS_PORT]
    if not ports:
        yield f"{field}.ports", f"none is called {METRICS_PORT}: Seldon counts on, 6000, 6001, from one to the next"
    elif scraped and str(ports[0]) != scraped:
        yield f"{field}.ports", f"{METRICS_PORT} is {ports[0]}, and prometheus.io/port says {scraped}"
