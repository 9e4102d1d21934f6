"""Objects of one side: lists, duplicates, namespaces, identity across sides, what is ignored and what is named."""

from __future__ import annotations

import gc

import pytest

from bot.manifests.yaml import Reader
from tests.manifests.reading import reasons, side

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
"""
KEY = ("NetworkPolicy.networking.k8s.io", "shop", "deny")


def test_objects_have_their_place():
    snapshot = side({"a.yaml": "# nothing\n---\n" + POLICY})
    obj = snapshot.objects[KEY]
    assert (obj.kind, obj.namespace, obj.name, obj.api_version) == (
        "NetworkPolicy",
        "shop",
        "deny",
        "networking.k8s.io/v1",
    )
    assert obj.value["spec"] == {"podSelector": {}}
    assert snapshot.where[obj] == ("a.yaml", 3)
    assert snapshot.location(obj) == ("a.yaml", (3, 6))
    assert snapshot.location(obj, ("spec", "podSelector")) == ("a.yaml", (6, 6))
    assert snapshot.by_kind("NetworkPolicy", "Service") == [obj]


def test_unchanged_objects_are_identical_on_both_sides_wherever_they_stand():
    reader = Reader()
    base = side({"a.yaml": POLICY}, reader)
    head = side({"b.yaml": "---\nkind: Namespace\napiVersion: v1\nmetadata: {name: shop}\n---\n" + POLICY}, reader)
    assert base.objects[KEY] is head.objects[KEY]
    assert base.location(base.objects[KEY])[0] == "a.yaml"
    assert head.location(head.objects[KEY]) == ("b.yaml", (6, 9))
    assert side({"b.yaml": POLICY.replace("{}", "{ }")}, reader).objects[KEY] is not base.objects[KEY]


def test_the_default_namespace_is_part_of_identity():
    reader = Reader()
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
    first, second, again = (side(text, reader, namespace) for namespace in ("default", "prod", "default"))
    assert list(first.objects) == [("Service", "default", "a")]
    assert list(second.objects) == [("Service", "prod", "a")]
    assert next(iter(first.objects.values())) is next(iter(again.objects.values()))


def test_lists_and_typed_lists():
    snapshot = side(
        """
        apiVersion: v1
        kind: List
        items:
        - apiVersion: v1
          kind: Service
          metadata: {name: a}
        - kind: PodList
          apiVersion: v1
          items:
          - metadata:
              name: p
            spec:
              containers: []
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicyList
        items:
        - metadata: {name: one}
          spec: {podSelector: {}}
        - apiVersion: networking.k8s.io/v1
          kind: NetworkPolicy
          metadata: {name: many}
        ---
        apiVersion: v1
        kind: NamespaceList
        items:
        """
    )
    assert [key[0] + " " + key[2] for key in snapshot.objects] == [
        "NetworkPolicy.networking.k8s.io many", "NetworkPolicy.networking.k8s.io one", "Service a",
    ]  # fmt: skip
    [pod] = snapshot.workloads
    assert (pod.kind, pod.name, pod.object.pointer) == ("Pod", "p", ("items", 1, "items", 0))
    assert pod.object.value["kind"] == "Pod"
    assert pod.object.value["apiVersion"] == "v1"
    assert snapshot.location(pod.object, ("spec",)) == ("f.yaml", (13, 14))
    assert snapshot.objects["NetworkPolicy.networking.k8s.io", "default", "one"].value["kind"] == "NetworkPolicy"
    assert reasons(snapshot) == []


def test_what_is_wrong_in_a_list():
    snapshot = side(
        "apiVersion: v1\nkind: List\nitems:\n- 3\n- metadata: {name: a}\n---\napiVersion: v1\nkind: PodList\nitems: x\n"
    )
    assert reasons(snapshot) == [
        "f.yaml:4-4 List: an item that is no object",
        "f.yaml:5-5 List: an item without kind",
        "f.yaml:9-9 PodList: items must be a list of objects",
    ]


def test_of_two_with_one_name_the_later_wins_and_both_places_are_named():
    snapshot = side({"a.yaml": POLICY, "b.yaml": "---\n" + POLICY.replace("podSelector: {}", "ingress: []")})
    assert "ingress" in snapshot.objects[KEY].value["spec"]
    [note] = snapshot.notes
    assert (note.file, note.lines) == ("a.yaml", (1, 4))
    assert note.text == "NetworkPolicy shop/deny stands again at b.yaml:2, which wins as the later one"
    same = side({"a.yaml": POLICY, "b.yaml": POLICY})
    assert same.where[same.objects[KEY]] == ("b.yaml", 1)
    assert len(same.notes) == 1


def test_policies_of_different_groups_are_different_objects():
    text = "".join(
        f"---\napiVersion: {version}\nkind: NetworkPolicy\nmetadata: {{name: a}}\n"
        for version in ("networking.k8s.io/v1", "projectcalico.org/v3", "extensions/v1beta1")
    )
    snapshot = side(text)
    assert [key[0] for key in snapshot.objects] == [
        "NetworkPolicy.extensions", "NetworkPolicy.networking.k8s.io", "NetworkPolicy.projectcalico.org",
    ]  # fmt: skip
    assert len(snapshot.by_kind("NetworkPolicy")) == 3
    both = side(text + "---\napiVersion: crd.projectcalico.org/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n")
    assert len(both.objects) == 3


def test_namespaces_declared_and_implied():
    snapshot = side(
        POLICY
        + """\
---
apiVersion: v1
kind: Namespace
metadata:
  name: team
  labels: {env: prod, kubernetes.io/metadata.name: lie, empty: }
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: all, namespace: nonsense}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
"""
    )
    namespaces = snapshot.namespaces
    assert list(namespaces) == ["default", "shop", "team"]
    assert namespaces["team"].labels == {"env": "prod", "kubernetes.io/metadata.name": "team", "empty": ""}
    assert namespaces["team"].object is not None
    assert namespaces["shop"] == ("shop", {"kubernetes.io/metadata.name": "shop"}, None)
    assert ("AdminNetworkPolicy.policy.networking.k8s.io", "", "all") in snapshot.objects


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\n",
        "- a\n- b\n",
        "just words",
        "3",
        "kind: Kustomization\nresources: [a.yaml]\n",
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: a\n",
        "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
        "replicas: 1\nreplicas: 2\n",
        "kind: thing\nmetadata: 1\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '{{ .Values.x }}', y: '${Y}'}\n",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {{ .Release.Name }}\n",
        "x: {{ foo }}\n",
        "on: push\njobs: {a: {env: {K: '${{ secrets.K }}'}}}\n",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: '${NAME}'}\n",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: 3}\n",
        "apiVersion: example.com/v1\nkind: Thing\nspec: {}\n",
    ],
)
def test_what_is_no_manifest_of_ours_is_ignored(text):
    snapshot = side(text)
    assert reasons(snapshot) == []
    assert not snapshot.workloads
    assert not [key for key in snapshot.objects if key[0].startswith(("Kust", "Thing"))]


def test_unknown_objects_and_configurations_are_kept():
    snapshot = side(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: gen}\nspec: {x: '{{ request.object }}'}\n"
        "---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {podSubnet: 10.1.0.0/16}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\n"
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c}\n"
    )
    assert list(snapshot.objects) == [
        ("CiliumNetworkPolicy.cilium.io", "default", "c"),
        ("ClusterConfiguration.kubeadm.k8s.io", "", ""),
        ("ClusterPolicy.kyverno.io", "", "gen"),
        ("ConfigMap", "kube-system", "cilium-config"),
    ]
    assert reasons(snapshot) == []


def test_what_cannot_be_read_is_named_and_the_rest_counts():
    snapshot = side(
        {
            "a.yaml": POLICY
            + "---\napiVersion: v1\nkind: Service\n  metadata: x\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n",
            "b.yaml": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: a\n  name: b\n",
        }
    )
    assert KEY in snapshot.objects
    assert [workload.name for workload in snapshot.workloads] == ["p"]
    assert reasons(snapshot) == [
        "a.yaml:8-8 not YAML: mapping values are not allowed in this context",
        'b.yaml:5-5 the key "name" is set twice, first at line 4 of the document',
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("kind: NetworkPolicy\nmetadata: {name: a}\n", 1, "NetworkPolicy: apiVersion is missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {namespace: a}\n", 3, "Service: metadata.name is missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: 3}\n", 3, "Service: metadata.name is no name"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: n}\n", 3, "Service a: metadata.namespace is no name"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: y}\n", 3, "Service: metadata.name is no name"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a/b}\n", 3, "Service a/b: metadata.name is no name"),
        ("apiVersion: v1\nkind: Service\n", 1, "Service: metadata is missing"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: [b]}\n", 3, "Service a: metadata.namespace is no name"),
        ("apiVersion: template.openshift.io/v1\nkind: Template\nobjects: []\n", 1,
         "an OpenShift Template, whose objects stand only when it is processed"),
    ],
)  # fmt: skip
def test_malformed_objects_are_absent_and_named(text, line, reason):
    snapshot = side(text)
    [unread] = snapshot.unread
    assert unread.lines is not None
    assert (unread.lines[0], unread.reason) == (line, reason)
    assert snapshot.objects == {}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ("labels: {x: y}", "the label x is the boolean true, not a string: quote it"),
        ("labels: {x: 1.5}", "the label x is the number 1.5, not a string: quote it"),
        ("labels: {x: {}}", "the label x is not a string"),
        ("labels: [x]", "labels must be a map of strings"),
        ("labels: {x: 'a b'}", "the label x: a b is not valid"),
        ("labels: {'x y': b}", "the label x y: b is not valid"),
        ("annotations: {x: true}", "the annotation x is the boolean true, not a string: quote it"),
        ("annotations: x", "annotations must be a map of strings"),
    ],
)
def test_labels_and_annotations_are_maps_of_strings(metadata, reason):
    snapshot = side(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, {metadata}}}\n")
    assert [(unread.lines, unread.reason) for unread in snapshot.unread] == [((3, 3), f"Namespace a: {reason}")]
    assert snapshot.namespaces == {}


def test_a_policy_with_a_name_that_is_refused_is_evaluated_and_named():
    snapshot = side("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: deny all\n")
    assert [obj.name for obj in snapshot.objects.values()] == ["deny all"]
    assert [(note.file, note.lines, note.text) for note in snapshot.notes] == [
        ("f.yaml", (4, 4), "NetworkPolicy deny all: the API server refuses such a name")
    ]


# --- Templating ---


WHOLE = "unresolved templating: a template, not a manifest"
IN = "unresolved templating in"
DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("apiVersion: v1\nkind: Service\nmetadata:\n  name: {{ .Values.name }}\n", 4, WHOLE),
        ("{{- if .Values.on }}\napiVersion: v1\nkind: NetworkPolicy\n{{- end }}\n", 1, WHOLE),
        ('{{ include "common.netpol" . }}\n', 1, WHOLE),
        (POLICY.replace("shop", "${NAMESPACE}"), 3, WHOLE),
        (POLICY.replace("shop", "'${NAMESPACE}'"), 3, f"NetworkPolicy deny: {IN} metadata.namespace"),
        (
            POLICY.replace("podSelector: {}", "podSelector: {matchLabels: {app: '{{ name }}'}}"),
            4,
            f"NetworkPolicy deny: {IN} spec.podSelector.matchLabels.app",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  selector:\n    '{{ k }}': v\n",
            6,
            f"Service a: {IN} spec.selector.{{{{ k }}}}",
        ),
        (
            DEPLOYMENT + "    metadata:\n      labels: {app: '${APP}'}\n",
            7,
            f"Deployment a: {IN} spec.template.metadata.labels.app",
        ),
        (
            DEPLOYMENT + "    spec:\n      containers:\n      - ports:\n        - containerPort: '${PORT}'\n",
            9,
            f"Deployment a: {IN} spec.template.spec.containers.0.ports.0.containerPort",
        ),
    ],
)
def test_templating_that_can_matter_is_named(text, line, reason):
    snapshot = side(text)
    assert [(unread.lines, unread.reason) for unread in snapshot.unread] == [((line, line), reason)]
    assert not snapshot.objects
    assert not snapshot.workloads


@pytest.mark.parametrize(
    "text",
    [
        "# {{ said }}\n" + POLICY,
        POLICY.replace("namespace: shop", "namespace: shop, annotations: {note: '{{ x }} ${Y}'}"),
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\nspec: {rules: [{host: '${HOST}'}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {}\nstatus: {x: '{{ y }}'}\n",
        DEPLOYMENT + "    spec: {containers: [{image: 'x:${TAG}', args: ['{{ x }}']}]}\n",
    ],
)
def test_templating_that_cannot_matter_is_none(text):
    snapshot = side(text)
    assert reasons(snapshot) == []
    assert len(snapshot.objects) + len(snapshot.workloads) == 1


def test_the_collector_is_left_as_it_was():
    side(POLICY)
    assert gc.isenabled()
    gc.disable()
    try:
        side(POLICY)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("broken", ["a: [", "- b: 'c", "\tx: 1"])
def test_what_does_not_parse_counts_in_a_file_of_kubernetes_objects(broken):
    assert reasons(side({"a.yaml": f"{POLICY}---\n{broken}\n"})) != []
    found = side({"a.yaml": f"{broken}\n---\n{POLICY}", "b.yaml": f"a: 1\n---\n{broken}\n"})
    assert [(row.file, row.lines) for row in found.unread] == [("a.yaml", found.unread[0].lines)]
    assert KEY in found.objects
