"""Pods and pod templates of every kind: labels, ports, owners, addresses, and what is refused."""

from __future__ import annotations

import pytest

from bot.manifests.snapshot import ContainerPort
from tests.manifests.reading import reasons, side


def manifest(kind: str, rest: str, api_version: str = "v1", name: str = "a") -> str:
    return f"---\napiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}}}\n{rest}\n"


TEMPLATE = """\
metadata:
  labels: {app: web}
spec:
  serviceAccountName: runner
  containers:
  - name: main
    ports:
    - {name: http, containerPort: 8080}
    - {name: dns, containerPort: 53, protocol: UDP}
"""


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


def only(text: str):
    snapshot = side(text)
    assert reasons(snapshot) == []
    [workload] = snapshot.workloads
    return workload


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"), ("apps/v1", "ReplicaSet"),
        ("extensions/v1beta1", "Deployment"), ("v1", "ReplicationController"), ("apps.openshift.io/v1", "DeploymentConfig"),
        ("argoproj.io/v1alpha1", "Rollout"), ("example.com/v1", "Whatever"),
    ],
)  # fmt: skip
def test_kinds_with_a_template(api_version, kind):
    found = only(
        manifest(kind, "spec:\n  template:\n" + indented(TEMPLATE, 4), api_version).replace(
            "name: a", "name: a, namespace: shop"
        )
    )
    assert found.key == (kind, "shop", "a")
    assert found.labels == {"app": "web"}
    assert found.ports == (ContainerPort("http", 6, 8080), ContainerPort("dns", 17, 53))
    assert (found.service_account, found.host_network, found.pod, found.addresses, found.node) == (
        "runner",
        False,
        "",
        (),
        "",
    )
    assert found.object.value["spec"]["template"]["spec"]["serviceAccountName"] == "runner"


def test_jobs_carry_the_label_of_their_controller():
    job = only(
        f"apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate}}\nspec:\n  template:\n{indented(TEMPLATE, 4)}"
    )
    assert job.labels == {"app": "web", "job-name": "migrate", "batch.kubernetes.io/job-name": "migrate"}
    cron = only(
        manifest("CronJob", "spec:\n  jobTemplate:\n    spec:\n      template:\n" + indented(TEMPLATE, 8), "batch/v1")
    )
    assert (cron.kind, cron.labels) == ("CronJob", {"app": "web"})


def test_a_knative_service_is_a_workload_and_no_service():
    text = f"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: hello}}\nspec:\n  template:\n{indented(TEMPLATE, 4)}"
    snapshot = side(text + "---\napiVersion: v1\nkind: Service\nmetadata: {name: hello}\n")
    [workload] = snapshot.workloads
    assert workload.key == ("Service", "default", "hello")
    assert workload.labels == {"app": "web", "serving.knative.dev/service": "hello"}
    assert list(snapshot.objects) == [("Service", "default", "hello")]


def test_a_rollout_runs_the_template_of_the_deployment_it_names():
    reference = "spec:\n  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: d}"
    rollout = manifest("Rollout", reference, "argoproj.io/v1alpha1", "r")
    deployment = manifest("Deployment", "spec:\n  template:\n" + indented(TEMPLATE, 4), "apps/v1", "d")
    snapshot = side(rollout + deployment)
    assert [(w.key, w.labels, w.object.kind) for w in snapshot.workloads] == [
        (("Deployment", "default", "d"), {"app": "web"}, "Deployment"),
        (("Rollout", "default", "r"), {"app": "web"}, "Rollout"),
    ]
    assert reasons(side(rollout)) == ["f.yaml:6-6 Rollout r: its workloadRef, Deployment default/d, is not there"]


@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("ReplicationController", "{}", "spec.template is missing"),
        ("ReplicationController", "", "spec is missing"),
        ("ReplicationController", "{template: 3}", "spec.template is missing"),
        ("Pod", "x", "the pod's spec is no map"),
        ("Pod", "{hostNetwork: 3}", "hostNetwork is neither true nor false"),
        ("Pod", "{serviceAccountName: 3}", "serviceAccountName is no name"),
        ("Pod", "{containers: 3}", "containers is no list"),
        ("Pod", "{containers: [3]}", "a container that is no map"),
        ("Pod", "{containers: [{ports: 3}]}", "ports is no list"),
        ("Pod", "{containers: [{ports: [3]}]}", "a port that is no map"),
        ("Pod", "{containers: [{ports: [{name: a}]}]}", "containerPort is missing"),
        ("Pod", "{containers: [{ports: [{containerPort: 70000}]}]}", "containerPort 70000 is no number from 1 to 65535"),
        ("Pod", "{containers: [{ports: [{containerPort: '80'}]}]}", "containerPort 80 is no number from 1 to 65535"),
        ("Pod", "{containers: [{ports: [{containerPort: 80, protocol: tcp}]}]}", "protocol tcp is none of TCP, UDP and SCTP"),
        ("Pod", "{containers: [{ports: [{containerPort: 80, name: [a]}]}]}", "the name of a port is no name"),
        ("Deployment", "{template: {metadata: 3}}", "metadata is no map"),
        ("Deployment", "{template: {metadata: {labels: {version: 1}}}}", "the label version is the number 1, not a string: quote it"),
        ("Deployment", "{template: {metadata: {annotations: {a: 1}}}}", "the annotation a is the number 1, not a string: quote it"),
    ],
)  # fmt: skip
def test_what_the_api_server_refuses_is_absent_and_named(kind, spec, reason):
    snapshot = side(manifest(kind, f"spec: {spec}", "apps/v1" if kind == "Deployment" else "v1"))
    assert snapshot.workloads == []
    [unread] = snapshot.unread
    assert unread.reason == f"{kind} a: {reason}"
    assert unread.lines == ((2, 5) if reason == "spec is missing" else (5, 5))


def test_init_containers_count_only_when_they_keep_running():
    pod = only(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: p}
        spec:
          initContainers:
          - {name: setup, ports: [{name: setup, containerPort: 1}]}
          - {name: proxy, restartPolicy: Always, ports: [{name: proxy, containerPort: 15001}]}
          containers:
          - {name: a, ports: [{name: http, containerPort: 80}, {containerPort: 80, protocol: SCTP}]}
          - name: b
            ports:
            - {name: http, containerPort: 80}
            - {name: http, containerPort: 80, protocol: UDP}
            - {containerPort: 9, protocol: }
        """
    )
    assert pod.ports == (
        ContainerPort("http", 6, 80), ContainerPort("", 132, 80), ContainerPort("http", 17, 80), ContainerPort("", 6, 9),
        ContainerPort("proxy", 6, 15001),
    )  # fmt: skip
    assert pod.service_account == "default"


def pod(owners: str = "", status: str = "{}", spec: str = "{}", name: str = "p", kind: str = "Pod") -> str:
    named = f"{name}, labels: {{app: x}}, ownerReferences: [{owners}]"
    return manifest(kind, f"spec: {spec}\nstatus: {status}", "apps/v1" if kind == "ReplicaSet" else "v1", named)


@pytest.mark.parametrize(
    ("owners", "key"),
    [
        ("", ("Pod", "p")),
        ("{kind: ReplicaSet, name: rs, controller: true}", ("ReplicaSet", "rs")),
        ("{kind: ReplicaSet, name: rs}", ("ReplicaSet", "rs")),
        ("{kind: ReplicaSet, name: rs, controller: false}", ("Pod", "p")),
        ("{kind: A, name: a}, {kind: B, name: b, controller: true}", ("B", "b")),
        ("{kind: A, name: a}, {kind: B, name: b}", ("Pod", "p")),
        ("{kind: Node, name: n1, controller: true}", ("Pod", "p")),
        ("{name: rs, controller: true}", ("Pod", "rs")),
        ("{kind: ReplicaSet, controller: true}", ("Pod", "p")),
        ("3", ("Pod", "p")),
    ],
)
def test_pods_belong_to_their_controller(owners, key):
    found = only(pod(owners))
    assert (found.kind, found.name) == key
    assert found.pod == "p"
    assert found.labels == {"app": "x"}


def test_owners_are_not_followed_further():
    owned = pod("{kind: ReplicaSet, name: rs, controller: true}") + pod(
        "{kind: ReplicaSet, name: rs, controller: true}", name="q"
    )
    replica_set = pod(
        "{kind: Deployment, name: d, controller: true}",
        spec="{template: {metadata: {labels: {app: x}}}}",
        name="rs",
        kind="ReplicaSet",
    )
    snapshot = side(owned + replica_set)
    assert [(w.kind, w.name, w.pod) for w in snapshot.workloads] == [
        ("Deployment", "d", ""),
        ("ReplicaSet", "rs", "p"),
        ("ReplicaSet", "rs", "q"),
    ]


def test_known_addresses():
    both = "{podIP: 10.0.0.7, podIPs: [{ip: 10.0.0.7}, {ip: 'FD00::7'}], hostIP: 192.168.0.1, phase: Running}"
    assert only(pod(status=both)).addresses == ("10.0.0.7", "fd00::7")
    assert only(pod(status=both)).phase == "Running"
    assert only(pod(status="{podIPs: [{ip: 10.0.0.7}]}")).addresses == ("10.0.0.7",)
    assert only(pod(status="{hostIP: 192.168.0.1}")).addresses == ()
    assert only(pod(status="{hostIP: 192.168.0.1}", spec="{hostNetwork: true, nodeName: n1}")).addresses == (
        "192.168.0.1",
    )
    assert only(pod(spec="{hostNetwork: true, nodeName: n1}")).node == "n1"
    assert only(pod(status="{podIP: x, podIPs: [3, {ip: 10.0.0.300}, {ip: 'fe80::1%eth0'}], phase: 3}")).addresses == ()
    assert only(pod(status="x")).addresses == ()
    assert only(pod(status="{phase: Succeeded}")).phase == "Succeeded"


def test_one_name_of_two_kinds_is_two_workloads():
    snapshot = side(pod(name="a") + pod(name="a", kind="ReplicaSet", spec="{template: {}}"))
    assert [w.key for w in snapshot.workloads] == [("Pod", "default", "a"), ("ReplicaSet", "default", "a")]


def test_generated_names_and_null_labels():
    found = only(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: run-}\nspec: {template: {metadata: {labels: {a: }}}}\n"
    )
    assert found.name == "run-"
    assert found.labels["a"] == ""
    assert only("apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: }\n").labels == {}
