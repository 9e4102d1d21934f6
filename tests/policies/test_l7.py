"""L7 values: HTTP and DNS rules of Cilium, the lattice, and inclusion judged by google-re2 (semantics 3.7, 6, 7, 10, 11)."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter
from typing import Any

import pytest
import yaml

from bot.policies import dns_rules, l7
from bot.policies.dns_rules import DnsRule, Lookup, dns_rule
from bot.policies.http_rules import Request, RuleError, allows, http_rule
from bot.policies.l7 import ALL, ANY_DNS, ANY_HTTP, L7, NONE, compare, meet, union
from tests.corpora import scenarios
from tests.policies import random_rules

re2: Any = pytest.importorskip("re2")
PAIRS = int(os.environ.get("NETREACH_L7_PAIRS", "300"))


def http(*rules: dict[str, Any]) -> L7:
    return l7.http([http_rule(rule) for rule in rules])


def dns(*patterns: str) -> L7:
    return l7.dns([dns_rule({"matchPattern": pattern}) for pattern in patterns])


def wider(base: L7, head: L7) -> str:
    verdict = compare(base, head).wider
    return verdict.witness.words if verdict.witness else verdict.answer


SHOP = http(
    {"method": "GET", "path": "/api/v1/products.*"},
    {"method": "POST", "path": "/api/v1/orders", "headers": ["Content-Type: application/json"]},
)


# --- Wording, construction ---


def test_rules_are_worded_for_people():
    assert SHOP.words == ("GET /api/v1/products.*", "POST /api/v1/orders with Content-Type: application/json")
    assert http({"path": "/x"}).words == ("any method /x",)
    assert http({"method": "GET", "host": "a"}).words == ("GET on any path on host a",)
    assert http({"headerMatches": [{"name": "A", "value": "b", "mismatch": "ADD"}]}).words == (
        "any request (ADD A: b)",
    )
    assert ANY_HTTP.words == ("any HTTP request",)
    assert ALL.words == ("everything",)
    assert NONE.words == ("nothing",)
    assert dns("*").words == ("a lookup of any name",)
    assert meet(SHOP, http({"method": "GET"}, {"method": "PUT"})).words == (
        "GET on any path or PUT on any path",
        "and GET /api/v1/products.* or POST /api/v1/orders with Content-Type: application/json",
    )


def test_values_are_canonical_and_hashable():
    one, two = {"method": "GET"}, {"path": "/x"}
    assert http(one, two, one) == http(two, one)
    assert hash(http(one, two)) == hash(http(two, one))
    assert http({}, one) == ANY_HTTP == http({"method": "", "headers": []})
    assert meet(ANY_HTTP, SHOP) == SHOP == meet(SHOP, SHOP, ALL) == union(SHOP, NONE)
    assert meet(http(one), http(one, two)) == http(one)
    assert meet(SHOP, dns("*")) == NONE
    assert union() == NONE
    assert meet() == ALL
    assert [value.kind for value in (ALL, NONE, SHOP, dns("a"), union(SHOP, ANY_DNS))] == [
        "all",
        "none",
        "http",
        "dns",
        "mixed",
    ]


def test_unions_of_meets_are_exact():
    a, b, c, d = (http({"path": f"/{name}.*"}) for name in "abcd")
    value = union(meet(a, union(b, c)), meet(d, http({"method": "GET"})))
    for path, method in itertools.product(("/a", "/d", "/b"), ("GET", "PUT")):
        request = Request(method, path)
        expected = (a.matches(request) and union(b, c).matches(request)) or (d.matches(request) and method == "GET")
        assert value.matches(request) == expected
    with pytest.raises(ValueError, match="too many"):
        union(*(meet(http({"path": f"/{i}"}), http({"method": f"A{i}"})) for i in range(9)))


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"path": "/(a"}, "path"),
        ({"path": "/(?=a)"}, "path"),
        ({"method": r"(A)\1"}, "method"),
        ({"method": 3}, "method"),
        ({"headers": "X"}, "headers"),
        ({"headers": [3]}, "headers"),
        ({"headerMatches": [{"value": "a"}]}, "headerMatches"),
        ({"headerMatches": [{"name": "a", "mismatch": "DROP"}]}, "headerMatches"),
        ({"headerMatches": [{"name": "a", "secret": {}}]}, "headerMatches"),
        ({"headerMatches": ["a"]}, "headerMatches"),
        ({"headerMatches": [{"name": 3}]}, "headerMatches"),
    ],
)
def test_refused_http_rules_say_where(rule, field):
    with pytest.raises(RuleError) as error:
        http_rule(rule)
    assert error.value.field == field


def test_a_host_that_is_no_pattern_is_accepted_and_unknown():
    value = http({"host": "(a"})
    assert value.matches(Request(host="(a")) is None
    assert compare(http({"method": "GET"}), value).wider.answer == "unknown"
    assert compare(value, value).wider.answer == "no"


# --- One request ---


def test_headers():
    rule = http_rule({"headers": ["X-Token: abc", "X-Other"]})
    assert allows(rule, Request(headers=(("x-token", "abc"), ("X-OTHER", "")))) is True
    assert allows(rule, Request(headers=(("X-Token", "ABC"), ("X-Other", "")))) is False
    assert allows(rule, Request(headers=(("X-Token", "abc"),))) is False
    assert allows(http_rule({"headers": ["X-Token:abc"]}), Request(headers=(("X-Token", "abc"),))) is False
    assert allows(http_rule({"headerMatches": [{"name": "A", "value": "b", "mismatch": "LOG"}]}), Request()) is True
    secret = http_rule({"headerMatches": [{"name": "A", "secret": {"name": "s"}}]}, "shop")
    assert allows(secret, Request(headers=(("A", "b"),))) is None
    assert allows(secret, Request()) is False
    assert secret.words == "any request with A: (secret shop/s)"
    assert allows(http_rule({"headers": [":path /x", "Host: a"]}), Request(path="/x", host="a")) is True


def test_the_path_has_its_query_and_matches_whole():
    assert http({"path": "/public"}).matches(Request(path="/public?q=1")) is False
    assert http({"path": "/x|/public"}).matches(Request(path="/public")) is True
    assert http({"path": "/public"}).matches(Request(path="/PUBLIC")) is False


# --- Comparing ---


@pytest.mark.parametrize(
    ("base", "head", "answer", "converse"),
    [
        (SHOP, union(SHOP, http({"method": "GET", "path": "/admin"})), "GET /admin", "no"),
        (SHOP, ANY_HTTP, "GET /", "no"),
        (SHOP, ALL, "traffic that is not HTTP", "no"),
        (ANY_HTTP, ALL, "traffic that is not HTTP", "no"),
        (dns("*"), ALL, "traffic that is not DNS", "no"),
        (NONE, SHOP, "POST /api/v1/orders with Content-Type: application/json", "no"),
        (
            SHOP,
            http({"path": "/api/v1/products.*"}),
            "POST /api/v1/products",
            "POST /api/v1/orders with Content-Type: application/json",
        ),
        (http({"path": "/a(b|c)*"}), http({"path": "/a[bc]*"}), "no", "no"),
        (http({"method": "GET|POST"}), http({"method": "GET"}, {"method": "POST"}), "no", "no"),
        (http({"path": "/x"}), http({"path": "^/x$"}), "no", "no"),
        (http({"path": "/x"}), http({"path": "(?i)/x"}), "GET /X", "no"),
        (http({"path": "/x.*"}), http({"path": r"/x\b.*"}), "no", "GET /xa"),
        (http({"path": "/.*"}), http({"path": ".*"}), "GET *", "no"),
        (http({"path": "/.*"}, {"path": r"\*"}), ANY_HTTP, "no", "no"),
        (ANY_HTTP, http({"method": ".+", "path": ".*", "host": ".*"}), "no", "no"),
        (http({"headers": ["X: a"]}), http({"headers": ["X"]}), "GET / with X: other", "no"),
        (http({"headers": ["X: a"]}, {"headers": ["X: b"]}), http({"headers": ["X"]}), "GET / with X: other", "no"),
        (http({"headers": ["X: a"]}), http({}), "GET /", "no"),
        (http({"headers": ["X:a"]}), http({"headers": ["Y:a"]}), "no", "no"),
        (http({"headers": ["X: a", "X: b"]}), NONE, "no", "no"),
        (http({"headers": [":method GET"]}), http({"method": "GET"}), "no", "no"),
        (http({"host": "a"}), http({"host": "a(:[0-9]+)?"}), "GET / on host a:0", "no"),
        (http({"method": "M-SEARCH"}), http({"method": "M-.*"}), "M-A /", "no"),
        (
            http({"path": "/x"}),
            http({"path": "/x", "headerMatches": [{"name": "A", "value": "b", "mismatch": "LOG"}]}),
            "no",
            "no",
        ),
        (meet(SHOP, http({"method": "GET"})), http({"method": "GET", "path": "/api/v1/products.*"}), "no", "no"),
        (http({"method": "GET", "path": "/a"}), meet(http({"path": "/[ab]"}), http({"method": "GET"})), "GET /b", "no"),
        (dns("*.amazonaws.com"), dns("**.amazonaws.com"), "a lookup of a.a.amazonaws.com", "no"),
        (dns("**.x.io"), dns("*.x.io", "**.*.x.io"), "no", "no"),
        (dns("*.x.io"), dns("*x.io"), "a lookup of x.io", "a lookup of a.x.io"),
        (dns("*"), dns("**"), "no", "no"),
    ],
)
def test_wider_and_narrower(base, head, answer, converse):
    assert wider(base, head) == answer
    verdict = compare(base, head).narrower
    assert (verdict.witness.words if verdict.witness else verdict.answer) == converse


def test_what_nobody_can_tell_is_unknown_with_the_reason():
    for base, head, reason in (
        ({"path": "/.*a.{12}"}, {"path": "/.*a.{13}"}, "too complex"),
        ({"path": "/x"}, {"path": r"/\p{Greek}"}, "Unicode class"),
        ({"path": "/x"}, {"path": "/" + "x" * 6000}, "characters"),
        ({"path": "/x"}, {"path": "/(x{900}|y){1}" * 40}, "too large"),
        (
            {"path": "/x"},
            {"headerMatches": [{"name": "A", "secret": {"name": "s"}}, {"name": "A", "value": "b"}]},
            "secret",
        ),
        ({"path": "/x"}, {"headerMatches": [{"name": ":path", "secret": {"name": "s"}}]}, "secret"),
    ):
        verdict = compare(http(base), http(head)).wider
        assert verdict.answer == "unknown"
        assert reason in verdict.reason
    hard = {"path": r"/\p{Greek}"}
    assert compare(http(hard), http(hard, {"path": "/x"})).wider.answer == "unknown"
    assert compare(http(hard, {"path": "/y"}), http(hard)).wider.answer == "no"
    assert wider(http({"path": "/y"}), http({"path": "/y"}, hard, {"path": "/x"})) == "GET /x"


def test_a_header_that_one_side_adds_and_the_other_wants_is_unknown():
    adds = http({"method": "GET", "headerMatches": [{"name": "X", "value": "a", "mismatch": "ADD"}]})
    base, head = meet(http({"method": "GET"}), http({"headers": ["X: a"]})), meet(adds, http({"headers": ["X: a"]}))
    assert compare(base, head).wider.answer == "unknown"


def test_hostile_rules_end_soon():
    texts = ["/((a?){31}){31}", "/(.{1,31}){1,31}", "/((a*)*b?){900}", "/([^/]*/?){500}", "/.*a.{15}"]
    for one, two in zip(texts, texts[1:] + texts[:1], strict=True):
        start = time.process_time()
        compare(http({"path": one, "method": ".*"}), http({"path": two, "host": ".*a"}))
        assert time.process_time() - start < 15  # both directions; about 1 s where nothing else runs


# --- DNS ---


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (
            "*.stripe.com",
            ["api.stripe.com", "API.STRIPE.COM.", "a_b-c.stripe.com"],
            ["stripe.com", "a.b.stripe.com", "x.stripe.com.io"],
        ),
        ("**.stripe.com", ["api.stripe.com", "a.b.stripe.com"], ["stripe.com", "xstripe.com"]),
        ("*stripe.com", ["stripe.com", "xstripe.com"], ["a.stripe.com"]),
        ("sub*.x.io", ["sub.x.io", "subdomain.x.io"], ["su.x.io", "sub.a.x.io"]),
        ("api.*.com", ["api.x.com"], ["api.x.y.com"]),
        ("a**.x.io", ["a.x.io", "abc.x.io"], ["a.b.x.io"]),
        ("*", ["a", "a.b.c", "."], []),
        ("***.", ["a.b.c"], []),
        ("x.io", ["X.io", "x.io."], ["y.x.io"]),
    ],
)
def test_dns_patterns(pattern, yes, no):
    value = dns(pattern)
    assert all(value.accepts_dns(name) for name in yes)
    assert not any(value.accepts_dns(name) for name in no)
    assert all(value.matches(Lookup(name)) for name in yes)


def test_dns_rules_are_canonical():
    assert dns_rule({"matchName": "API.Stripe.com."}) == DnsRule("api.stripe.com")
    assert dns("***.x.io", "a**b.io") == dns("**.x.io", "a*b.io")
    assert dns_rules.accepts(dns_rule({}), "") is True
    for refused in (
        {"matchPattern": "a b"},
        {"matchName": "*.x"},
        {"matchName": "a", "matchPattern": "b"},
        {"matchName": 3},
    ):
        with pytest.raises(RuleError):
            dns_rule(refused)
    with pytest.raises(RuleError, match="255"):
        dns_rule({"matchPattern": "a" * 256})


def test_pieces_cut_names_exactly():
    rules = [DnsRule(p) for p in ("api.x.com", "*.x.com", "**.com", "a*.*", "a.x.com", "b.x.com", "other.io")]
    pieces = dns_rules.pieces(rules)
    assert isinstance(pieces, list)
    seen = {}
    for name, matching in pieces:
        assert matching == {rule for rule in rules if dns_rules.accepts(rule, name)}
        seen[matching] = name
    assert len(seen) == len(pieces)
    for labels in itertools.product(("a", "b", "x", "api", "q"), ("x", "b", "com"), ("com", "io")):
        for name in (".".join(labels), ".".join(labels[1:])):
            matching = frozenset(rule for rule in rules if dns_rules.accepts(rule, name))
            assert not matching or matching in seen
    assert dns_rules.pieces([]) == []


# --- Against google-re2 ---


def fits(rule: dict[str, Any], request: Request) -> bool:
    """Whether a rule allows a request, by google-re2 and the words of the semantics alone."""
    for text, value in (
        (rule.get("method"), request.method),
        (rule.get("path"), request.path),
        (rule.get("host"), request.host),
    ):
        if text and not re2.compile(text).fullmatch(value):
            return False
    has = {name.lower(): value for name, value in request.headers} | {"host": request.host}
    wanted = [header.split(" ", 1) for header in rule.get("headers", [])]
    demands = [(each[0].rstrip(":"), each[1]) if len(each) == 2 else (each[0], None) for each in wanted]
    demands += [(m["name"], m["value"]) for m in rule.get("headerMatches", []) if "mismatch" not in m]
    return all(name.lower() in has and value in (None, has[name.lower()]) for name, value in demands)


def judged(sets: list[list[random_rules.Rule]], request: Request) -> bool:
    return all(any(fits(rule.manifest, request) for rule in rules) for rules in sets)


def real(request: Request) -> bool:
    return (
        bool(re2.compile(r"[A-Z]+(-[A-Z]+)*").fullmatch(request.method))
        and request.path[:1] in "/*"
        and bool(request.host)
    )


def samples(choose: random.Random, sets: list[list[random_rules.Rule]], count: int) -> list[Request]:
    """Requests near what the rules allow."""
    out: list[Request] = []
    while len(out) < count:
        rule = choose.choice(choose.choice(sets))
        path = (
            rule.path.word(choose)
            if rule.path
            else choose.choice(["/", "/public", "/api/v1/users/7", "/x", "/ab", "/a.b/c", "/admin"])
        )
        if choose.random() < 0.3:
            at = choose.randrange(1, len(path) + 1)
            path = path[:at] + choose.choice("ab/0.?") + path[at + choose.randrange(2) :]
        host = (
            rule.host.word(choose)
            if rule.host and choose.random() < 0.8
            else choose.choice(["a.com", "b", "shop.example"])
        )
        headers = []
        for header in (
            rule.manifest.get("headers", []) if choose.random() < 0.8 else choose.sample(random_rules.HEADERS, 1)
        ):
            name, space, value = header.partition(" ")
            if ":" not in name[:-1] and name != "Host:":
                headers.append((name.rstrip(":"), value if space else choose.choice(["abc", "q"])))
        method = choose.choice(
            ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "M-SEARCH", rule.manifest.get("method", "GET")]
        )
        request = Request(
            method, path, host or "a.com", tuple({name.lower(): (name, value) for name, value in headers}.values())
        )
        if real(request):
            out.append(request)
    return out


def test_inclusion_agrees_with_re2():
    """Every witness is allowed by head and not by base; no sample contradicts an inclusion. Unknowns are counted."""
    choose = random.Random(20250)
    counts: Counter[str] = Counter()
    start = time.process_time()
    spent = 0.0
    for _ in range(PAIRS):
        base = [random_rules.rules(choose)]
        head = [random_rules.edited(choose, base[0])] if choose.random() < 0.8 else [random_rules.rules(choose)]
        if choose.random() < 0.2:
            other = random_rules.rules(choose)
            base, head = [*base, other], [*head, other if choose.random() < 0.5 else random_rules.edited(choose, other)]
        one, two = (meet(*(http(*(rule.manifest for rule in rules)) for rules in sets)) for sets in (base, head))
        began = time.process_time()
        result = compare(one, two)
        spent += time.process_time() - began
        tried = samples(choose, base + head, 40)
        for request in tried:
            assert one.matches(request) == judged(base, request)
            assert two.matches(request) == judged(head, request)
        for verdict, larger, smaller in ((result.wider, head, base), (result.narrower, base, head)):
            counts[verdict.answer] += 1
            if verdict.answer == "yes":
                assert isinstance(verdict.witness, Request)
                request = verdict.witness._replace(host=verdict.witness.host or "a.com")
                assert real(request)
                assert judged(larger, request), (base, head, request)
                assert not judged(smaller, request), (base, head, request)
            elif verdict.answer == "no":
                wrong = [request for request in tried if judged(larger, request) and not judged(smaller, request)]
                assert not wrong, (base, head, wrong[0])
    assert counts["yes"] > PAIRS // 4
    assert counts["no"] > PAIRS // 4
    assert counts["unknown"] <= PAIRS // 20
    print(f"{PAIRS} pairs: {dict(counts)}, {spent:.1f} s deciding of {time.process_time() - start:.1f} s")


# --- Recorded verdicts of Cilium ---


def l7_rules(value: Any, kind: str) -> Any:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == kind and isinstance(inner, list):
                yield inner
            else:
                yield from l7_rules(inner, kind)
    elif isinstance(value, list):
        for inner in value:
            yield from l7_rules(inner, kind)


def test_recorded_verdicts_where_one_list_of_rules_decides():
    """Where some requests of one path are allowed and some are not, and the scenario has one list of rules, it decides."""
    checked: Counter[str] = Counter()
    for scenario in scenarios("cilium"):
        if scenario.get("rejected"):
            continue
        texts = [text for text in scenario["manifests"].split("\n---\n") if "rules:" in text]
        documents = [yaml.safe_load(text) for text in texts]
        for kind in ("http", "dns"):
            lists = list(l7_rules(documents, kind))
            if len(lists) != 1 or not lists[0]:
                continue
            value = l7.http(map(http_rule, lists[0])) if kind == "http" else l7.dns(map(dns_rule, lists[0]))
            paths: dict[Any, list[dict[str, Any]]] = {}
            for expectation in scenario["expectations"]:
                if kind in expectation:
                    key = tuple(expectation.get(field) for field in ("from", "to", "protocol", "port"))
                    paths.setdefault(key, []).append(expectation)
            for expectations in paths.values():
                if {e["expect"] for e in expectations} != {"allow", "deny"}:
                    continue
                for expectation in expectations:
                    asked = expectation[kind]
                    request: Request | Lookup = (
                        Lookup(asked)
                        if kind == "dns"
                        else Request(
                            asked.get("method", "GET"),
                            asked.get("path", "/"),
                            asked.get("host", ""),
                            tuple(asked.get("headers", {}).items()),
                        )
                    )
                    assert value.matches(request) == (expectation["expect"] == "allow"), (scenario["id"], expectation)
                    checked[kind] += 1
    assert checked["http"] > 150
    assert checked["dns"] > 50
