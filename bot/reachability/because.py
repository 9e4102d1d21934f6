"""One side of a World in; for paths that are only possible, the assumptions that would settle them, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bot.policies.model import And, Assumption, Expr, InAddresses, Isolation, Maybe, Not, Or, Policy, Rule
from bot.reachability.endpoints import indices
from bot.reachability.resolve import Pair
from bot.reachability.world import World

POD_ADDRESSES = Assumption(
    "pod-addresses",
    "the address of a pod in Git is not known; it lies somewhere in the pods' address range",
    "assume.podCIDRs",
)
SEEN_ADDRESSES = Assumption(
    "seen-addresses",
    "which address policies see of traffic through a load balancer or a node port is not known: the client's or a node's",
    "",
)
EQUAL_PRIORITY = Assumption(
    "equal-priority", "policies of one priority disagree, and which of them a cluster asks first is not defined", ""
)
HOST_NETWORK = Assumption(
    "host-network",
    "a pod on the host network is its node: which one, and whether it is a peer's own, is not in Git",
    "",
)
OWN = (POD_ADDRESSES, SEEN_ADDRESSES, HOST_NETWORK, EQUAL_PRIORITY)
FEW = 64


class Hanging:
    """What of policies hangs on an assumption, found once for both sides."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}
        self._pairs: dict[int, list[tuple[Expr, Expr]]] = {}

    def names(self, expr: Expr) -> frozenset[str]:
        """The assumptions that whether an endpoint matches can hang on."""
        found = self._known.get(id(expr))
        if found is None:
            found = self._known[id(expr)] = frozenset(_ids(expr))
        return found

    def pairs(self, policies: tuple[Policy, ...]) -> list[tuple[Expr, Expr]]:
        """The ends of their rules and isolations, each two once, where either hangs on something."""
        found = self._pairs.get(id(policies))
        if found is None:
            every: dict[tuple[int, int], tuple[Expr, Expr]] = {}
            names = self.names
            for policy in policies:
                for section in policy.sections:
                    ends: tuple[Rule | Isolation, ...] = (*section.rules, *section.isolates)
                    for end in ends:
                        source, destination = end.source, end.destination
                        if names(source) or names(destination):
                            every[(id(source), id(destination))] = (source, destination)
            found = self._pairs[id(policies)] = list(every.values())
        return found


class Doubts:
    """What is not known of one side: for each assumption, between which rows it matters."""

    def __init__(self, world: World, head: bool, hanging: Hanging) -> None:
        self._world = world
        self._hanging = hanging
        self._head = head
        self._between: dict[str, dict[int, int]] | None = None
        self._of: dict[int, dict[str, int]] = {}
        self._plural: tuple[tuple[str, int], ...] | None = None

    def settling(self, source: int, destinations: int) -> Mapping[str, int]:
        """Assumption id -> those of the destinations whose path from this row it would settle."""
        found = self._of.get(source)
        if found is None:
            found = self._of[source] = {}
            for name, pairs in self._all().items():
                bits = 0
                for sources, ends in pairs.items():
                    if sources >> source & 1:
                        bits |= ends
                if bits:
                    found[name] = bits
        here = {name: bits & destinations for name, bits in found.items() if bits & destinations}
        rest = destinations
        for bits in here.values():
            rest &= ~bits
        for name, rows in self._several():
            bits = rest if rows >> source & 1 else rest & rows
            if bits:
                here[name] = here.get(name, 0) | bits
                rest &= ~bits
        return {**here, EQUAL_PRIORITY.id: rest} if rest else here

    def _several(self) -> tuple[tuple[str, int], ...]:
        """Rows that policies may take for several things, by the assumption that says which."""
        if self._plural is None:
            rows = {SEEN_ADDRESSES.id: 0, HOST_NETWORK.id: 0}
            universe = self._world.universe
            by_host = self._world.lowered.vocabulary.hosts is not None
            for bit, row in universe.rows.items():
                if row.kind == "exposure" or (by_host and row.kind == "workload"):
                    slots = row.head if self._head else row.base
                    if any(len(universe.slots[slot].personas) > 1 for slot in slots):
                        rows[SEEN_ADDRESSES.id if row.kind == "exposure" else HOST_NETWORK.id] |= 1 << bit
            self._plural = tuple(rows.items())
        return self._plural

    def count(self, sources: int, destinations: int) -> dict[str, int]:
        """Assumption id -> how many of these pairs it would settle; of very many sources, all where it settles any."""
        out: dict[str, int] = {}
        if sources.bit_count() > FEW:
            for name, pairs in self._all().items():
                if any(own & sources and ends & destinations for own, ends in pairs.items()):
                    out[name] = sources.bit_count() * destinations.bit_count()
            for name, rows in self._several() if not out else ():
                if (sources | destinations) & rows:
                    out[name] = sources.bit_count() * destinations.bit_count()
            return out or {EQUAL_PRIORITY.id: sources.bit_count() * destinations.bit_count()}
        for source in indices(sources):
            for name, bits in self.settling(source, destinations).items():
                out[name] = out.get(name, 0) + bits.bit_count()
        return out

    def _all(self) -> dict[str, dict[int, int]]:
        """Assumption id -> source rows -> destination rows of the rules that hang on it."""
        if self._between is not None:
            return self._between
        world = self._world
        out: dict[str, dict[int, int]] = {}
        exposed = sum(1 << bit for bit, row in world.universe.rows.items() if row.kind == "exposure")
        hanging = self._hanging
        for policies in (world.common, world.only_head if self._head else world.only_base):
            for source, destination in hanging.pairs(policies):
                resolved = [world.resolver.resolve(expr) for expr in (source, destination)]
                if all(must == may for must, may in resolved):
                    continue
                (from_, unsure_from), (to, unsure_to) = (self._rows(one) for one in resolved)
                for expr, sources, destinations in ((source, unsure_from, to), (destination, from_, unsure_to)):
                    for name in sorted(hanging.names(expr)):
                        own = out.setdefault(name, {})
                        own[sources] = own.get(sources, 0) | destinations
        if exposed and POD_ADDRESSES.id in out:
            _apart(out, exposed)
        self._between = out
        return out

    def _rows(self, pair: Pair) -> Pair:
        """Rows that possibly match, and those of them that do not surely."""
        must, may = pair
        fold = self._world.universe.fold
        return fold(may, self._head), fold(may & ~must, self._head)


def _apart(out: dict[str, dict[int, int]], exposed: int) -> None:
    """It is not a pod's address that is unknown of what comes in through an exposure."""
    pairs = out[POD_ADDRESSES.id]
    out[POD_ADDRESSES.id] = {}
    out[SEEN_ADDRESSES.id] = {}
    for sources, destinations in pairs.items():
        for name, bits in ((POD_ADDRESSES.id, sources & ~exposed), (SEEN_ADDRESSES.id, sources & exposed)):
            if bits:
                out[name][bits] = out[name].get(bits, 0) | destinations


def _ids(expr: Expr) -> Iterable[str]:
    if isinstance(expr, Maybe):
        return {expr.assumption, *_ids(expr.inner)}
    if isinstance(expr, InAddresses):
        return {POD_ADDRESSES.id}
    if isinstance(expr, (And, Or)):
        return {name for part in expr.parts for name in _ids(part)}
    return _ids(expr.inner) if isinstance(expr, Not) else ()


def about(world: World, known: Sequence[Assumption]) -> dict[str, int]:
    """Assumption id -> the rows of the endpoints that it is about, where it is about some."""
    rows = [(bit, row.identity[1]) for bit, row in world.universe.rows.items() if row.kind in ("entity", "fqdn")]
    found = {
        one.id: sum(1 << bit for bit, name in rows if name.startswith(one.endpoints)) for one in known if one.endpoints
    }
    return {name: bits for name, bits in found.items() if bits}


def assumed(known: Sequence[Assumption], counts: Mapping[str, int]) -> tuple[tuple[Assumption, int], ...]:
    """The assumptions that paths rest on, each with their number."""
    return tuple((one, counts[one.id]) for one in (*known, *OWN) if counts.get(one.id))
