"""Reviews made by hand: every verdict, 576 paths in four groups, hostile names, and random ones."""

from __future__ import annotations

import random

from bot.gate.verdict import verdict, worst
from bot.policies.model import Assumption
from bot.policies.traffic import SCTP, TCP, UDP, Traffic, ports, union
from bot.reachability.change import Cause, Change, Decision, EndpointFacts, PairChange, Path, Totals, Witness
from bot.review import Environment, Explanation, Failed, Listing, Review, Side, Verification
from bot.sources import Unread

UNIVERSE: Traffic = union(ports(TCP), ports(UDP), ports(SCTP))
HTTPS = ports(TCP, 443, 443)
BASE = Side("main", "9f31c02be4150000000000000000000000000000")
HEAD = Side("feature/payments", "b7d4e117c0a20000000000000000000000000000")
HOSTILE = (
    "a|b",
    "`",
    "``",
    "x`y``z",
    "@everyone",
    "</details>",
    "::error::pwned",
    "##[add-mask]x",
    "\u202egnp.exe",
    "line\nbreak\r\n| cell",
    "x" * 10_000,
    "#1 GH-2 https://evil.example www.evil.example",
    "[click](https://evil.example)",
    "![i](x)",
    "\\",
    "a\\|b",
    "<!-- netreach:comment v=1 -->",
    "\x1b[31mred",
    "$(rm -rf)",
    "&lt;b&gt;",
    " ",
    "*bold* _it_ ~~s~~",
    "$$x$$",
    "\ud800",
    "=cmd|' /C calc'!A0",
)


def workload(namespace: str, name: str, side: str = "both") -> EndpointFacts:
    return EndpointFacts(
        f"{namespace}/{name}",
        "workload",
        "Deployment",
        namespace,
        name,
        (("app", name),),
        file=f"k8s/{namespace}/{name}.yaml",
        line=1,
        side=side,
    )


def table(*facts: EndpointFacts) -> dict[str, EndpointFacts]:
    return {fact.id: fact for fact in facts}


INTERNET = EndpointFacts("internet", "addresses", cidrs=("0.0.0.0/0", "::/0"))
PRODUCTION = EndpointFacts(
    "a pod {} in a namespace {env: production}",
    "hypothetical",
    namespace_labels=(("env", "production"),),
    origin="payments/allow-production spec.ingress[0].from[0]",
)
EXPOSURE = EndpointFacts(
    "ingress:payments/pay", "exposure", "Ingress", "payments", "pay", file="k8s/payments/ingress.yaml", line=1
)
SHOP = [workload("shop", f"svc-{i}") for i in range(24)]
BATCH = [workload("batch", f"job-{i}") for i in range(15)]
MONITORING = [workload("monitoring", name) for name in ("grafana", "prometheus")]
PAYMENTS = [workload("payments", name) for name in ("pay-api", "pay-db", "pay-web")]
ENDPOINTS = table(INTERNET, PRODUCTION, EXPOSURE, *SHOP, *BATCH, *MONITORING, *PAYMENTS)


def ids(*groups: list[EndpointFacts]) -> tuple[str, ...]:
    return tuple(fact.id for group in groups for fact in group)


def witness(source: str, destination: str, port: str, before: str, after: str) -> Witness:
    return Witness(
        source,
        destination,
        port,
        before,
        after,
        (
            Decision(
                "ingress",
                before,
                f"`payments/default-deny` selects {destination}, no rule allows the peer",
                "k8s/payments/netpol.yaml",
                (1, 9),
                "spec",
            ),
        ),
        (Decision("ingress", after, f"no policy selects {destination} for ingress"),),
        f"netreach explain --base 9f31c02be415 --head b7d4e117c0a2 --from {source} --to {destination} --port {port}",
    )


def change(
    kind: str,
    sources: tuple[str, ...],
    destinations: tuple[str, ...],
    traffic: Traffic = UNIVERSE,
    paths: int | None = None,
    severity: str = "within",
    causes: tuple[Cause, ...] = (),
    before: Traffic | None = None,
    hypothetical: int = 0,
    endpoint: str = "",
) -> Change:
    opens = kind in ("opened", "widened")
    old = before if before is not None else () if opens else traffic
    new = traffic if opens else ()
    seen = witness(
        sources[0], destinations[0], "8080/tcp", "closed" if opens else "open", "open" if opens else "closed"
    )
    name = f"{kind}-{abs(hash_of(sources, destinations, kind)):08x}"
    size = len(sources) * len(destinations) if paths is None else paths
    return Change(
        name, kind, sources, destinations, old, new, (), (), size, hypothetical, severity, causes, seen, endpoint
    )


def hash_of(*parts: object) -> int:
    import zlib

    return zlib.crc32(repr(parts).encode("utf-8", "surrogatepass"))


def environment(changes: tuple[Change, ...], fail_on: tuple[str, ...] = (), **given: object) -> Environment:
    stay = [row for row in changes if not row.endpoint]
    totals = Totals(
        sum(row.paths for row in stay if row.change == "opened"),
        sum(row.paths for row in stay if row.change == "closed"),
        sum(row.paths for row in stay if row.change in ("widened", "narrowed")),
        0,
        sum(row.hypothetical for row in stay),
    )
    incomplete = given.get("incomplete", ())
    values: dict[str, object] = {
        "name": "default",
        "cni": "kubernetes",
        "universe": UNIVERSE,
        "verdict": verdict(changes, bool(incomplete), fail_on),
        "totals": totals,
        "endpoints": ENDPOINTS,
        "changes": changes,
        "pairs": None,
        "changed_objects": (),
        "workloads": 44,
        "policies": 17,
        "incomplete": (),
        "coverage": (),
        "assumptions": (),
        "notes": (),
    }
    return Environment(**(values | given))  # type: ignore[arg-type]


def review(*environments: Environment, fail_on: tuple[str, ...] = (), **given: object) -> Review:
    values: dict[str, object] = {
        "base": BASE,
        "head": HEAD,
        "mode": "merge",
        "behind": 3,
        "environments": environments,
        "verdict": worst(environment.verdict for environment in environments),
        "notes": (),
        "fail_on": fail_on,
    }
    return Review(**(values | given))  # type: ignore[arg-type]


DELETED = Cause("payments/default-deny", "NetworkPolicy", "removed", "base", "k8s/payments/netpol.yaml", (1, 9))
WIDENED = Cause(
    "shop/allow-egress",
    "NetworkPolicy",
    "changed",
    "head",
    "k8s/shop/egress.yaml",
    (12, 15),
    "spec.egress[1].to[0]",
)
ADDED = Cause("batch/isolate", "NetworkPolicy", "added", "head", "k8s/batch/isolate.yaml", (1, 14))
ROWS = (
    change("opened", (*ids([INTERNET, EXPOSURE], SHOP, BATCH, MONITORING, PAYMENTS), PRODUCTION.id), ids(PAYMENTS),
           paths=132, severity="internet", causes=(DELETED,), hypothetical=3),
    change("opened", ids(SHOP), ids(BATCH), severity="namespace", causes=(WIDENED,)),
    change("opened", ids(SHOP), ids([INTERNET]), HTTPS, severity="internet", causes=(WIDENED,)),
    change("closed", ids(MONITORING[:1], PAYMENTS), ids(BATCH), severity="closed", causes=(ADDED,)),
)  # fmt: skip
ASSUMED = (
    Assumption(
        "pod-cidrs", "pods have addresses in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 and fc00::/7", "assume.podCIDRs"
    ),
    12,
)
UNREAD = (
    Unread("k8s/shop/np.yaml", (21, 21), "YAML: mapping values are not allowed here"),
    Unread("k8s/edge/np.yaml", (9, 9), "unknown field `podSelectr`: the API server would refuse this policy", "lint"),
)
CHART = Unread("charts/legacy/templates/np.yaml", None, "Helm template", "render")

BLOCKED = review(
    environment(ROWS, ("internet",), coverage=(CHART,), assumptions=(ASSUMED,)),
    fail_on=("internet",),
)
LOOK = review(environment(ROWS))
PASS = review(environment(()), behind=0)
INCOMPLETE = review(environment(ROWS[3:], incomplete=UNREAD))
TWO = review(
    environment(ROWS[:2], name="prod"),
    environment((), name="staging"),
    notes=("main and feature conflict: compared since they parted",),
)
MOVED = review(
    environment(
        (
            change(
                "opened", ids([INTERNET]), ("shop/cart",), HTTPS, severity="internet", endpoint="to added", causes=()
            ),
            change(
                "widened",
                ids(SHOP[:5]),
                ids(BATCH[:1]),
                union(HTTPS, ports(TCP, 80, 90)),
                before=HTTPS,
                severity="ports",
                causes=(WIDENED, ADDED),
            ),
        ),
        endpoints=ENDPOINTS | table(workload("shop", "cart", "head")),
        pairs=(
            PairChange("internet", "shop/cart", (), HTTPS, endpoint="to added"),
            PairChange("shop/svc-0", "batch/job-0", HTTPS, union(HTTPS, ports(TCP, 80, 90))),
            PairChange("shop/svc-1", "batch/job-0", HTTPS, ()),
            PairChange("shop/svc-2", "batch/job-0", (), (), (), UNIVERSE),
        ),
    )
)


def hostile() -> Review:
    """Every field that comes from a repository holds something nasty."""
    facts = [workload(name, name) for name in HOSTILE]
    odd = EndpointFacts("a pod {app: `|</details>@x}", "hypothetical", labels=(("app", "`|</details>@x"),))
    rows = []
    for index, fact in enumerate(facts):
        name = HOSTILE[index]
        cause = Cause(
            f"{name}/{name}", "NetworkPolicy", "changed", "head", f"k8s/{name}.yaml", (3, 4), f"spec.{name}", name
        )
        rows.append(change("opened", (fact.id, odd.id), (facts[index - 1].id,), causes=(cause,), severity="internet"))
    unread = tuple(Unread(name, (1, 2), name, name) for name in HOSTILE)
    assumed = tuple((Assumption(name, name, name), 1) for name in HOSTILE)
    return review(
        environment(
            tuple(rows),
            ("internet",),
            name="</details>|`@x",
            endpoints=table(odd, *facts),
            incomplete=unread,
            coverage=unread,
            assumptions=assumed,
            notes=HOSTILE,
        ),
        base=Side("main`|@x", "9f31c02be415"),
        head=Side("`</sub>", "b7d4e117c0a2"),
        notes=HOSTILE,
        fail_on=("internet",),
    )


def randomly(seed: int, rows: int) -> Review:
    """Some rows between some endpoints, with some names hostile."""
    pick = random.Random(seed)
    namespaces = [pick.choice(HOSTILE) if pick.random() < 0.1 else f"ns-{i}" for i in range(pick.randint(1, 30))]
    facts = [workload(namespace, f"w{i}") for namespace in namespaces for i in range(pick.randint(1, 12))]
    endpoints = table(INTERNET, PRODUCTION, EXPOSURE, *facts)
    names = list(endpoints)
    changes = []
    for index in range(rows):
        cause = Cause(
            f"{pick.choice(namespaces)}/p{index}",
            "NetworkPolicy",
            pick.choice(("added", "removed", "changed")),
            "head",
            "k8s/a.yaml",
            (1, 2),
        )
        sources = tuple(sorted(pick.sample(names, pick.randint(1, min(12, len(names))))))
        destinations = tuple(sorted(pick.sample(names, pick.randint(1, min(12, len(names))))))
        kind = pick.choice(("opened", "closed", "widened", "narrowed"))
        before = HTTPS if kind in ("widened", "narrowed") else None
        traffic = union(
            *(ports(TCP, p, p + pick.randint(0, 5)) for p in pick.sample(range(60000), pick.randint(1, 12)))
        )
        severity = pick.choice(("internet", "namespace", "within", "ports")) if kind == "opened" else "closed"
        changes.append(
            change(
                kind,
                sources,
                destinations,
                traffic,
                severity=severity,
                causes=(cause,) * pick.randint(0, 2),
                before=before,
            )
        )
    fail_on = pick.choice(((), ("internet",), ("any-opened",)))
    incomplete = tuple(Unread(f"k8s/{i}.yaml", (i, i), "not YAML") for i in range(pick.choice((0, 0, 3, 2000))))
    return review(environment(tuple(changes), fail_on, endpoints=endpoints, incomplete=incomplete), fail_on=fail_on)


LISTING = Listing(
    "kubernetes",
    UNIVERSE,
    ENDPOINTS,
    (
        Path("internet", "payments/pay-web", HTTPS),
        Path("shop/svc-0", "batch/job-0", UNIVERSE),
        Path("shop/svc-1", "batch/job-0", HTTPS, ports(UDP, 53, 53), ("pod-cidrs",)),
    ),
    (),
    (CHART,),
    (ASSUMED,),
    (),
)
VERIFICATION = Verification(
    3,
    1,
    (Failed({"from": "shop/svc-0", "to": "payments/pay-db", "port": 5432, "expect": "deny", "name": "no database"},
            "allow", "allow", "allow", "no policy selects payments/pay-db"),),
    ({"from": "shop/gone", "to": "payments/pay-db", "expect": "allow", "why": "nothing is called shop/gone"},),
    (),
)  # fmt: skip
EXPLANATION = Explanation(
    "shop/svc-0",
    "payments/pay-db",
    "5432/tcp",
    (("before", "closed", ROWS[0].witness.decided_before), ("after", "open", ROWS[0].witness.decided_after)),
    ("a default deny of ingress in `payments` would close it",),
    (),
)
