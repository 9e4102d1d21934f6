"""Sections 2 to 5 of the semantics: isolation, peers, ports, precedence; and what each becomes in the model."""

from __future__ import annotations

import pytest

from bot.policies import l7
from bot.policies.cilium.ports import UNIVERSE
from bot.policies.dns_rules import DnsRule
from bot.policies.http_rules import HttpRule
from bot.policies.model import EVERYTHING, InAddresses, InNamespace, Isolation, Maybe, Or, Origin
from bot.policies.traffic import ICMP, ports
from tests.policies.cilium.worlds import PODS, ccnp, cnp, lowered, policy, problems, rules, verdict
from tests.policies.worlds import words

SHOP = InNamespace("shop")
API = "endpointSelector: {matchLabels: {app: api}}"
WEB = "endpointSelector: {matchLabels: {app: web}}"


def isolated(spec: str) -> list[str]:
    return [s.checkpoint for s in policy(cnp("{endpointSelector: {}, " + spec + "}")).sections if s.isolates]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("ingress: [{}]", ["ingress"]),
        ("egress: [{}]", ["egress"]),
        ("ingress: [], egress: [{}]", ["egress"]),
        ("ingressDeny: [{}]", ["ingress"]),
        ("ingress: [{fromEndpoints: []}]", ["ingress"]),
        ("ingress: [{}], enableDefaultDeny: {ingress: false}", []),
        ("ingress: [{}], enableDefaultDeny: {egress: true}", ["ingress"]),
        ("ingress: [{}], egress: [{}], enableDefaultDeny: {egress: false}", ["ingress"]),
        ("ingress: [{}], ingressDeny: [{fromEntities: [world]}]", ["ingress", "ingress"]),
    ],
)
def test_2_what_isolates(spec: str, expected: list[str]) -> None:
    assert isolated(spec) == expected


def test_2_denies_come_before_allows() -> None:
    found = policy(
        cnp("{endpointSelector: {}, ingress: [{fromEntities: [all]}], ingressDeny: [{fromEndpoints: [{}]}]}")
    )
    assert [(s.rank, [r.action for r in s.rules]) for s in found.sections] == [((0,), ["deny"]), ((1,), ["allow"])]
    assert {s.tier for s in found.sections} == {"Cilium"}


def test_origins() -> None:
    text = cnp("{endpointSelector: {}, ingress: [{fromEndpoints: [{}, {matchLabels: {app: web}}]}]}")
    found = policy(text)
    (section,) = found.sections
    assert section.isolates == (Isolation(EVERYTHING, SHOP, Origin(found.object, ("spec", "ingress"))),)
    assert [r.origin.path for r in section.rules] == [("spec", "ingress", 0, "fromEndpoints", i) for i in (0, 1)]
    assert (found.title, ccnp_title()) == ("CiliumNetworkPolicy shop/p", "CiliumClusterwideNetworkPolicy p")


def ccnp_title() -> str:
    return policy(ccnp("{endpointSelector: {}, ingress: [{}]}")).title


def test_specs_are_rules_of_their_own() -> None:
    text = cnp("{endpointSelector: {}, ingress: [{}]}").replace(
        "spec:", "specs: [{endpointSelector: {}, egress: [{toEntities: [all]}]}]\nspec:"
    )
    found = policy(text)
    assert [s.checkpoint for s in found.sections] == ["ingress", "egress"]
    assert found.sections[1].rules[0].origin.path == ("specs", 0, "egress", 0, "toEntities", 0)


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("{}", 0),
        ("{toPorts: [{ports: [{port: '80'}]}]}", 1),
        ("{fromEndpoints: []}", 0),
        ("{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}", 0),
        ("{fromEntities: []}", 0),
        ("{fromCIDR: [], toPorts: [{ports: [{port: '80'}]}]}", 0),
        ("{fromEndpoints: [{}], toPorts: [{}]}", 0),
        ("{fromEndpoints: [{}], toPorts: [{ports: []}]}", 0),
        ("{fromEndpoints: [{}], toPorts: []}", 1),
        ("{fromEndpoints: [{}], icmps: [{fields: []}]}", 0),
        ("{icmps: [{fields: [{type: 8}]}]}", 1),
        ("{fromEndpoints: [{}], fromCIDR: null}", 1),
    ],
)
def test_3_1_and_4_2_who_is_meant_by_nothing(rule: str, count: int) -> None:
    assert len(rules(cnp("{endpointSelector: {}, ingress: [" + rule + "]}"))) == count


def test_3_2_fails_open() -> None:
    at = "toPorts: [{ports: [{port: '80', protocol: TCP}]}]"
    (rule,) = rules(cnp("{endpointSelector: {}, egress: [{toFQDNs: [], " + at + "}]}"), "egress")
    assert rule.destination == EVERYTHING
    absent = cnp("{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: gone}}], " + at + "}]}")
    ((reason, refused),) = problems(absent)
    assert "every destination on those ports" in reason
    assert not refused
    assert lowered(absent).head.policies[0].sections[0].rules[0].destination == EVERYTHING
    alone = cnp("{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: gone}}]}]}")
    assert lowered(alone).head.policies[0].sections[0].rules == ()


SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: data, namespace: data, labels: {expose: 'yes'}}
spec: {selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside, namespace: shop}
subsets: [{addresses: [{ip: 203.0.113.7}, {ip: no address}]}]
---
"""


@pytest.mark.parametrize(
    ("service", "db", "outside"),
    [
        ("k8sService: {serviceName: data, namespace: data}", "allow", "deny"),
        ("k8sService: {serviceName: data}", "allow", "deny"),
        ("k8sService: {serviceName: outside, namespace: shop}", "deny", "allow"),
        ("k8sServiceSelector: {selector: {matchLabels: {expose: 'yes'}}}", "allow", "deny"),
        ("k8sServiceSelector: {selector: {}}", "allow", "allow"),
    ],
)
def test_3_6_services(service: str, db: str, outside: str) -> None:
    text = PODS + SERVICES + cnp("{" + WEB + ", egress: [{toServices: [{" + service + "}]}]}")
    assert verdict(text, "shop/web", "data/db") == db
    assert verdict(text, "shop/web", "ip:203.0.113.7") == outside


def test_3_4_cidrs_never_match_pods_or_nodes() -> None:
    node = "apiVersion: v1\nkind: Node\nmetadata: {name: n2}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.2}]}\n---\n"
    text = PODS + node + cnp("{" + API + ", ingress: [{fromCIDR: [0.0.0.0/0]}]}")
    assert verdict(text, "data/db", "shop/api") == "deny"
    assert verdict(text, "node:n2", "shop/api") == "deny"
    assert verdict(text, "ip:10.0.0.2", "shop/api") == "deny"
    assert verdict(text, "ip:10.0.0.3", "shop/api") == "allow"
    assert verdict(text, "entity:world", "shop/api") == "allow"


def test_3_4_a_zero_prefix_holds_what_no_one_knows() -> None:
    (rule,) = rules(cnp("{endpointSelector: {}, ingress: [{fromCIDRSet: [{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}]}]}"))
    assert isinstance(rule.source, Or)
    assert isinstance(rule.source.parts[0], InAddresses)
    assert not rule.source.parts[0].pods
    narrow = "{" + WEB + ", egress: [{toCIDR: [203.0.113.0/24]}]}"
    assert verdict(PODS + cnp(narrow), "shop/web", "fqdn:a.io") == "deny"
    assert verdict(PODS + cnp(narrow), "shop/web", "fqdn:a.io@203.0.113.1") == "allow"
    assert verdict(PODS + cnp(narrow.replace("203.0.113.0/24", "0.0.0.0/0")), "shop/web", "fqdn:a.io") == "allow"


GROUP = """
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: office, labels: {kind: office}}
spec: {externalCIDRs: [203.0.113.0/24, nonsense]}
---
"""


@pytest.mark.parametrize("item", ["cidrGroupRef: office", "cidrGroupSelector: {matchLabels: {kind: office}}"])
def test_3_5_cidr_groups(item: str) -> None:
    text = PODS + GROUP + cnp("{" + API + ", ingress: [{fromCIDRSet: [{" + item + ", except: [203.0.113.8/29]}]}]}")
    assert verdict(text, "ip:203.0.113.7", "shop/api") == "allow"
    assert verdict(text, "ip:203.0.113.9", "shop/api") == "deny"


def test_3_5_an_unknown_group_is_nobody_and_named() -> None:
    text = cnp("{endpointSelector: {}, ingress: [{fromCIDRSet: [{cidrGroupRef: gone}]}]}")
    ((reason, refused),) = problems(text)
    assert "CiliumCIDRGroup gone is not among the manifests" in reason
    assert not refused


def test_groups_of_a_cloud_are_possible() -> None:
    (rule,) = rules(cnp("{endpointSelector: {}, egress: [{toGroups: [{aws: {region: eu}}]}]}"), "egress")
    assert isinstance(rule.destination, Maybe)
    found = lowered(cnp("{endpointSelector: {}, egress: [{toGroups: [{aws: {region: eu}}]}]}"))
    assert found.vocabulary.assumptions[0].id == "cilium-groups"


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("{port: '80'}", ["TCP 80", "UDP 80", "SCTP 80"]),
        ("{port: '80', protocol: ANY}", ["TCP 80", "UDP 80", "SCTP 80"]),
        ("{port: '80', endPort: 90, protocol: TCP}", ["TCP 80-90"]),
        ("{port: '80', endPort: 70, protocol: TCP}", ["TCP 80"]),
        ("{port: '0', protocol: TCP}", ["TCP 1-65535"]),
        ("{port: '0', endPort: 90, protocol: TCP}", ["TCP 1-65535"]),
        ("{port: '0', protocol: GRE}", []),
    ],
)
def test_4_ports(port: str, expected: list[str]) -> None:
    found = rules(cnp("{endpointSelector: {}, ingress: [{toPorts: [{ports: [" + port + "]}]}]}"))
    assert sorted(words(found[0].traffic) if found else []) == sorted(expected)


def test_4_ports_without_l7_rules_are_united() -> None:
    items = "{ports: [{port: '80', protocol: TCP}]}, {ports: [{port: '81', protocol: TCP}]}"
    (rule,) = rules(cnp("{endpointSelector: {}, ingress: [{toPorts: [" + items + "]}]}"))
    assert words(rule.traffic) == ["TCP 80-81"]


def test_4_5_icmp_types() -> None:
    fields = "{fields: [{type: 8}, {type: Redirect}, {type: 999}]}"
    (rule,) = rules(cnp("{endpointSelector: {}, ingress: [{icmps: [" + fields + "]}]}"))
    assert rule.traffic == (*ports(ICMP, 5 << 8, 5 << 8 | 255), *ports(ICMP, 8 << 8, 8 << 8 | 255))
    (every,) = rules(cnp("{endpointSelector: {}, ingress: [{icmps: [{fields: [{type: EchoReply}]}]}]}"))
    assert every.traffic == ports(ICMP)
    (plain,) = rules(cnp("{endpointSelector: {}, ingress: [{fromEntities: [all]}]}"))
    assert plain.traffic == UNIVERSE


def test_4_4_named_ports_are_those_of_the_destination() -> None:
    text = PODS + cnp("{" + WEB + ", egress: [{toPorts: [{ports: [{port: HTTP, protocol: TCP}]}]}]}")
    assert [verdict(text, "shop/web", "shop/api", port) for port in (8080, 80)] == ["allow", "deny"]
    assert [verdict(text, "shop/web", "data/db", port) for port in (8080, 80)] == ["deny", "allow"]
    assert verdict(text, "shop/web", "ip:203.0.113.7", 80) == "deny"


def test_6_http_rules() -> None:
    listed = "[{method: GET, path: /a}, {path: /b}]"
    item = "{ports: [{port: '80', protocol: TCP}], rules: {http: %s}}"
    (rule,) = rules(cnp("{endpointSelector: {}, ingress: [{toPorts: [" + item % listed + "]}]}"))
    assert rule.l7 == l7.http([HttpRule("GET", "/a"), HttpRule("", "/b")])
    assert rule.origin.path == ("spec", "ingress", 0, "toPorts", 0)
    (none,) = rules(cnp("{endpointSelector: {}, ingress: [{toPorts: [" + item % "[]" + "]}]}"))
    assert none.l7 is None
    (anything,) = rules(cnp("{endpointSelector: {}, ingress: [{toPorts: [" + item % "[{}]" + "]}]}"))
    assert anything.l7 == l7.ANY_HTTP


def test_6_secrets_are_those_of_the_policy_namespace() -> None:
    match = "{name: X-Token, secret: {name: token}}"
    item = "{ports: [{port: '80', protocol: TCP}], rules: {http: [{headerMatches: [" + match + "]}]}}"
    spec = "{endpointSelector: {}, ingress: [{toPorts: [" + item + "]}]}"
    values = []
    for name in ("shop", "data"):
        (rule,) = rules(cnp(spec, name))
        assert rule.l7 is not None
        values.append(rule.l7.http[0][0].headers[0].value)
    assert values == ["shop/token", "data/token"]


def test_7_dns_rules_yield_to_their_very_port_alone() -> None:
    dns = "{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: A.io}]}}"
    plain = (
        "{ports: [{port: '53', protocol: UDP}, {port: '80', protocol: TCP}, {port: '50', endPort: 60, protocol: UDP}]}"
    )
    found = rules(cnp("{endpointSelector: {}, egress: [{toPorts: [" + dns + ", " + plain + "]}]}"), "egress")
    limited, exact, rest = sorted(found, key=lambda rule: (rule.l7 is None, not rule.exact))
    assert limited.l7 == l7.dns([DnsRule("a.io")])
    assert (exact.exact, words(exact.traffic)) == (True, ["UDP 53"])
    assert (rest.exact, words(rest.traffic)) == (False, ["TCP 80", "UDP 50-52", "UDP 54-60"])


def test_7_without_dns_rules_nothing_is_exact() -> None:
    plain = "{ports: [{port: '53', protocol: UDP}, {port: '80', protocol: TCP}]}"
    (rule,) = rules(cnp("{endpointSelector: {}, egress: [{toPorts: [" + plain + "]}]}"), "egress")
    assert not rule.exact


@pytest.mark.parametrize(
    "extra",
    ["serverNames: [a.io]", "listener: {name: a, envoyConfig: {name: b}}"],
)
def test_what_envoy_decides_is_possible(extra: str) -> None:
    item = "{ports: [{port: '443', protocol: TCP}], " + extra + "}"
    text = PODS + cnp("{" + WEB + ", egress: [{toPorts: [" + item + "]}]}")
    assert verdict(text, "shop/web", "ip:203.0.113.7", 443) == "possible"


def test_authentication_that_always_fails_is_possible() -> None:
    text = PODS + cnp("{" + API + ", ingress: [{fromEndpoints: [{}], authentication: {mode: %s}}]}")
    assert verdict(text % "required", "shop/web", "shop/api") == "allow"
    assert verdict(text % "test-always-fail", "shop/web", "shop/api") == "possible"


def test_5_explicit_denies_beat_the_own_node() -> None:
    text = PODS + cnp("{" + API + ", ingress: [{}], ingressDeny: [{%s}]}")
    assert verdict(text % "fromEntities: [world]", "entity:host", "shop/api") == "allow"
    assert verdict(text % "fromEntities: [host]", "entity:host", "shop/api") == "deny"
    assert verdict(text % "fromEntities: [all]", "entity:host", "shop/api") == "deny"
    assert verdict(text % "toPorts: [{ports: [{port: '8080'}]}]", "entity:host", "shop/api") == "deny"


@pytest.mark.parametrize("name", ["init", "health", "ingress"])
def test_policies_of_ciliums_own_endpoints_are_named(name: str) -> None:
    text = ccnp("{endpointSelector: {matchLabels: {'reserved:" + name + "': ''}}, ingress: [{}]}")
    ((reason, refused),) = problems(text)
    assert "is not evaluated" in reason
    assert not refused
    assert lowered(text).head.policies[0].sections == ()
