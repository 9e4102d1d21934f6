"""The audit: what isolates a namespace in each direction, whatever the API, and what a change does to it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bot import cli
from bot.gate.audit import Audited
from bot.report import json as as_json
from bot.review import Place, Settings, audit
from tests.gate.cases import ANYONE, SHOP, deny, ingress, one, policy, review, workload

DNS = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}"


def audited(root: Path, text: str, **asked: object) -> dict[str, Audited]:
    (root / "all.yaml").write_text(text)
    found = audit(Place(str(root)), Settings()._replace(**asked))  # type: ignore[arg-type]
    return {row.namespace: row for row in found.namespaces}


def test_a_default_deny_is_ok_in_both_directions(tmp_path: Path) -> None:
    found = audited(tmp_path, SHOP + deny("shop") + ingress("shop", "open", "web", ANYONE))["shop"]
    assert (found.status, found.ingress.status, found.egress.status) == ("OK", "OK", "OK")
    assert found.ingress.default_deny == ("NetworkPolicy shop/default-deny",)
    assert found.unprotected == ()


def test_nothing_is_fail(tmp_path: Path) -> None:
    found = audited(tmp_path, SHOP)["shop"]
    assert (found.status, found.ingress.status, found.egress.status) == ("FAIL", "FAIL", "FAIL")
    assert found.unprotected == ("shop/cart", "shop/web")


def test_a_gap_is_warn_and_lists_the_workloads(tmp_path: Path) -> None:
    found = audited(tmp_path, SHOP + ingress("shop", "web", "web", ANYONE))["shop"]
    assert (found.status, found.ingress.status, found.egress.status) == ("WARN", "WARN", "FAIL")
    assert found.ingress.unprotected == ("shop/cart",)


def test_every_workload_isolated_is_ok_without_a_default_deny(tmp_path: Path) -> None:
    text = SHOP + ingress("shop", "a", "web", ANYONE) + ingress("shop", "b", "cart", ANYONE)
    found = audited(tmp_path, text)["shop"]
    assert (found.ingress.status, found.ingress.default_deny) == ("OK", ())


def test_allow_dns_is_not_a_default_deny(tmp_path: Path) -> None:
    found = audited(tmp_path, SHOP + policy("shop", "allow-dns", DNS))["shop"]
    assert found.ingress.status == "FAIL"
    assert found.egress.default_deny == ()
    assert found.status == "WARN"


def test_every_api_counts(tmp_path: Path) -> None:
    cilium = """---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: deny}
spec: {endpointSelector: {}, ingress: [{}], egress: [{}]}
"""
    found = audited(tmp_path, SHOP + cilium, cni="cilium")["shop"]
    assert (found.ingress.status, found.egress.status) == ("OK", "OK")
    calico = """---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: deny}
spec: {namespaceSelector: kubernetes.io/metadata.name == 'shop', types: [Ingress]}
"""
    found = audited(tmp_path, SHOP + workload("other", "x") + calico, cni="calico")["shop"]
    assert (found.ingress.status, found.egress.status) == ("OK", "FAIL")
    assert audited(tmp_path, SHOP + workload("other", "x") + calico, cni="calico")["other"].status == "FAIL"


def test_a_cni_that_enforces_nothing_fails(tmp_path: Path) -> None:
    assert audited(tmp_path, SHOP + deny("shop"), cni="flannel")["shop"].status == "FAIL"


def test_pods_on_the_host_network_are_nobodys_gap(tmp_path: Path) -> None:
    host = workload("shop", "agent", kind="DaemonSet").replace(
        "      containers:", "      hostNetwork: true\n      containers:"
    )
    found = audited(tmp_path, host + deny("shop"))["shop"]
    assert (found.status, found.workloads) == ("OK", 0)


def test_what_a_change_does_to_it(tmp_path: Path) -> None:
    found = one(review(tmp_path, "version: 1\n", SHOP + deny("shop"), SHOP))
    assert [
        (row.namespace, row.before and row.before.status, row.after and row.after.status) for row in found.audit
    ] == [("shop", "OK", "FAIL")]
    assert one(review(tmp_path / "b", "version: 1\n", SHOP, SHOP)).audit == ()


@pytest.mark.parametrize("name", ["text", "markdown", "json", "csv"])
def test_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "all.yaml").write_text(SHOP + workload("safe", "x") + deny("safe"))
    assert cli.main(["audit", str(tmp_path), "--format", name]) == 0
    out = capsys.readouterr().out
    assert "safe" in out
    assert "FAIL" in out
    if name == "json":
        schema = Path(as_json.__file__).parents[1] / "schemas" / "audit.json"
        jsonschema.validate(json.loads(out), json.loads(schema.read_text()))
    assert cli.main(["audit", str(tmp_path), "--fail-on", "fail", "--quiet"]) == 1


def test_what_is_looked_at_is_all_that_differs(tmp_path: Path) -> None:
    """The review looks at the namespaces that can differ; the whole audit of both sides differs in no other."""
    wide = """---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: deny}
spec: {endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}
"""
    before = SHOP + workload("a", "x") + workload("b", "x") + deny("a") + ingress("b", "i", "x", ANYONE)
    for number, (after, cni) in enumerate(
        (
            (before + workload("b", "new"), "kubernetes"),
            (before.replace("namespace: a}\nspec: {podSelector", "namespace: b}\nspec: {podSelector"), "kubernetes"),
            (before + wide, "cilium"),
            (before + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: empty}\n", "kubernetes"),
        )
    ):
        folder = tmp_path / str(number)
        found = one(review(folder, "version: 1\n", before, after, cni=cni))
        sides = [
            {row.namespace: row for row in audit(Place(str(folder / side)), Settings(cni=cni)).namespaces}
            for side in ("base", "head")
        ]
        assert found.audit
        changed = {row.namespace for row in found.audit}
        for name in {*sides[0], *sides[1]}:
            rows = [side[name] for side in sides if name in side]
            both = [(row.ingress.status, row.egress.status, row.unprotected) for row in rows]
            assert (len(both) != 2 or both[0] != both[1]) <= (name in changed), (number, name)
