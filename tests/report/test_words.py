"""How sets and ports are called."""

from __future__ import annotations

from bot.policies.traffic import ICMP, LAST_PORT, TCP, UDP, Box, ports, subtract, union
from bot.reachability.change import EndpointFacts
from bot.report.words import Names, change_ports, headline, plain_set, traffic_words
from tests.report.reviews import (
    BATCH,
    ENDPOINTS,
    EXPOSURE,
    HTTPS,
    INTERNET,
    MONITORING,
    PAYMENTS,
    PRODUCTION,
    SHOP,
    UNIVERSE,
    change,
    ids,
    table,
    workload,
)

NAMES = Names(ENDPOINTS)


def said(*members: str, names: Names = NAMES) -> str:
    return plain_set(names.parts(members))


def test_a_set_is_named_by_what_it_equals() -> None:
    assert said(*ids(SHOP)) == "shop/* (24)"
    assert said(*ids(SHOP, BATCH, MONITORING, PAYMENTS)) == "every workload (44)"
    assert said(*ids(SHOP[:5])) == "5 of 24 in shop/*"
    assert said(*ids(SHOP[:3])) == "shop/svc-0, shop/svc-1, shop/svc-2"
    assert said("monitoring/grafana", *ids(PAYMENTS)) == "monitoring/grafana, payments/* (3)"
    assert said("gone/away") == "gone/away"


def test_a_namespace_is_complete_only_by_what_there_is() -> None:
    names = Names(table(*SHOP), {"shop": 25, "batch": 15})
    assert said(*ids(SHOP), names=names) == "24 of 25 in shop/*"
    added = Names(ENDPOINTS | table(workload("shop", "cart", "head")))
    assert said(*ids(SHOP), names=added) == "shop/* (24)"
    assert said("shop/cart", names=added) == "shop/cart"


def test_what_tables_hide_is_counted() -> None:
    assert said("internet", EXPOSURE.id) == "internet"
    assert said(EXPOSURE.id) == "ingress:payments/pay"
    assert said("shop/svc-0", PRODUCTION.id) == "shop/svc-0, 1 kind of pod not in Git"
    assert said(PRODUCTION.id) == PRODUCTION.id
    other = EndpointFacts("any other pod in any other namespace", "hypothetical")
    names = Names(ENDPOINTS | {other.id: other})
    assert said("shop/svc-0", PRODUCTION.id, other.id, names=names) == "shop/svc-0, any other pod"
    assert [part.text for part in NAMES.parts(["internet", EXPOSURE.id], everything=True)] == ["internet", EXPOSURE.id]


def test_many_of_a_kind_are_cut() -> None:
    nets = table(*(EndpointFacts(f"10.{i}.0.0/16", "addresses") for i in range(9)))
    assert said(*nets, names=Names(nets)) == "10.0.0.0/16, 10.1.0.0/16, 7 more address ranges"


def test_every_entity_is_one_part() -> None:
    entities = table(*(EndpointFacts(f"entity:{name}", "entity") for name in ("health", "host", "init", "ingress")))
    assert said(*entities, names=Names(entities)) == "every entity (4)"
    assert said("entity:health", "entity:host", "entity:init", names=Names(entities)) == (
        "entity:health, entity:host, entity:init"
    )


def test_ports_in_words() -> None:
    def words(*parts: tuple[Box, ...]) -> str:
        return traffic_words(union(*parts), UNIVERSE)

    assert words(UNIVERSE) == "all"
    assert words() == "none"
    assert words(ports(TCP)) == words(ports(TCP, 1)) == "all TCP"
    assert words(HTTPS) == "TCP 443"
    assert words(HTTPS, ports(TCP, 80, 90), ports(UDP, 53, 53)) == "TCP 80-90, 443, UDP 53"
    assert words(subtract(UNIVERSE, ports(TCP, 25, 25))) == "all but TCP 25"
    assert words(*(ports(TCP, p, p) for p in range(0, 40, 2))) == "TCP 0, 2, 4, 6, 8, 10, 12, 14, 12 more"
    assert words((Box(TCP << 16 | 80, TCP << 16 | 80, 1024, LAST_PORT),)) == "TCP 80 from source port 1024-65535"
    assert words((Box(ICMP << 16 | 8 << 8, ICMP << 16 | 8 << 8 | 255),)) == "ICMP type 8"
    assert words((Box(ICMP << 16 | 8 << 8, ICMP << 16 | 8 << 8),)) == "ICMP type 8 code 0"
    assert words(ports(47)) == "protocol 47 (GRE)"
    assert words(ports(200)) == "protocol 200"
    assert words(subtract(UNIVERSE, union(ports(TCP, 25, 25), ports(UDP, 53, 53)))) == "all but TCP 25 and UDP 53"


def test_what_calico_lets_no_pod_send() -> None:
    every = union(*(ports(protocol) for protocol in range(256)))
    assert traffic_words(subtract(every, union(ports(4), ports(UDP, 4789, 4789))), every) == (
        "all but protocol 4 (IP in IP) and UDP 4789"
    )
    assert traffic_words(subtract(every, union(ports(TCP), ports(UDP, 53, 53))), every) == "all but any TCP and UDP 53"


def test_a_row_says_before_and_after_where_both_are() -> None:
    row = change("widened", ids(SHOP), ids(BATCH), union(HTTPS, ports(TCP, 80, 80)), before=HTTPS)
    assert change_ports(row, UNIVERSE) == "TCP 443 -> TCP 80, 443"
    assert change_ports(change("closed", ids(SHOP), ids(BATCH)), UNIVERSE) == "all"
    possible = change("opened", ids(SHOP), ids(BATCH), ())._replace(after_possible=HTTPS)
    assert change_ports(possible, UNIVERSE) == "possibly TCP 443"


def test_headlines() -> None:
    def line(kind: str, sources: tuple[str, ...], destinations: tuple[str, ...]) -> str:
        return " ".join(part.plain() for part in headline(change(kind, sources, destinations, HTTPS), NAMES, UNIVERSE))

    assert (
        line("opened", ("internet", "shop/svc-0"), ids(PAYMENTS))
        == "payments/* (3) becomes reachable from the internet"
    )
    assert line("opened", ("internet",), ("shop/svc-0", "batch/job-0")) == (
        "batch/job-0 and shop/svc-0 become reachable from the internet"
    )
    assert line("opened", ("shop/svc-0",), ids([INTERNET])) == "shop/svc-0 can now reach the internet on TCP 443"
    assert line("closed", ("internet",), ("shop/svc-0",)) == "the internet can no longer reach shop/svc-0 on TCP 443"
    assert line("narrowed", ids(SHOP), ("batch/job-0",)) == "shop/* (24) can reach fewer ports of batch/job-0"
