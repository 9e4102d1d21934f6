"""What manifests do not say of a Cilium cluster is named where paths rest on it (pkg/identity/reserved.go, pkg/fqdn)."""

from __future__ import annotations

from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.reachability.analysis import compare, open_paths
from tests.policies.cilium.worlds import PODS, cnp
from tests.policies.worlds import snapshot

HOST = "apiVersion: v1\nkind: Pod\nmetadata: {name: agent, namespace: shop}\nspec: {hostNetwork: true, containers: [{name: c}]}\n---\n"
NOBODY = cnp("{endpointSelector: {}, egress: [{}]}")
SOME = cnp(
    "{endpointSelector: {}, egress: [{toEntities: [kube-apiserver]}, {toFQDNs: [{matchName: a.example}]}, {toEntities: [remote-node]}]}"
)


def _ids(text: str, apiserver: str | None = None) -> set[str]:
    side = snapshot(text)
    found = open_paths(side, lower(side, side, "cilium", apiserver=apiserver))
    assert {name for path in found.paths for name in path.because} <= {one.id for one, _ in found.assumptions}
    return {one.id for one, _ in found.assumptions}


def test_what_paths_rest_on_is_named() -> None:
    assert _ids(PODS + SOME) == {"kube-apiserver", "fqdn-addresses"}
    assert _ids(PODS + SOME, "node") == _ids(PODS + SOME, "external") == {"fqdn-addresses"}
    assert _ids(PODS + HOST + SOME) == {"kube-apiserver", "fqdn-addresses", "host-network"}


def test_a_review_counts_the_paths_that_changed() -> None:
    reader = Reader()
    base, head = snapshot(PODS + NOBODY, reader), snapshot(PODS + SOME, reader)
    found = compare(base, head, lower(base, head, "cilium"), pairs=True)
    assert found.pairs is not None
    for assumption, count in found.assumptions:
        assert count == sum(pair.destination.startswith(assumption.endpoints) for pair in found.pairs)
    assert {assumption.id for assumption, _ in found.assumptions} == {"kube-apiserver", "fqdn-addresses"}
