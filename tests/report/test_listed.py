"""What `netreach list` prints: one row for entities that share their lot, none for what the internet's row says."""

from __future__ import annotations

from bot.policies.traffic import TCP, ports
from bot.reachability.change import EndpointFacts, Limit, Path
from bot.report import listed, text
from bot.review import Listing

ENDPOINTS = [
    EndpointFacts("shop/web", "workload"),
    EndpointFacts("internet", "addresses"),
    EndpointFacts("fqdn:a.example", "fqdn"),
    EndpointFacts("fqdn:b.example", "fqdn"),
    *(EndpointFacts(f"entity:{name}", "entity") for name in ("health", "host", "ingress")),
    EndpointFacts("ingress:shop/front", "exposure"),
]
HTTPS = ports(TCP, 443, 443)
ALL = ports(TCP)


def _listing(*paths: Path) -> Listing:
    return Listing("cilium", ALL, {facts.id: facts for facts in ENDPOINTS}, tuple(sorted(paths)), (), (), (), ())


def _shown(*paths: Path) -> list[str]:
    return [" ".join(line.split()) for line in text.plain(text.listing(_listing(*paths))).splitlines()]


def test_entities_of_one_lot_are_one_row() -> None:
    to = [Path("shop/web", f"entity:{name}", ALL) for name in ("health", "host", "ingress")]
    assert _shown(*to) == [
        "shop/web -> entity:* all",
        "entity:* is each of health, host, ingress",
        "3 open paths (cilium)",
    ]
    assert _shown(*to[:2], Path("shop/web", "entity:ingress", HTTPS)) == [
        "shop/web -> entity:health,host all",
        "shop/web -> entity:ingress TCP 443",
        "3 open paths (cilium)",
    ]
    assert _shown(Path("entity:host", "shop/web", ALL), Path("entity:ingress", "shop/web", ALL))[0] == (
        "entity:host,ingress -> shop/web all"
    )


def test_names_and_exposures_stand_where_they_differ_from_the_internet() -> None:
    paths = [
        Path("shop/web", "internet", ALL),
        Path("shop/web", "fqdn:a.example", ALL),
        Path("shop/web", "fqdn:b.example", HTTPS),
        Path("internet", "shop/web", HTTPS),
        Path("ingress:shop/front", "shop/web", HTTPS),
    ]
    assert _shown(*paths) == [
        "internet -> shop/web TCP 443",
        "shop/web -> fqdn:b.example TCP 443",
        "shop/web -> internet all",
        "5 open paths (cilium)",
    ]
    assert "ingress:shop/front" in _shown(Path("ingress:shop/front", "shop/web", HTTPS))[0]


def test_requests_stand_beside_ports() -> None:
    path = Path("internet", "shop/web", HTTPS, (), (), (Limit(HTTPS, "http", ("GET /api", "POST /orders")),))
    assert _shown(path)[0] == "internet -> shop/web TCP 443 HTTP: GET /api, POST /orders"
    many = path._replace(limits=(Limit(HTTPS, "http", tuple(f"GET /{n}" for n in range(9))), Limit(HTTPS, "none", ())))
    assert listed.requests(many) == ("HTTP: GET /0, GET /1, GET /2, GET /3, GET /4, GET /5, 3 more", "NONE: none")
