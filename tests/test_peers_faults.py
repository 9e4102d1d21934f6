"""Faults that were seen in other tools, each as a test of this one: what they drop in silence or get wrong, we must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main

Run = Callable[..., dict[str, Any]]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}
"""
API = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
"""
DENY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"""


def policy(spec: str, name: str = "p") -> str:
    """A NetworkPolicy in the namespace `shop` with this (flow style) spec."""
    return f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {spec}
"""


def stream(*documents: str) -> str:
    return "---".join(documents)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command over folders made of texts; the document, with the exit code and stderr beside it."""

    def runner(command: str, *texts: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
        folders = []
        for number, text in enumerate(texts):
            folder = tmp_path / f"side{number}"
            folder.mkdir(exist_ok=True)
            (folder / "all.yaml").write_text(text, encoding="utf-8")
            folders.append(str(folder))
        arguments = [command, *(["--dirs"] if command == "diff" else []), *folders]
        pairs = ["--pairs"] if command == "diff" else []
        code = main([*arguments, *pairs, "--pod-cidrs", "none", "--format", "json", *options])
        printed = capsys.readouterr()
        assert printed.out, printed.err
        return {"code": code, "stderr": printed.err, **json.loads(printed.out)}

    return runner


def ports(document: dict[str, Any], source: str, destination: str) -> Any:
    """What is open between two endpoints of a listing; None: nothing."""
    found = [p for p in document["paths"] if (p["from"], p["to"]) == (source, destination)]
    assert all(p.get("certainty") != "possible" for p in found)
    return found[0]["ports"] if found else None


def changed(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the one environment."""
    (environment,) = document["environments"]
    return environment["changes"]


def tcp(first: int, last: int | None = None) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "from": first, "to": last or first}]


# --- What could not be read ---


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ("apiVersion: v1\nkind: {unclosed\n", ""),
        ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: {{ .Values.name }}}\n", ""),
        ("kind: NetworkPolicy\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: a}\n", ""),
    ],
)
def test_one_bad_document_neither_drops_the_file_nor_passes(run: Run, broken: str, word: str) -> None:
    """Seen: the rest of the file dropped, exit 0, and a lost deny policy became "added: internet to a"."""
    found = run("diff", stream(WEB, API, DENY), stream(WEB, "\n" + broken, API, DENY))
    assert changed(found) == []
    assert found["verdict"] == "incomplete"
    assert found["code"] == 3
    (unread,) = found["environments"][0]["incomplete"]
    assert unread["file"] == "all.yaml"
    assert unread["lines"][0] > 1
    assert word in unread["reason"]


def test_what_is_equally_unread_on_both_sides_is_named_but_not_red(run: Run) -> None:
    text = stream(WEB, "\nkind: {unclosed\n", API)
    found = run("diff", text, text)
    assert found["verdict"] == "pass"
    assert found["environments"][0]["coverage"]


@pytest.mark.parametrize(
    "foreign",
    [
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a, namespace: shop}\nspec: {endpointSelector: {}}\n",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: a, namespace: shop}\nspec: {selector: all()}\n",
        "apiVersion: policy.networking.k8s.io/v1alpha9\nkind: NetworkPolicyOfTomorrow\nmetadata: {name: a}\nspec: {}\n",
    ],
)
def test_a_policy_of_another_api_is_never_passed_over_in_silence(run: Run, foreign: str) -> None:
    """Seen: unknown kinds ignored, and Calico's NetworkPolicy read as Kubernetes'."""
    found = run("diff", stream(WEB, API), stream(WEB, API, "\n" + foreign))
    assert found["verdict"] in ("incomplete", "look", "blocked") or changed(found), found


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("{podSelector: {}, ingress: [{ports: [{protocol: tcp, port: 80}]}]}", "tcp"),
        ("{podSelectr: {matchLabels: {app: api}}, policyTypes: [Ingress]}", "podSelectr"),
        ("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}", "11.0.0.0/8"),
        ("{podSelector: {}, ingress: [{ports: [{port: 80, endPort: 79}]}]}", "endPort"),
        ("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/99}}]}]}", "10.0.0.0/99"),
        ("{podSelector: {}, ingress: [{from: [{}]}]}", ""),
        ("{podSelector: {}, policyTypes: [ingress]}", "ingress"),
    ],
)
def test_what_the_api_server_would_refuse_is_named(run: Run, spec: str, word: str) -> None:
    found = run("diff", stream(WEB, API), stream(WEB, API, policy(spec)))
    assert found["code"] == 3
    reasons = found["environments"][0]["incomplete"]
    assert any(word in reason["reason"] for reason in reasons), reasons
    assert all(reason["file"] == "all.yaml" for reason in reasons)


# --- Objects that are there twice, or half ---


def test_the_same_policy_twice_is_said_and_the_last_one_counts(run: Run) -> None:
    """Seen: the run fails, or the first one wins in silence. `kubectl apply` lets the last one win."""
    allow = policy("{podSelector: {}, ingress: [{}]}", "deny")
    found = run("list", stream(WEB, API, DENY, allow))
    assert ports(found, "shop/web", "shop/api") == "all"
    assert ports(run("list", stream(WEB, API, allow, DENY)), "shop/web", "shop/api") is None


def test_the_same_namespace_twice_is_no_failure(run: Run) -> None:
    space = "\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {env: LABEL}}\n"
    only = policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {env: prod}}}]}]}")
    text = stream(space.replace("LABEL", "dev"), space.replace("LABEL", "prod"), WEB, API, only)
    assert ports(run("list", text), "shop/web", "shop/api") == "all"


def test_two_workloads_of_one_name_and_two_kinds_are_two(run: Run) -> None:
    found = run("list", stream(WEB, API, WEB.replace("Deployment", "StatefulSet")))
    assert {"shop/Deployment/web", "shop/StatefulSet/web"} <= {*found["endpoints"]}
    assert ports(found, "shop/StatefulSet/web", "shop/Deployment/web") == "all"


@pytest.mark.parametrize(
    "odd",
    [
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: shop}\nspec: {rules: [{host: a.example}]}\n",
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: rc, namespace: shop}\nspec: {replicas: 1}\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: shop}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {}\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\n",
        "apiVersion: v1\nkind: List\nitems: [null, {}, {kind: Pod}]\n",
    ],
)
def test_half_an_object_is_no_panic(run: Run, odd: str) -> None:
    found = run("list", stream(WEB, API, "\n" + odd))
    assert found["code"] in (0, 3), found["stderr"]
    assert ports(found, "shop/web", "shop/api") == "all"


# --- Ports ---


def test_an_egress_rule_with_a_named_port_and_no_peers(run: Run) -> None:
    """Seen: a fatal error. The name is each destination's own."""
    found = run(
        "list", stream(WEB, API, policy("{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"))
    )
    assert ports(found, "shop/web", "shop/api") == tcp(8080)
    assert ports(found, "shop/api", "shop/web") is None
    assert not [p for p in found["paths"] if p["from"] == "shop/web" and p["to"].startswith("internet")]


def _only_http(containers: str, protocol: str = "TCP") -> str:
    api = API.replace("containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]", containers)
    rule = f"{{podSelector: {{}}, ingress: [{{ports: [{{protocol: {protocol}, port: http}}]}}]}}"
    return stream(WEB, api, policy(rule))


def test_named_ports_of_sidecars_count(run: Run) -> None:
    sidecar = (
        "initContainers: [{name: s, image: i, restartPolicy: Always, ports: [{name: http, containerPort: 15001}]}],"
        " containers: [{name: c, image: i}]"
    )
    assert ports(run("list", _only_http(sidecar)), "shop/web", "shop/api") == tcp(15001)


def test_a_port_name_goes_with_its_protocol(run: Run) -> None:
    """Seen: the first container with the name wins, whatever its protocol."""
    two = (
        "containers: [{name: a, image: i, ports: [{name: http, containerPort: 80, protocol: UDP}]},"
        " {name: b, image: i, ports: [{name: http, containerPort: 8080, protocol: TCP}]}]"
    )
    assert ports(run("list", _only_http(two)), "shop/web", "shop/api") == tcp(8080)
    assert ports(run("list", _only_http(two, "UDP")), "shop/web", "shop/api") == [{**tcp(80)[0], "protocol": "UDP"}]


def test_a_udp_port_behind_an_ingress_is_not_tcp(run: Run) -> None:
    service = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{port: 80, protocol: UDP, targetPort: 8080}]}
"""
    ingress = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: shop}
spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}
"""
    found = run("list", stream(WEB, API, service, ingress))
    assert ports(found, "ingress:shop/i", "shop/api") is None
    found = run("list", stream(WEB, API, service.replace("UDP", "TCP"), ingress))
    assert ports(found, "ingress:shop/i", "shop/api") == tcp(8080)


def test_egress_80_and_ingress_443_have_no_common_port(run: Run) -> None:
    text = stream(
        WEB,
        API,
        policy("{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}", "a"),
        policy("{podSelector: {matchLabels: {app: api}}, ingress: [{ports: [{port: 443}]}]}", "b"),
    )
    assert ports(run("list", text), "shop/web", "shop/api") is None


# --- Selectors and addresses ---


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("{matchExpressions: [{key: tier, operator: NotIn, values: [db]}]}", True),
        ("{matchExpressions: [{key: app, operator: NotIn, values: [web]}]}", False),
        ("{matchLabels: {tier: ''}}", False),
        ("{matchExpressions: [{key: tier, operator: DoesNotExist}]}", True),
        ("{matchExpressions: [{key: app, operator: Exists}]}", True),
        ("{matchExpressions: [{key: app, operator: In, values: [db]}]}", False),
    ],
)
def test_selectors_and_absent_keys(run: Run, selector: str, allowed: bool) -> None:
    """Seen: NotIn fails on an absent key; an empty value matches an absent key; matchExpressions ignored."""
    rule = policy(f"{{podSelector: {{matchLabels: {{app: api}}}}, ingress: [{{from: [{{podSelector: {selector}}}]}}]}}")
    assert (ports(run("list", stream(WEB, API, rule)), "shop/web", "shop/api") == "all") is allowed


def test_ipv6_is_not_ipv4(run: Run) -> None:
    """Seen: ::/0 read as 0.0.0.0/0."""
    found = run("list", stream(WEB, policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]}")))
    sources = [found["endpoints"][p["from"]] for p in found["paths"] if p["to"] == "shop/web"]
    cidrs = [cidr for facts in sources for cidr in facts.get("cidrs", [])]
    assert cidrs == ["::/0"]


def test_a_pod_reaches_itself(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = tmp_path / "wanted.yaml"
    wanted.write_text("expectations: [{from: shop/web, to: shop/web, port: 80, self: true, expect: allow}]", "utf-8")
    manifests = tmp_path / "all.yaml"
    manifests.write_text(stream(WEB, API, DENY), encoding="utf-8")
    assert main(["verify", str(wanted), str(manifests)]) == 0


def test_a_host_network_pod_is_not_shown_as_protected(run: Run) -> None:
    host = API.replace("spec: {containers", "spec: {hostNetwork: true, containers")
    found = run("list", stream(WEB, host, policy("{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress]}")))
    assert ports(found, "shop/web", "shop/api") == "all"


# --- Admin policies ---


def _admin(name: str, action: str, peer: str = "{namespaces: {}}", priority: int = 5) -> str:
    return f"""
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {{name: {name}}}
spec: {{priority: {priority}, subject: {{namespaces: {{}}}}, egress: [{{action: {action}, to: [{peer}]}}]}}
"""


def test_admin_policies_of_one_priority_that_disagree_are_possible(run: Run) -> None:
    found = run("list", stream(WEB, API, _admin("a", "Allow"), _admin("b", "Deny")))
    (path,) = [p for p in found["paths"] if (p["from"], p["to"]) == ("shop/web", "shop/api")]
    assert path["certainty"] == "possible"
    assert path["because"]


def test_domain_names_are_no_failure(run: Run) -> None:
    found = run("list", stream(WEB, API, _admin("a", "Allow", "{domainNames: ['*.example.com']}")))
    assert found["code"] in (0, 3)
    assert ports(found, "shop/web", "shop/api") == "all"


# --- The diff ---


def test_a_removed_workload_is_not_lost_paths_between_those_that_stay(run: Run) -> None:
    found = run("diff", stream(WEB, API, WEB.replace("name: web", "name: old")), stream(WEB, API))
    rows = changed(found)
    assert rows
    for row in rows:
        assert "shop/old" in row["from"] or "shop/old" in row["to"]
    (environment,) = found["environments"]
    assert environment["totals"] == {**environment["totals"], "opened": 0, "closed": 0, "changed": 0}


def test_a_change_that_alters_nothing_says_so(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seen: an empty comment."""
    found = run("diff", stream(WEB, API), stream(API, "\n# moved\n" + WEB))
    assert changed(found) == []
    assert found["verdict"] == "pass"
    assert main(["diff", "--dirs", str(tmp_path / "side0"), str(tmp_path / "side1"), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("command", ["diff", "list"])
def test_the_same_bytes_whatever_the_hash_seed(tmp_path: Path, command: str) -> None:
    """Seen: output that changes with the hash seed, and a sticky comment that flaps."""
    rules = [
        policy(
            f"{{podSelector: {{matchLabels: {{app: {app}}}}}, ingress: [{{from: [{{podSelector: {{}}}}, {{namespaceSelector: {{}}}}]}}]}}",
            app,
        )
        for app in ("web", "api", "other", "more")
    ]
    for name, text in (("base", stream(WEB, API, DENY)), ("head", stream(WEB, API, *rules))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.yaml").write_text(text, encoding="utf-8")
    arguments = ["diff", "--dirs", "base", "head", "--pairs", "--exit-zero"] if command == "diff" else ["list", "head"]
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        ran = subprocess.run(
            [sys.executable, "-m", "bot", *arguments, "--format", "json"],
            cwd=tmp_path, env=environment, capture_output=True, check=True,
        )  # fmt: skip
        outputs.add(ran.stdout)
    assert len(outputs) == 1
    assert json.loads(outputs.pop())


def test_icmp_type_0_is_not_every_icmp() -> None:
    from bot.gate.expectations import parse

    text = b"expectations: [{from: a/b, to: c/d, protocol: ICMP, icmpType: 0, expect: allow}]"
    assert parse("e.yaml", text)[0].icmp_type == 0
    assert parse("e.yaml", text.replace(b"icmpType: 0, ", b""))[0].icmp_type is None
