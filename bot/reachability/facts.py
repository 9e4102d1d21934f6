"""A Universe in, the endpoints as people name them out: one unique id for each row (CONTRACT: endpoints)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.policies import addresses as address_line
from bot.policies import intervals
from bot.reachability.change import EndpointFacts
from bot.reachability.endpoints import Identity, Row, Universe

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot, Workload

_LONGEST = 4


class Names:
    """The ids and facts of the rows of one universe, each worked out when it is asked for."""

    def __init__(self, universe: Universe, base: Snapshot, head: Snapshot) -> None:
        self.universe = universe
        self.snapshots = (base, head)
        kinds: dict[tuple[str, str, str], set[str]] = {}
        for row in universe.rows.values():
            if row.kind in ("workload", "exposure"):
                kinds.setdefault((row.kind, row.identity[1], row.identity[-1]), set()).add(row.identity[2])
        self._shared = {key for key, found in kinds.items() if len(found) > 1}
        self._workloads: dict[Identity, tuple[Workload, Snapshot]] | None = None
        self._ids: dict[int, str] = {}

    def id(self, bit: int) -> str:
        """The unique string of a row."""
        found = self._ids.get(bit)
        if found is None:
            found = self._ids[bit] = self._id(self.universe.rows[bit])
        return found

    def id_of(self, row: Row) -> str:
        """The unique string of a row given as such."""
        return self.id((row.base or row.head)[0])

    def _id(self, row: Row) -> str:
        if row.kind in ("workload", "exposure"):
            _, namespace, kind, name = row.identity
            text = (
                f"{namespace}/{kind}/{name}" if (row.kind, namespace, name) in self._shared else f"{namespace}/{name}"
            )
            return text if row.kind == "workload" else f"ingress:{text}"
        if row.kind == "addresses":
            return self._address_id(self._ranges(row))
        if row.kind == "hypothetical":
            return hypothetical_words(*hypothetical_parts(row))
        return row.identity[1]

    def _ranges(self, row: Row) -> intervals.Intervals:
        slot = self.universe.slots[(row.base or row.head)[0]]
        return slot.personas[0].addresses or ()

    def _address_id(self, ranges: intervals.Intervals) -> str:
        rest = [family for family in (address_line.ALL_V4, address_line.ALL_V6) if self._is_rest(ranges, family)]
        if len(rest) == 2:
            return "internet"
        if rest:
            others = [r for r in self._rest_rows() if r is not ranges]
            if not others:
                return "internet"
            return "internet (IPv4)" if rest[0] is address_line.ALL_V4 else "internet (IPv6)"
        words = address_line.words(ranges)
        if len(words) <= _LONGEST:
            return ",".join(words)
        import hashlib

        digest = hashlib.sha256(",".join(words).encode()).hexdigest()[:6]
        return f"{','.join(words[:_LONGEST])},+{len(words) - _LONGEST} ({digest})"

    def _is_rest(self, ranges: intervals.Intervals, family: intervals.Intervals) -> bool:
        """Whether a group of ranges is what is left of a family: it holds the last addresses of it, which no one routes."""
        return intervals.covers(ranges, ((family[0][1], family[0][1]),))

    def _rest_rows(self) -> list[intervals.Intervals]:
        rows = [self._ranges(row) for row in self.universe.rows.values() if row.kind == "addresses"]
        return [r for r in rows if self._is_rest(r, address_line.ALL_V4) or self._is_rest(r, address_line.ALL_V6)]

    def facts(self, bit: int) -> EndpointFacts:
        """Everything a document says of a row."""
        row = self.universe.rows[bit]
        side = "both" if row.base and row.head else "base" if row.base else "head"
        text = self.id(bit)
        if row.kind == "workload":
            _, namespace, kind, name = row.identity
            workload, snapshot = self._workload(row)
            file, line = snapshot.line(workload.object)
            labels = tuple(sorted(workload.labels.items()))
            note = (
                "on the host network: its node's traffic, which no policy for pods sees"
                if workload.host_network
                else ""
            )
            return EndpointFacts(text, "workload", kind, namespace, name, labels, (), (), file, line, side, note)
        if row.kind == "hypothetical":
            labels, namespace, namespace_labels = hypothetical_parts(row)
            return EndpointFacts(text, "hypothetical", "", namespace, "", labels, namespace_labels, side=side)
        if row.kind == "addresses":
            return EndpointFacts(text, "addresses", cidrs=tuple(address_line.cidrs(self._ranges(row))), side=side)
        if row.kind == "exposure":
            _, namespace, kind, name = row.identity
            return EndpointFacts(text, "exposure", kind, namespace, name, side=side)
        return EndpointFacts(text, row.kind, name=row.identity[1], side=side)

    def _workload(self, row: Row) -> tuple[Workload, Snapshot]:
        if self._workloads is None:
            self._workloads = {
                ("workload", workload.namespace, workload.kind, workload.name): (workload, snapshot)
                for snapshot in self.snapshots
                for workload in snapshot.workloads
            }
        return self._workloads[row.identity]


def hypothetical_parts(row: Row) -> tuple[tuple[tuple[str, str], ...], str, tuple[tuple[str, str], ...]]:
    """(labels, namespace, namespace labels) of a hypothetical pod, from its identity."""
    _, namespace, *rest = row.identity
    at = rest.index("|")
    pairs = [(text.partition("=")[0], text.partition("=")[2]) for text in rest]
    return tuple(pairs[at + 1 :]), namespace, tuple(pairs[:at])


def hypothetical_words(
    labels: tuple[tuple[str, str], ...], namespace: str, namespace_labels: tuple[tuple[str, str], ...]
) -> str:
    """A pod that is not in Git, in words: `a pod {app: web} in a namespace {env: production}`."""
    pod = f"a pod {_braces(labels)}" if labels else "any other pod"
    if namespace:
        return f"{pod} in namespace {namespace}"
    if namespace_labels:
        return f"{pod} in a namespace {_braces(namespace_labels)}"
    return f"{pod} in any other namespace"


def _braces(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in labels) + "}"
