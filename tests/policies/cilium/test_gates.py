"""The two gates: what the API server's schema refuses, and what the agent refuses of what is stored (it fails open)."""

from __future__ import annotations

import pytest

from bot.policies.cilium.ports import number
from tests.policies.cilium.worlds import ccnp, cnp, lowered, problems

HTTP = "[{ports: [{port: '80', protocol: TCP}], rules: {http: [%s]}}]"
DNS = "[{ports: [{port: '53', protocol: ANY}], rules: {dns: [%s]}}]"


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("ingress: {}", "must be a list"),
        ("ingress: [null]", "must be a mapping, and is null"),
        ("ingress: [{fromEndpoints: [{matchLabels: {app: 1}}]}]", "a label value must be text, and is the number 1"),
        ("ingress: [{fromEndpoints: [{matchLabels: {app: 'a b'}}]}]", "is no label value"),
        ("ingress: [{fromEndpoints: [{matchExpressions: [{key: a}]}]}]", "operator is required"),
        ("ingress: [{fromEndpoints: [{matchExpressions: [{key: a, operator: Equals}]}]}]", "is not one of"),
        ("ingress: [{fromEntities: [nobody]}]", "'nobody' is not one of all, cluster"),
        ("ingress: [{fromCIDR: [203.0.113.7]}]", "a single address needs its /32"),
        ("ingress: [{fromCIDR: [010.0.0.0/8]}]", "is not a CIDR"),
        ("ingress: [{fromRequires: [{}]}]", "was removed in Cilium 1.20"),
        ("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: a}]}]", "exactly one of cidr"),
        ("ingress: [{toPorts: [{ports: [{port: 80}]}]}]", "must be text, and is the number 80: quote it"),
        ("ingress: [{toPorts: [{ports: [{port: '80', protocol: tcp}]}]}]", "'tcp' is not one of"),
        ("ingress: [{toPorts: [{ports: [{port: '80', endPort: 70000}]}]}]", "from 0 to 65535"),
        ("ingress: [{toPorts: [{ports: [" + "{port: '1'}," * 41 + "]}]}]", "41, where 40 is the most"),
        ("ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {}}]}]", "exactly one of http, dns"),
        ("egress: [{toFQDNs: [{matchName: a, matchPattern: b}]}]", "exactly one of matchName"),
        ("egress: [{toFQDNs: [{matchName: 'a b'}]}]", "is not a DNS name"),
        ("ingress: [{icmps: [{fields: [{type: Nonsense}]}]}]", "neither an ICMP type"),
        ("enableDefaultDeny: {ingress: 'no'}, ingress: [{}]", "must be true or false"),
        ("description: x", "at least one of ingress"),
    ],
)
def test_what_the_schema_refuses(rest: str, reason: str) -> None:
    ((found, refused), *_) = problems(cnp("{endpointSelector: {}, " + rest + "}"))
    assert reason in found
    assert refused
    assert "fails open" not in found


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("ingress: []", "rule must have at least one of Ingress"),
        ("ingress: [{fromEndpoints: [{}], fromEntities: [all]}]", "combining FromEndpoints and FromEntities"),
        (
            "ingress: [{fromCIDR: [10.0.0.0/8], fromCIDRSet: [{cidr: 10.0.0.0/8}]}]",
            "combining FromCIDR and FromCIDRSet",
        ),
        ("egress: [{toFQDNs: [{matchName: a.io}], toCIDR: [10.0.0.0/8]}]", "combining ToCIDR and ToFQDNs"),
        ("ingress: [{fromNodes: [{}]}]", "enable-node-selector-labels"),
        ("ingress: [{icmps: [{fields: [{type: 8}]}], toPorts: [{ports: [{port: '80'}]}]}]", "without ToPorts"),
        ("ingress: [{icmps: [{fields: [{type: PacketTooBig}]}]}]", "not found in IPv4"),
        ("ingress: [{toPorts: [{ports: [{protocol: TCP}]}]}]", "port must be specified"),
        ("ingress: [{toPorts: [{ports: [{port: '99999'}]}]}]", "unable to parse port"),
        ("ingress: [{toPorts: [{ports: [{port: '80', protocol: GRE}]}]}]", "port must be empty or 0"),
        ("ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: [{}]}}]}]", "not ANY"),
        ("ingress: [{toPorts: [{ports: [{port: '0', protocol: TCP}], rules: {http: [{}]}}]}]", "when a port is 0"),
        ("ingress: [{toPorts: " + HTTP % "{path: '/(a'}" + "}]", "missing closing )"),
        ("ingress: [{toPorts: " + HTTP % "{path: '(?=a)'}" + "}]", "error parsing regexp"),
        ("ingress: [{toPorts: " + DNS % "{matchName: a.io}" + "}]", "not supported on ingress"),
        ("egress: [{toPorts: [{ports: [{port: '53', endPort: 54}], rules: {dns: [{matchName: a}]}}]}]", "port ranges"),
        ("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/8]}]}]", "does not contain"),
        ("ingress: [{fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]}]", "must be specified"),
        ("ingress: [{fromEndpoints: [{matchLabels: {'a b': x}}]}]", "is no label key"),
        (
            "ingress: [{toPorts: [{ports: [{port: '80'}], listener: {name: a, envoyConfig: {name: b}}}]}]",
            "Listener is not allowed on ingress",
        ),
        (
            "egress: [{toPorts: [{ports: [{port: '443', protocol: TCP}], serverNames: [a.io], rules: {http: [{}]}}]}]",
            "ServerNames are not allowed",
        ),
    ],
)
def test_what_the_agent_refuses_is_stored_and_fails_open(rest: str, reason: str) -> None:
    ((found, refused), *_) = problems(cnp("{endpointSelector: {}, " + rest + "}"))
    assert reason in found
    assert refused
    assert "fails open" in found


def test_host_policies() -> None:
    get, names = HTTP % "{}", DNS % "{matchName: a.io}"
    assert "rule cannot have NodeSelector" in problems(cnp("{nodeSelector: {}, ingress: [{}]}"))[0][0]
    assert "host ingress" in problems(ccnp("{nodeSelector: {}, ingress: [{toPorts: " + get + "}]}"))[0][0]
    assert "host egress" in problems(ccnp("{nodeSelector: {}, egress: [{toPorts: " + get + "}]}"))[0][0]
    assert problems(ccnp("{nodeSelector: {}, egress: [{toPorts: " + names + "}]}")) == []


def test_one_bad_rule_spoils_the_object() -> None:
    text = cnp("{endpointSelector: {}, ingress: [{}]}").replace(
        "spec:", "specs: [{endpointSelector: {}, ingress: []}]\nspec:"
    )
    ((reason, refused),) = problems(text)
    assert "at least one of Ingress" in reason
    assert refused


def test_no_rules_at_all() -> None:
    text = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\n"
    assert "empty or missing" in problems(text)[0][0]


@pytest.mark.parametrize("field", ["toFQDNs: [{matchName: a.io}]", "authentication: {mode: required}"])
def test_unknown_fields_are_dropped_by_the_api_server_with_a_note(field: str) -> None:
    ((reason, refused),) = problems(cnp("{endpointSelector: {}, egressDeny: [{" + field + "}]}"))
    assert "which the API server drops" in reason
    assert not refused


def test_null_counts_as_absent() -> None:
    assert (
        problems(cnp("{endpointSelector: {}, nodeSelector: null, ingress: null, egress: [{toEndpoints: null}]}")) == []
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("80", 80), ("0", 0), ("010", 8), ("1_0", 10), ("http", None), ("0x50", None), ("a-b", None), ("65535", 65535)],
)
def test_ports_as_the_agent_reads_them(text: str, expected: int | None) -> None:
    assert number(text) == expected


@pytest.mark.parametrize("text", ["", "65536", "08", "-1", "a--b", "8080/tcp", "a" * 16, "²"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(ValueError, match="port"):
        number(text)


ON_53 = '{ports: [{port: "53", protocol: TCP}], rules: {http: [{method: GET}]}}'
NAMES = '{ports: [{port: "53", protocol: %s}], rules: {dns: [{matchPattern: "*"}]}}'


@pytest.mark.parametrize(
    ("dns", "peers", "refused"),
    [
        ("ANY", ("toEntities: [cluster]", "toEntities: [cluster]"), True),
        ("TCP", ("toEntities: [cluster]", "toEntities: [cluster]"), True),
        ("UDP", ("toEntities: [cluster]", "toEntities: [cluster]"), False),
        ("ANY", ("toEntities: [cluster]", "toEntities: [world]"), False),
    ],
)
def test_6_5_http_and_dns_rules_on_one_port(dns: str, peers: tuple[str, str], refused: bool) -> None:
    rules = f"[{{{peers[0]}, toPorts: [{ON_53}]}}, {{{peers[1]}, toPorts: [{NAMES % dns}]}}]"
    found = lowered(cnp(f"{{endpointSelector: {{}}, egress: {rules}}}"))
    assert [problem.refused for problem in found.problems_head] == ([True] if refused else [])
    if refused:
        assert "conflicting L7 parsers" in found.problems_head[0].reason
        assert [policy for policy in found.head.policies if policy.object is not None] == []
