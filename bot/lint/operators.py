"""Custom resources and Roles of a side in; out, the labels of the pods that operators make, and namespaces that hold other pods.

Labels are those that each operator documents: prometheus-operator (`pkg/operator/labels.go`), Strimzi, CloudNativePG, Zalando's
postgres-operator, ECK, RabbitMQ's cluster operator, MongoDB's, MinIO's, Spark's, KubeVirt and Gateway API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bot.lint.near import holds, labels_asked
from bot.lint.written import listed, value_at
from bot.policies.model import Expr, Label, Not

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object, Workload

Labels = dict[str, str]

_BY_KIND: Mapping[str, Callable[[str], Labels]] = {
    "Prometheus": lambda name: {"app.kubernetes.io/name": "prometheus", "prometheus": name},
    "PrometheusAgent": lambda name: {"app.kubernetes.io/name": "prometheus-agent"},
    "Alertmanager": lambda name: {"app.kubernetes.io/name": "alertmanager", "alertmanager": name},
    "ThanosRuler": lambda name: {"app.kubernetes.io/name": "thanos-ruler", "thanos-ruler": name},
    "Kafka": lambda name: {"strimzi.io/cluster": name},
    "KafkaConnect": lambda name: {"strimzi.io/cluster": name},
    "KafkaNodePool": lambda name: {"strimzi.io/pool-name": name},
    "Cluster": lambda name: {"cnpg.io/cluster": name},
    "Pooler": lambda name: {"cnpg.io/poolerName": name},
    "postgresql": lambda name: {"application": "spilo", "cluster-name": name},
    "Elasticsearch": lambda name: {"elasticsearch.k8s.elastic.co/cluster-name": name},
    "Kibana": lambda name: {"kibana.k8s.elastic.co/name": name},
    "RabbitmqCluster": lambda name: {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "rabbitmq"},
    "Redis": lambda name: {},
    "RedisCluster": lambda name: {},
    "RedisReplication": lambda name: {},
    "RedisSentinel": lambda name: {},
    "RedisFailover": lambda name: {},
    "MongoDBCommunity": lambda name: {"app": f"{name}-svc"},
    "Tenant": lambda name: {"v1.min.io/tenant": name},
    "SparkApplication": lambda name: {"sparkoperator.k8s.io/app-name": name},
    "VirtualMachine": lambda name: {},
    "VirtualMachineInstance": lambda name: {},
    "Gateway": lambda name: {"gateway.networking.k8s.io/gateway-name": name},
    "Grafana": lambda name: {"app": name},
    "Jaeger": lambda name: {"app": "jaeger"},
    "OpenTelemetryCollector": lambda name: {"app.kubernetes.io/managed-by": "opentelemetry-operator"},
}
"""What the pods of a kind are known to carry; an empty map: some labels that the object does not tell."""
_ANYTHING = (
    *("HelmRelease", "HelmChart", "Kustomization", "Application", "ApplicationSet", "Workflow", "CronWorkflow"),
    *("Bundle", "App", "PackageInstall", "Subscription", "ClusterServiceVersion", "Sandbox", "Notebook"),
)
_GIVEN = (
    *("service.istio.io/canonical-", "security.istio.io/", "istio.io/", "sidecar.istio.io/", "topology.istio.io/"),
    *("linkerd.io/", "statefulset.kubernetes.io/", "apps.kubernetes.io/pod-index", "job-name", "batch.kubernetes.io/"),
    *("pod-template-hash", "pod-template-generation", "controller-revision-hash", "controller-uid"),
)
"""Keys that pods get from the controller that makes them, or from a sidecar injector, and no pod template has."""
_SPEC_LABELS = (("podMetadata", "labels"), ("template", "metadata", "labels"), ("inheritedMetadata", "labels"))


def pods_of(context: Context) -> dict[str, list[Labels]]:
    """Namespace -> the labels of pods there that no workload in Git has, as far as they are known."""
    return context.once("operators", lambda: _pods_of(context))  # type: ignore[no-any-return]


def _pods_of(context: Context) -> dict[str, list[Labels]]:
    out: dict[str, list[Labels]] = {}
    for obj in context.snapshot.by_kind(*_BY_KIND):
        labels = dict(_BY_KIND[obj.kind](obj.name))
        for path in _SPEC_LABELS:
            found = value_at(obj.value, ("spec", *path))
            if type(found) is dict:
                labels.update((str(key), str(value)) for key, value in found.items())
        out.setdefault(obj.namespace, []).append(labels)
    for obj in context.snapshot.by_kind(*_ANYTHING):
        out.setdefault(_target(obj), []).append({})
    for obj in context.snapshot.by_kind("Role"):
        if any(_makes_pods(rule) for rule in listed(obj.value, "rules")):
            out.setdefault(obj.namespace, []).append({})
    return out


def _makes_pods(rule: Any) -> bool:
    """Whether a rule of a Role lets somebody make pods: agents of Jenkins, notebooks of JupyterHub, workers of Airflow."""
    if "" not in listed(rule, "apiGroups"):
        return False
    return bool(
        {"pods", "*"} & {*map(str, listed(rule, "resources"))} and {"create", "*"} & {*map(str, listed(rule, "verbs"))}
    )


def _target(obj: Object) -> str:
    for path in (("spec", "destination", "namespace"), ("spec", "targetNamespace")):
        found = value_at(obj.value, path)
        if type(found) is str and found:
            return found
    return obj.namespace


def may_match(context: Context, namespace: str, expr: Expr) -> bool:
    """Whether a pod that an operator makes in the namespace may match: it contradicts nothing that is asked for."""
    asked = labels_asked(expr)
    if asked is None:
        return True
    return any(
        all(
            not isinstance(part, Label)
            or part.key not in labels
            or labels[part.key] in part.values
            or part.operator == "exists"
            for part in asked
        )
        and (not labels or not asked or any(isinstance(part, Label) and part.key in labels for part in asked))
        for labels in pods_of(context).get(namespace, ())
    )


def is_given(expr: Expr, workloads: Iterable[Workload]) -> bool:
    """Whether a workload has all the labels that are asked for but those that a pod is given when it is made (`_GIVEN`)."""
    asked = labels_asked(expr) or []
    own = [part for part in asked if not (isinstance(part, Label) and part.key.startswith(_GIVEN))]
    return len(own) < len(asked) and any(all(holds(part, workload.labels) for part in own) for workload in workloads)


def is_negated(expr: Expr, workloads: Iterable[Workload]) -> bool:
    """Whether only what is asked to be absent keeps it from matching: that no pod is such is what is wanted."""
    asked = labels_asked(expr) or []
    positive = [part for part in asked if not isinstance(part, Not)]
    return len(positive) < len(asked) and any(
        all(holds(part, workload.labels) for part in positive) for workload in workloads
    )
