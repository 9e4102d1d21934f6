"""Sets of endpoints and of traffic in, the few words people would use for them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from bot.policies import traffic as algebra
from bot.policies.traffic import ICMP, ICMPV6, LAST_PORT, PROTOCOL_NAMES, SCTP, TCP, UDP, Box, Traffic
from bot.reachability.change import Cause, Change, EndpointFacts

NAMED_EACH = 3
PIECES = 8
# Nobody listens on port 0 of these, and what begins at 1 is all of them.
_LOWEST = {TCP: 1, UDP: 1, SCTP: 1}
_PORTLESS = {2: "IGMP", 4: "IP in IP", 41: "IPv6 in IP", 47: "GRE", 50: "ESP", 51: "AH", 89: "OSPF", 112: "VRRP"}


class Part(NamedTuple):
    """One part of a set's name. `kind`: `code` (an identifier), `words`, or `internet`.

    `lead` stands before the text (`5 of 24 in `), `tail` after it; `size`: how many workloads, 0 where that is not said;
    `known`: workloads that are in Git.
    """

    kind: str
    text: str
    size: int = 0
    lead: str = ""
    tail: str = ""
    known: bool = False

    def plain(self) -> str:
        """The part without markup."""
        size = f" ({self.size:,})" if self.size else ""
        return f"{self.lead}{self.text}{size}{self.tail}"


class Names:
    """How one document's endpoints are called, alone and in sets."""

    def __init__(self, endpoints: Mapping[str, EndpointFacts], sizes: Mapping[str, int] | None = None) -> None:
        """`sizes`: the workloads of each namespace; without it those of `endpoints` on both sides are counted."""
        self._endpoints = endpoints
        if sizes is None:
            counted: dict[str, int] = {}
            for facts in endpoints.values():
                if facts.kind == "workload" and facts.side == "both":
                    counted[facts.namespace] = counted.get(facts.namespace, 0) + 1
            sizes = counted
        self._entities = sum(facts.kind == "entity" for facts in endpoints.values())
        self._sizes = {namespace: size for namespace, size in sizes.items() if size}

    def facts(self, name: str) -> EndpointFacts:
        """What is known of an endpoint (one that is not in the document: its name alone)."""
        found = self._endpoints.get(name)
        return EndpointFacts(name, "other") if found is None else found

    def parts(self, ids: Iterable[str], everything: bool = False) -> list[Part]:
        """The set in words, outside first, then complete namespaces and single workloads.

        Left out: an exposure where the internet is in the set, and pods that are not in Git where workloads that are
        stand beside them (they are counted). With `everything`, each endpoint by its name and nothing left out.
        """
        kinds: dict[str, list[EndpointFacts]] = {}
        for name in ids:
            facts = self.facts(name)
            kinds.setdefault("internet" if is_internet(name) else facts.kind, []).append(facts)
        if everything:
            return [_single(facts) for kind in sorted(kinds, key=_kind_order) for facts in kinds[kind]]
        out = [_single(facts) for facts in kinds.get("internet", [])]
        if "internet" not in kinds:
            out += _some(kinds.get("exposure", []), "exposures")
        entities = kinds.get("entity", [])
        if len(entities) > NAMED_EACH and len(entities) == self._entities:
            out.append(Part("words", "every entity", len(entities)))
            entities = []
        out += _some(entities, "entities")
        for kind, plural in (
            ("addresses", "address ranges"),
            ("fqdn", "DNS names"),
            ("node", "nodes"),
            ("other", "others"),
        ):
            out += _some(kinds.get(kind, []), plural)
        out += [part._replace(known=True) for part in self._workloads(kinds.get("workload", []))]
        hypothetical = kinds.get("hypothetical", [])
        if any(map(anyone, hypothetical)):
            out.append(Part("words", "any other pod"))
        elif "workload" not in kinds:
            out += _some(hypothetical, "kinds of pods not in Git")
        elif hypothetical:
            kinds_of = "1 kind of pod" if len(hypothetical) == 1 else f"{len(hypothetical)} kinds of pods"
            out.append(Part("words", f"{kinds_of} not in Git"))
        return out

    def _workloads(self, workloads: list[EndpointFacts]) -> list[Part]:
        by_namespace: dict[str, list[EndpointFacts]] = {}
        for facts in workloads:
            by_namespace.setdefault(facts.namespace, []).append(facts)
        complete = {
            namespace
            for namespace, members in by_namespace.items()
            if sum(member.side == "both" for member in members) == self._sizes.get(namespace, 0) > 0
        }
        if len(self._sizes) > 1 and complete == self._sizes.keys():
            return [Part("words", "every workload", len(workloads))]
        out: list[Part] = []
        for namespace in sorted(by_namespace):
            members = by_namespace[namespace]
            if namespace in complete and len(members) > 1:
                out.append(Part("code", f"{namespace}/*", len(members)))
            elif len(members) <= NAMED_EACH:
                out += [_single(facts) for facts in members]
            else:
                of = max(self._sizes.get(namespace, 0), len(members))
                out.append(Part("code", f"{namespace}/*", lead=f"{len(members)} of {of} in "))
        return out


def anyone(facts: EndpointFacts) -> bool:
    """Whether this stands for any pod in any namespace that nothing else speaks of."""
    return facts.kind == "hypothetical" and not (facts.labels or facts.namespace or facts.namespace_labels)


def is_internet(name: str) -> bool:
    """Whether this endpoint is every address that nothing names: `internet`, or that of one address family."""
    return name in ("internet", "internet (IPv4)", "internet (IPv6)")


def _kind_order(kind: str) -> tuple[int, str]:
    order = ("internet", "exposure", "entity", "addresses", "fqdn", "node", "workload", "hypothetical")
    return (order.index(kind) if kind in order else len(order), kind)


def _single(facts: EndpointFacts) -> Part:
    if is_internet(facts.id):
        return Part("internet", facts.id)
    return Part("words" if facts.kind == "hypothetical" else "code", facts.id)


def _some(members: list[EndpointFacts], plural: str) -> list[Part]:
    """Each by name while they are few, else the first ones and how many more."""
    if len(members) <= NAMED_EACH:
        return [_single(facts) for facts in members]
    shown = [_single(facts) for facts in members[: NAMED_EACH - 1]]
    return [*shown, Part("words", f"{len(members) - len(shown)} more {plural}")]


def plain_set(parts: list[Part], limit: int = 6) -> str:
    """The parts in a line of text, the first `limit` of them."""
    shown = [part.plain() for part in parts[:limit]]
    if len(parts) > limit:
        shown.append(f"{len(parts) - limit} more")
    return ", ".join(shown)


@lru_cache(maxsize=4096)
def traffic_words(traffic: Traffic, universe: Traffic) -> str:
    """Ports as people write them: `all`, `none`, `TCP 80, 443, UDP 53`, `all but TCP 25`."""
    if not traffic:
        return "none"
    if traffic == universe:
        return "all"
    pieces = _pieces(traffic)
    rest = algebra.subtract(universe, traffic)
    missing = _pieces(rest) if rest else pieces
    if len(missing) < len(pieces) and not any(box.source_first or box.source_last != LAST_PORT for box in rest):
        return f"all but {_join(missing, 'and', 'any')}"
    return _join(pieces)


def _join(pieces: list[tuple[str, str]], last: str = "", every: str = "all") -> str:
    """`last`: the word before the last of several; `every`: what stands before a protocol with ports, for all of them."""
    out: list[str] = []
    protocol = ""
    for name, ports in pieces[:PIECES]:
        whole = name if name.startswith("protocol ") else f"{every} {name}"
        out.append(ports if name == protocol and ports else f"{name} {ports}" if ports else whole)
        protocol = name
    if len(pieces) > PIECES:
        out.append(f"{len(pieces) - PIECES} more")
    if last and len(out) > 1:
        return f"{', '.join(out[:-1])} {last} {out[-1]}"
    return ", ".join(out)


def _pieces(traffic: Traffic) -> list[tuple[str, str]]:
    """(protocol name, ports in words; '' for all of them), in order."""
    return [(protocol_name(protocol), _range(protocol, box)) for protocol, box in by_protocol(traffic)]


def protocol_name(number: int) -> str:
    """`TCP`, or `protocol 47 (GRE)` where ports or types have no name of their own."""
    found = PROTOCOL_NAMES.get(number)
    if found is not None:
        return found
    known = _PORTLESS.get(number)
    return f"protocol {number} ({known})" if known else f"protocol {number}"


def by_protocol(traffic: Traffic) -> Iterable[tuple[int, Box]]:
    """The boxes cut where a protocol ends, each with its protocol number; first and last become ports."""
    for box in traffic:
        for protocol in range(box.first >> 16, (box.last >> 16) + 1):
            first = max(box.first, protocol << 16) & LAST_PORT
            last = min(box.last, protocol << 16 | LAST_PORT) & LAST_PORT
            yield protocol, Box(first, last, box.source_first, box.source_last)


def _range(protocol: int, box: Box) -> str:
    if protocol in (ICMP, ICMPV6):
        ports = _icmp(box)
    elif box.first <= _LOWEST.get(protocol, 0) and box.last == LAST_PORT:
        ports = ""
    else:
        ports = str(box.first) if box.first == box.last else f"{box.first}-{box.last}"
    if box.source_first == 0 and box.source_last == LAST_PORT:
        return ports
    source = str(box.source_first) if box.source_first == box.source_last else f"{box.source_first}-{box.source_last}"
    return f"{ports or 'any port'} from source port {source}"


def _icmp(box: Box) -> str:
    if (box.first, box.last) == (0, LAST_PORT):
        return ""
    if box.first == box.last:
        return f"type {box.first >> 8} code {box.first & 0xFF}"
    if box.first & 0xFF == 0 and box.last & 0xFF == 0xFF:
        first, last = box.first >> 8, box.last >> 8
        return f"type {first}" if first == last else f"types {first}-{last}"
    return f"type {box.first >> 8} code {box.first & 0xFF} to type {box.last >> 8} code {box.last & 0xFF}"


def state(sure: Traffic, possible: Traffic, universe: Traffic) -> str:
    """What is open, and what possibly is."""
    if not possible:
        return traffic_words(sure, universe)
    maybe = f"possibly {traffic_words(possible, universe)}"
    return f"{traffic_words(sure, universe)}, {maybe}" if sure else maybe


def change_ports(change: Change, universe: Traffic, arrow: str = "->") -> str:
    """The traffic of a row: what opened or closed, or before and after where both are there."""
    before = state(change.before, change.before_possible, universe)
    if change.before_varies and before != "none":
        before = f"{'at least' if change.change in ('opened', 'widened') else 'at most'} {before}"
    after = state(change.after, change.after_possible, universe)
    if before == "none":
        return after
    if after == "none" or before == after:
        return before
    return f"{before} {arrow} {after}"


def ports_of(change: Change, universe: Traffic) -> str:
    """The traffic of a row after the change, or what there was before it where nothing is left."""
    return traffic_words(change.after or change.before, universe)


def request_words(change: Change) -> str:
    """What requests a row gains and loses: `GET /admin newly allowed`; nothing where it is about ports alone."""
    out: list[str] = []
    for row in change.requests:
        for answer, request, said in (
            (row.wider, row.gained, "newly allowed"),
            (row.narrower, row.lost, "no longer allowed"),
        ):
            if answer == "yes":
                out.append(f"{request or 'some requests'} {said}")
            elif answer == "unknown":
                out.append(f"other requests possibly {said}")
    return ", ".join(dict.fromkeys(out))


def number(count: int, one: str, many: str = "") -> str:
    """`1 path`, `1,204 paths`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def path_cell(change: Change) -> str:
    """`3 +2` for a table: the paths between what is known, and how many more there are with pods that are not in Git."""
    known = change.paths - change.hypothetical
    if known and change.hypothetical:
        return f"{known:,} +{change.hypothetical:,}"
    return f"{'' if known else '+'}{change.paths:,}"


def paths_beside(change: Change) -> str:
    """`, and 2 with pods not in Git`, to stand behind the number of known paths where there are any."""
    if not change.hypothetical:
        return ""
    return f"{', and ' if change.hypothetical < change.paths else ''}{change.hypothetical:,} with pods not in Git"


def headline(change: Change, names: Names, universe: Traffic) -> list[Part]:
    """What a row does, as a sentence: `payments/* becomes reachable from the internet`.

    Workloads that are known come first, then the internet (before the second workload, where a path to it opens).
    """
    gains = change.change in ("opened", "widened")
    to = names.parts(_known(change.destinations, names))
    others_first = sorted(names.parts(_known(change.sources, names)), key=lambda part: part in to)
    sources, destinations = _brief(others_first, gains), _brief(to, gains)
    if gains and any(is_internet(name) for name in change.sources):
        more = "on more ports " if change.change == "widened" else ""
        verb = "becomes" if len(destinations) == 1 else "become"
        return [*destinations, Part("words", f"{verb} reachable {more}from the internet")]
    ports = change_ports(change, universe)
    requests = request_words(change)
    if requests and change.before == change.after:
        return [
            Part("words", requests),
            Part("words", "from"),
            *sources,
            Part("words", "to"),
            *destinations,
            Part("words", f"on {ports_of(change, universe)}"),
        ]
    verbs = {
        "opened": "can now reach",
        "closed": "can no longer reach",
        "widened": "can reach more ports of",
        "narrowed": "can reach fewer ports of",
    }
    tail = [Part("words", f"on {ports}")] if ports != "all" and change.change in ("opened", "closed") else []
    return [*sources, Part("words", verbs[change.change]), *destinations, *tail]


def _known(ids: Iterable[str], names: Names) -> list[str]:
    """Without the pods that are not in Git, where there are others."""
    members = list(ids)
    return [name for name in members if names.facts(name).kind != "hypothetical"] or members


def _brief(parts: list[Part], gains: bool) -> list[Part]:
    """`a`, `a and b`, `a, b and c`, `a, b and 2 more`."""
    known = [part for part in parts if part.known]
    internet = [part._replace(kind="words", text=f"the {part.text}") for part in parts if part.kind == "internet"]
    others = [part for part in parts if not part.known and part.kind != "internet"]
    ordered = [*known[:1], *internet, *known[1:], *others] if gains else [*known, *internet, *others]
    if len(ordered) > 3:
        ordered = [*ordered[:2], Part("words", f"{len(ordered) - 2} more")]
    if len(ordered) < 2:
        return ordered
    return [*(part._replace(tail=",") for part in ordered[:-2]), ordered[-2], Part("words", "and"), ordered[-1]]


def cause_name(cause: Cause) -> tuple[str, str]:
    """(kind, name) of the object; the kind is left out for what is meant when nothing is said, a NetworkPolicy."""
    kind, _, rest = cause.object.partition(" ")
    if rest and kind == cause.kind.partition(".")[0]:
        return ("" if kind == "NetworkPolicy" else kind, rest)
    return ("", cause.object)


def cause_words(cause: Cause, change: str) -> str:
    """What happened to an object: `deleted`, `added`, `changed`; `widened` or `narrowed` where a rule of it did the change.

    For one that no file holds, also what makes it.
    """
    if cause.change in ("added", "removed"):
        what = "added" if cause.change == "added" else "deleted"
    elif not cause.path.startswith(("spec.ingress", "spec.egress")):
        what = "changed"
    else:
        what = "widened" if change in ("opened", "widened") else "narrowed"
    return f"{what}, {cause.words}" if cause.words else what
