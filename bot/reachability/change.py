"""What the room returns: endpoints as people see them, open paths, changes of paths with their causes and a witness."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.policies.traffic import Traffic

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

Labels = tuple[tuple[str, str], ...]


class EndpointFacts(NamedTuple):
    """One endpoint of a document. `kind`: workload, hypothetical, addresses, exposure, entity, fqdn or node.

    `id` is unique in the document. `object_kind`, `namespace`, `name` and `labels` are those of the object, or of the pod that a
    hypothetical one stands for (`namespace` empty: any namespace with `namespace_labels`). `cidrs`: of an address range.
    `note` says what a person must know (host network). `alike`: the id of the endpoint it is hidden behind in tables ("": none).
    """

    id: str
    kind: str
    object_kind: str = ""
    namespace: str = ""
    name: str = ""
    labels: Labels = ()
    namespace_labels: Labels = ()
    cidrs: tuple[str, ...] = ()
    file: str = ""
    line: int = 0
    side: str = "both"
    note: str = ""
    origin: str = ""


class Limit(NamedTuple):
    """Traffic on which only some requests are allowed: `kind` http or dns (or mixed, none), and a line for each rule."""

    traffic: Traffic
    kind: str
    rules: tuple[str, ...]


class Requests(NamedTuple):
    """How the requests allowed on some traffic differ: `wider` and `narrower` are no, yes or unknown, each with a shortest request."""

    traffic: Traffic
    wider: str
    gained: str
    narrower: str
    lost: str


class Path(NamedTuple):
    """What is open from one endpoint to another; `possible`: what is open only under the assumptions `because`."""

    source: str
    destination: str
    open: Traffic
    possible: Traffic = ()
    because: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()


class PairChange(NamedTuple):
    """One pair of endpoints whose traffic changed. `endpoint`: '', or which end was added or removed (`from added`)."""

    source: str
    destination: str
    before: Traffic
    after: Traffic
    before_possible: Traffic = ()
    after_possible: Traffic = ()
    endpoint: str = ""
    limits_before: tuple[Limit, ...] = ()
    limits_after: tuple[Limit, ...] = ()


class Cause(NamedTuple):
    """One changed object that flipped a verdict. `change`: added, removed, changed. `path` in the object, like `spec.egress[1].to[0]`.

    `lines` are those of `side` (base for what was removed, else head). `words`: what it did, in a few words ("widened").
    """

    object: str
    kind: str
    change: str
    side: str
    file: str
    lines: tuple[int, int]
    path: str = ""
    words: str = ""


class Decision(NamedTuple):
    """What one checkpoint said of one concrete path on one side, and which rule or absence of a rule decided."""

    checkpoint: str
    verdict: str
    text: str
    file: str = ""
    lines: tuple[int, int] | None = None
    path: str = ""


class Witness(NamedTuple):
    """One concrete path of a change. `port` like `8080/tcp`; verdicts: open, possible or closed; `explain`: the command that shows it.

    `request`: what is asked there (`GET /admin`), where the change is one of requests.
    """

    source: str
    destination: str
    port: str
    before: str
    after: str
    decided_before: tuple[Decision, ...]
    decided_after: tuple[Decision, ...]
    explain: str = ""
    request: str = ""


class Change(NamedTuple):
    """A rectangle of pairs (every source with every destination) with one change and one set of causes.

    `change`: opened, closed, widened (more traffic, or both more and less) or narrowed. `paths` counts pairs, `hypothetical` those of them
    with a hypothetical pod at an end. `severity`: internet, namespace (across), within, ports, closed, most dangerous first.
    `before_varies`: of pairs that had different traffic before, `before` is the least (where they gain) or the most (where they lose).
    `partial`: not every source with every destination, but `paths` pairs of them; only in a review of very many rows.
    `alike`: the id of the row with known workloads of the same namespaces that says the same; tables leave this one out and count it.
    `rule`: the rule of the config that it breaks, and `rule_severity`: block or warn. `allowed_by`: the allow entries that
    answer for all of it (with commas).
    """

    id: str
    change: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    before: Traffic
    after: Traffic
    before_possible: Traffic
    after_possible: Traffic
    paths: int
    hypothetical: int
    severity: str
    causes: tuple[Cause, ...]
    witness: Witness
    endpoint: str = ""
    alike: str = ""
    limits_before: tuple[Limit, ...] = ()
    limits_after: tuple[Limit, ...] = ()
    requests: tuple[Requests, ...] = ()
    before_varies: bool = False
    partial: bool = False
    rule: str = ""
    rule_severity: str = ""
    allowed_by: str = ""


class Totals(NamedTuple):
    """Counts of pairs of endpoints that stay (tables), possible and hypothetical ones among them counted beside."""

    opened: int = 0
    closed: int = 0
    changed: int = 0
    possible: int = 0
    hypothetical: int = 0


class PolicyText(NamedTuple):
    """A changed object, for reports that word what changed inside it."""

    title: str
    before: Object | None
    after: Object | None
