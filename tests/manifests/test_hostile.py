"""Whatever stands in a manifest, it is read or named: nothing raises, and what is read has the types it says."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.manifests.exposures import exposures
from bot.manifests.snapshot import load
from bot.manifests.yaml import Reader
from bot.sources import Files

FIELDS = st.sampled_from(
    [
        "metadata", "name", "namespace", "labels", "annotations", "ownerReferences", "controller", "kind", "items",
        "spec", "template", "jobTemplate", "containers", "initContainers", "restartPolicy", "ports", "containerPort",
        "protocol", "hostNetwork", "serviceAccountName", "status", "podIP", "podIPs", "ip", "workloadRef", "selector",
        "type", "targetPort", "port", "rules", "http", "paths", "backend", "service", "number", "defaultBackend",
        "backendRefs", "filters", "requestMirror", "backendRef", "to", "from", "subsets", "addresses", "endpoints",
    ]
)  # fmt: skip
LEAVES = st.sampled_from(
    [None, True, 0, 1, 80, 1.5, "", "a", "{{ x }}", "${Y}", "TCP", "10.0.0.1", "Service", "Always"]
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=30
)
KINDS = st.sampled_from(
    [
        ("v1", "Pod"), ("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet"), ("v1", "ReplicationController"),
        ("batch/v1", "CronJob"), ("argoproj.io/v1alpha1", "Rollout"), ("v1", "Service"), ("v1", "Endpoints"),
        ("discovery.k8s.io/v1", "EndpointSlice"), ("networking.k8s.io/v1", "Ingress"), ("v1", "Namespace"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"), ("route.openshift.io/v1", "Route"), ("v1", "List"),
        ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"), ("v1", "PodList"), ("example.com/v1", "Thing"),
        ("kubeadm.k8s.io/v1beta4", "ClusterConfiguration"), ("v1", 3), (None, "Pod"),
    ]
)  # fmt: skip
OBJECTS = st.builds(
    lambda kind, rest, name: {"metadata": {"name": name}, **rest, "apiVersion": kind[0], "kind": kind[1]},
    KINDS,
    st.dictionaries(st.sampled_from(["metadata", "spec", "status", "items", "subsets", "endpoints", "ports"]), TREES),
    st.sampled_from(["a", "b"]),
)


@given(st.lists(OBJECTS, max_size=5))
@settings(max_examples=400, deadline=None)
def test_no_object_raises(objects):
    data = "\n---\n".join(map(json.dumps, objects)).encode()
    snapshot = load(Files("test", None, {"f.yaml": data}, []), Reader())
    for workload in snapshot.workloads:
        assert all(isinstance(text, str) for pair in workload.labels.items() for text in pair)
        assert all(1 <= port.number <= 65535 and port.protocol in (6, 17, 132) for port in workload.ports)
        assert snapshot.location(workload.object, ("spec", "template"))[0] == "f.yaml"
        assert workload.namespace in snapshot.namespaces
    for obj in snapshot.objects.values():
        assert obj.value["kind"] == obj.kind
        assert obj.namespace == "" or obj.namespace in snapshot.namespaces
    for unread in snapshot.unread:
        assert unread.lines is not None
        assert 1 <= unread.lines[0] <= unread.lines[1] <= data.count(b"\n") + 1
    for exposure in exposures(snapshot):
        for backend in exposure.backends:
            assert isinstance(backend.port, (int, str))
            assert all(isinstance(text, str) for pair in backend.selector.items() for text in pair)


@given(st.lists(OBJECTS, max_size=4), st.randoms())
@settings(max_examples=100, deadline=None)
def test_a_second_side_has_the_identical_objects(objects, random):
    texts = [json.dumps(obj) for obj in objects]
    shuffled = random.sample(texts, len(texts))
    reader = Reader()
    base, head = (
        load(Files("test", None, {"f.yaml": "\n---\n".join(side).encode()}, []), reader) for side in (texts, shuffled)
    )
    held = {id(obj) for obj in base.objects.values()}
    if not base.notes:
        assert {id(obj) for obj in head.objects.values()} == held
