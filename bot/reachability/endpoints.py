"""Two Snapshots and what their policies look at in, one Universe of slots and rows for both sides out.

A *slot* is an endpoint as policies see it; a *row* is an endpoint as people see it, with its slots of the base and of the
head. What is alike on both sides has one slot, so that each selector is resolved once for both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses as address_line
from bot.policies import intervals
from bot.policies.intervals import Intervals
from bot.policies.model import PLACEMENT, Vocabulary
from bot.reachability.slots import Persona, Port, Slot
from bot.reachability.used import Used

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot, Workload
    from bot.reachability.exposures import ExposedRow

Identity = tuple[str, ...]
STAYS, ADDED, REMOVED = "", "added", "removed"


class Hypothetical(NamedTuple):
    """A pod that is not in Git: its labels, and its namespace by name (known or implied) or, unnamed, by labels."""

    labels: tuple[tuple[str, str], ...]
    namespace: str = ""
    namespace_labels: tuple[tuple[str, str], ...] = ()


class Row(NamedTuple):
    """An endpoint with its slots on each side; none on a side where it is absent."""

    identity: Identity
    kind: str
    base: tuple[int, ...]
    head: tuple[int, ...]


class Universe:
    """All slots and rows. The bit of a row is the index of its first slot, so that bitsets over slots *fold* to rows.

    Slots `[0, width)` are the rows' first ones. A row whose slot moved (it was relabelled) has its base slot in the block that
    starts at `moved` and its head slot at the same place of the block that starts at `width`. `states`: the rows that stay,
    that are added and that are removed. `alike`: every row has the same one slot on both sides. `settled`: the rows of which
    that is so.
    """

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.rows: dict[int, Row] = {}
        self.width = 0
        self.moved = 0
        self.moved_count = 0
        self.irregular: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
        self.windows: dict[str, list[tuple[int, int]]] = {}
        self.base_rows = self.head_rows = 0
        self.states: list[tuple[int, str]] = []
        self.sources = self.destinations = 0
        self.alike = False
        self.settled = 0
        self.inside = 0
        self.hypothetical = 0
        self.mixed: list[tuple[int, int]] = []
        self._neighbours: dict[int, int] = {}

    def neighbours(self, rows: int) -> int:
        """The hypothetical pods of the (named) namespaces that any of these rows is in."""
        found = self._neighbours.get(rows)
        if found is None:
            found = 0
            for members, strangers in self.mixed:
                if members & rows:
                    found |= strangers
            self._neighbours[rows] = found
        return found

    def fold(self, bits: int, head: bool) -> int:
        """Rows of one side that a bitset over slots touches."""
        if self.alike:
            return bits
        rows = bits & ((1 << self.width) - 1)
        if self.moved_count:
            block = ((1 << self.moved_count) - 1) << self.moved
            if head:
                rows = (rows & ~block) | ((bits >> (self.width - self.moved)) & block)
        for bit, base, heads in self.irregular:
            own = heads if head else base
            flag = any(bits >> slot & 1 for slot in own)
            rows = rows | (1 << bit) if flag else rows & ~(1 << bit)
        return rows & (self.head_rows if head else self.base_rows)


class _Entry:
    """An endpoint before it has a place: its distinct slots on each side, in order."""

    __slots__ = ("base", "head", "identity", "kind", "namespace")

    def __init__(self, identity: Identity, kind: str, namespace: str) -> None:
        self.identity = identity
        self.kind = kind
        self.namespace = namespace
        self.base: list[Slot] = []
        self.head: list[Slot] = []


def build(
    base: Snapshot,
    head: Snapshot,
    used: Used,
    vocabulary: Vocabulary,
    hypothetical: Sequence[Hypothetical] = (),
    exposures: Sequence[ExposedRow] = (),
    family: int = 0,
) -> Universe:
    """The universe of both sides. `family` 6: pods that have an IPv6 address are looked at by that one, else by the first."""
    sight = _Sight(used, vocabulary, family)
    entries = list(_workloads(base, head, sight))
    entries += _hypothetical(hypothetical, base, head, sight, used)
    others = _addresses(sight) + _extra(vocabulary) + _exposures(exposures)
    return _place(entries, others, base, head)


class _Sight:
    """What of an endpoint any policy can see: labels cut down to the keys used, ports to the names, addresses to their sets."""

    def __init__(self, used: Used, vocabulary: Vocabulary, family: int) -> None:
        self.pod_keys = tuple(used.keys.get("pod", ()))
        self.namespace_keys = tuple(used.keys.get("namespace", ()))
        self.other_keys = tuple(
            (scope, tuple(keys)) for scope, keys in used.keys.items() if scope not in ("pod", "namespace")
        )
        self.placed = PLACEMENT in used.keys
        self.port_names = used.ports
        self.pieces = _partition(tuple(used.addresses), vocabulary)
        self.family = family
        self.vocabulary = vocabulary
        starts = sorted((first, mask) for mask, ranges in self.pieces.items() for first, _ in ranges)
        self._firsts = [first for first, _ in starts]
        self._masks = [mask for _, mask in starts]

    def membership(self, point: int) -> int:
        """Which address sets hold this address."""
        at = bisect_right(self._firsts, point) - 1
        return self._masks[at]

    def namespace(self, labels: Mapping[str, str]) -> tuple[str | None, ...]:
        return tuple([labels.get(key) for key in self.namespace_keys])

    def personas(self, workload: Workload, namespace_labels: Mapping[str, str], head: bool) -> tuple[Persona, ...]:
        if workload.host_network and self.vocabulary.hosts is not None:
            hosts = self.vocabulary.hosts(workload.node)
            return tuple(Persona("node", workload.namespace, attributes) for attributes in hosts)
        return (self._persona(workload, namespace_labels, head),)

    def _persona(self, workload: Workload, namespace_labels: Mapping[str, str], head: bool) -> Persona:
        known = self._address(workload)
        placement = {PLACEMENT: {"node": workload.node}} if self.placed and workload.node else {}
        if workload.host_network:
            return Persona("host", workload.namespace, placement, (), known)
        ports: tuple[Port, ...] = ()
        if self.port_names:
            ports = tuple(
                sorted(
                    {(p.name, p.protocol, p.number) for p in workload.ports if (p.name, p.protocol) in self.port_names}
                )
            )
        account = workload.service_account
        attributes = self.attributes(workload.labels, namespace_labels, workload.namespace, account, head)
        if placement:
            attributes = {**attributes, **placement}
        return Persona("pod", workload.namespace, attributes, ports, known)

    def attributes(
        self, labels: Mapping[str, str], namespace_labels: Mapping[str, str], namespace: str, account: str, head: bool
    ) -> Mapping[str, Mapping[str, str]]:
        found = self.vocabulary.attributes
        if not head and self.vocabulary.base_attributes is not None:
            found = self.vocabulary.base_attributes
        if found is not None:
            return found(labels, namespace_labels, namespace, account)
        return {"pod": labels, "namespace": namespace_labels}

    def _address(self, workload: Workload) -> Intervals | None:
        if not workload.addresses:
            return None
        known = list(workload.addresses)
        if self.family == 6:
            known = [a for a in known if ":" in a] or known
        point = address_line.parse_address(known[0])
        return ((point, point),)

    def signature(self, personas: tuple[Persona, ...]) -> tuple[object, ...]:
        """Equal for what every policy takes alike."""
        return tuple([self._signature(persona) for persona in personas])

    def _signature(self, persona: Persona) -> tuple[object, ...]:
        where = self.membership(persona.addresses[0][0]) if persona.addresses else persona.addresses
        scopes = persona.attributes
        labels = scopes.get("pod", {})
        seen = [labels.get(key) for key in self.pod_keys]
        for scope, keys in self.other_keys:
            values = scopes.get(scope, {})
            seen.extend([values.get(key) for key in keys])
        return (persona.kind, tuple(seen), self.namespace(scopes.get("namespace", {})), persona.ports, where)


def _workloads(base: Snapshot, head: Snapshot, sight: _Sight) -> Iterable[_Entry]:
    sides: dict[Identity, tuple[list[Workload], list[Workload]]] = {}
    for which, snapshot in enumerate((base, head)):
        for workload in snapshot.workloads:
            key: Identity = ("workload", workload.namespace, workload.kind, workload.name)
            pair = sides.get(key)
            if pair is None:
                pair = sides[key] = ([], [])
            pair[which].append(workload)
    alike: dict[str, bool] = {}
    same = sight.vocabulary.base_attributes is None
    for key in sorted(sides):
        before, after = sides[key]
        namespace = key[1]
        if namespace not in alike:
            alike[namespace] = sight.namespace(_labels(base, namespace)) == sight.namespace(_labels(head, namespace))
        entry = _Entry(key, "workload", namespace)
        if len(before) == 1 and len(after) == 1 and before[0] is after[0] and alike[namespace] and same:
            slot = _pod_slot(key, sight.personas(before[0], _labels(head, namespace), True))
            entry.base.append(slot)
            entry.head.append(slot)
        else:
            shared: dict[tuple[object, ...], Slot] = {}
            for own, workloads, snapshot in ((entry.base, before, base), (entry.head, after, head)):
                for workload in workloads:
                    personas = sight.personas(workload, _labels(snapshot, namespace), own is entry.head)
                    slot = shared.setdefault(sight.signature(personas), _pod_slot(key, personas))
                    if slot not in own:
                        own.append(slot)
        yield entry


def _pod_slot(identity: Identity, personas: tuple[Persona, ...]) -> Slot:
    return Slot(identity, personas[0].kind, personas[0].namespace, personas)


def _labels(snapshot: Snapshot, namespace: str) -> Mapping[str, str]:
    found = snapshot.namespaces.get(namespace)
    return found.labels if found is not None else {"kubernetes.io/metadata.name": namespace}


def _hypothetical(
    pods: Sequence[Hypothetical], base: Snapshot, head: Snapshot, sight: _Sight, used: Used
) -> list[_Entry]:
    numbers = sight.vocabulary.free_ports
    ports = tuple(
        sorted((name, protocol, numbers[at]) for at in used.ports if at in numbers for name, protocol in (at,))
    )
    entries = []
    absent = {id(snapshot): _declared_on_other_side(base, head, snapshot) for snapshot in (base, head)}
    for pod in pods:
        identity = (
            "hypothetical",
            pod.namespace,
            *(f"{k}={v}" for k, v in pod.namespace_labels),
            "|",
            *(f"{k}={v}" for k, v in pod.labels),
        )
        window = pod.namespace or "\x00" + "\x00".join(f"{k}={v}" for k, v in pod.namespace_labels)
        entry = _Entry(identity, "hypothetical", window)
        labels = dict(pod.labels)
        shared: dict[tuple[object, ...], Slot] = {}
        for own, snapshot in ((entry.base, base), (entry.head, head)):
            if pod.namespace:
                if pod.namespace in absent[id(snapshot)]:
                    continue
                namespace_labels = _labels(snapshot, pod.namespace)
            else:
                namespace_labels = {"kubernetes.io/metadata.name": "anything-else", **dict(pod.namespace_labels)}
            attributes = sight.attributes(
                labels, namespace_labels, pod.namespace or window, "default", own is entry.head
            )
            personas = (Persona("pod", pod.namespace or window, attributes, ports, None),)
            own.append(shared.setdefault(sight.signature(personas), _pod_slot(identity, personas)))
        entries.append(entry)
    return entries


def _declared_on_other_side(base: Snapshot, head: Snapshot, side: Snapshot) -> set[str]:
    """Namespaces that the other side declares by an object and this one does not know: no pods of them here."""
    other = head if side is base else base
    return {
        name
        for name, namespace in other.namespaces.items()
        if namespace.object is not None and name not in side.namespaces
    }


def _partition(sets: tuple[Intervals, ...], vocabulary: Vocabulary) -> dict[int, Intervals]:
    """Address ranges by the sets that hold them: bit mask of sets -> ranges. Covers the whole line."""
    changes: dict[int, int] = {0: 0, address_line.V6: 0}
    for i, ranges in enumerate(sets):
        for first, last in ranges:
            changes[first] = changes.get(first, 0) ^ 1 << i
            changes[last + 1] = changes.get(last + 1, 0) ^ 1 << i
    end = address_line.ALL_V6[0][1] + 1
    points = sorted(changes)
    pieces: dict[int, list[tuple[int, int]]] = {}
    mask = 0
    for at, point in enumerate(points):
        if point >= end:
            break
        mask ^= changes[point]
        last = (points[at + 1] if at + 1 < len(points) else end) - 1
        pieces.setdefault(mask, []).append((point, min(last, end - 1)))
    return {mask: tuple(ranges) for mask, ranges in pieces.items()}


def _addresses(sight: _Sight) -> list[_Entry]:
    """One entry for each group of ranges that every address set holds or misses together."""
    entries = []
    for _, ranges in sorted(sight.pieces.items(), key=lambda item: item[1][0]):
        ranges = intervals.normal(ranges)
        identity = ("addresses", *(f"{first}-{last}" for first, last in ranges))
        slot = Slot(identity, "address", "", (Persona("address", addresses=ranges),))
        entry = _Entry(identity, "addresses", "")
        entry.base.append(slot)
        entry.head.append(slot)
        entries.append(entry)
    return entries


def _extra(vocabulary: Vocabulary) -> list[_Entry]:
    entries: dict[Identity, _Entry] = {}
    for extra in vocabulary.extra:
        identity: Identity = (extra.kind, extra.id)
        kind = {"entity": "entity", "fqdn": "fqdn", "node": "node"}.get(extra.kind, extra.kind)
        slot = Slot(identity, kind, "", (Persona(kind, "", extra.attributes, (), extra.addresses),))
        entry = entries.setdefault(identity, _Entry(identity, extra.kind, ""))
        if extra.base:
            entry.base.append(slot)
        if extra.head:
            entry.head.append(slot)
    return list(entries.values())


def _exposures(exposures: Sequence[ExposedRow]) -> list[_Entry]:
    entries = []
    for exposure in exposures:
        entry = _Entry(exposure.identity, "exposure", "")
        for own, personas in ((entry.base, exposure.base), (entry.head, exposure.head)):
            if personas is not None:
                same = own is entry.head and entry.base and entry.base[0].personas == personas
                own.append(
                    entry.base[0] if same else Slot(exposure.identity, "exposure", personas[0].namespace, personas)
                )
        entries.append(entry)
    return entries


def _place(entries: list[_Entry], others: list[_Entry], base: Snapshot, head: Snapshot) -> Universe:
    """Give every slot its index: regular pods by namespace, irregular rows, the rest, moved rows, then the heads of moved ones."""
    universe = Universe()
    regular: list[_Entry] = []
    moved: list[_Entry] = []
    odd: list[_Entry] = []
    for entry in entries:
        slots = entry.base + entry.head
        if len(slots) == 2 and slots[0] is slots[1] and slots[0].kind == "pod":
            regular.append(entry)
        elif any(slot.kind != "pod" for slot in slots) or len(entry.base) > 1 or len(entry.head) > 1:
            odd.append(entry)
        elif entry.base and entry.head and entry.base[0] is not entry.head[0]:
            moved.append(entry)
        else:
            regular.append(entry)
    regular.sort(key=lambda entry: (entry.namespace, bool(entry.base), bool(entry.head)))
    moved.sort(key=lambda entry: entry.namespace)
    odd += [entry for entry in others if entry.base and entry.head and entry.base[0] is not entry.head[0]]
    others = [entry for entry in others if not (entry.base and entry.head and entry.base[0] is not entry.head[0])]
    index: dict[int, int] = {}

    def add(slot: Slot) -> int:
        at = index.get(id(slot))
        if at is None:
            at = index[id(slot)] = len(universe.slots)
            universe.slots.append(slot)
        return at

    def window(entries: list[_Entry], side: int) -> None:
        for entry in entries:
            slot = (entry.base or entry.head)[0] if side == 0 else entry.head[0]
            at = add(slot)
            runs = universe.windows.setdefault(entry.namespace, [])
            if runs and runs[-1][0] + runs[-1][1] == at and _same_namespace(universe.slots[at - 1], slot):
                runs[-1] = (runs[-1][0], runs[-1][1] + 1)
            else:
                runs.append((at, 1))

    window(regular, 0)
    for entry in others + odd:
        add((entry.base or entry.head)[0])
    universe.moved = len(universe.slots)
    universe.moved_count = len(moved)
    window(moved, 0)
    universe.width = len(universe.slots)
    window(moved, 1)
    for entry in odd:
        for slot in entry.base + entry.head:
            add(slot)
    for entry in regular + others + odd + moved:
        base_slots = tuple([index[id(slot)] for slot in entry.base])
        head_slots = base_slots if entry.head == entry.base else tuple([index[id(slot)] for slot in entry.head])
        bit = (base_slots or head_slots)[0]
        universe.rows[bit] = Row(entry.identity, entry.kind, base_slots, head_slots)
        for slot in (*entry.base, *entry.head):
            slot.row = bit
    for entry in odd:
        bit = index[id((entry.base or entry.head)[0])]
        row = universe.rows[bit]
        if row.base not in ((), (bit,)) or row.head not in ((), (bit,)):
            universe.irregular.append((bit, row.base, row.head))
    rows = universe.rows.items()
    of_kind: dict[str, int] = {}
    for kind in {row.kind: None for row in universe.rows.values()}:
        of_kind[kind] = bits_at([bit for bit, row in rows if row.kind == kind])
    base_rows = bits_at([bit for bit, row in rows if row.base])
    head_rows = bits_at([bit for bit, row in rows if row.head])
    universe.base_rows, universe.head_rows = base_rows, head_rows
    states = ((base_rows & head_rows, STAYS), (head_rows & ~base_rows, ADDED), (base_rows & ~head_rows, REMOVED))
    odd_rows = sum(1 << bit for bit, _, _ in universe.irregular)
    universe.settled = base_rows & head_rows & ~odd_rows & ~(((1 << universe.moved_count) - 1) << universe.moved)
    universe.alike = universe.settled == (1 << universe.width) - 1 == (1 << len(universe.slots)) - 1
    universe.states = [(rows, state) for rows, state in states if rows]
    universe.hypothetical = of_kind.get("hypothetical", 0)
    universe.inside = universe.hypothetical | of_kind.get("workload", 0) | of_kind.get("node", 0)
    every = base_rows | head_rows
    universe.sources, universe.destinations = every & ~of_kind.get("fqdn", 0), every & ~of_kind.get("exposure", 0)
    for runs in universe.windows.values():
        members = 0
        for start, length in runs:
            if start < universe.width:
                members |= ((1 << length) - 1) << start
        strangers = members & universe.hypothetical
        if strangers and strangers != members:
            universe.mixed.append((members & ~strangers, strangers))
    return universe


def _same_namespace(left: Slot, right: Slot) -> bool:
    """Whether two pods see their namespace alike, so that they may stand in one window."""
    a, b = left.personas[0].attributes.get("namespace"), right.personas[0].attributes.get("namespace")
    return a is b or a == b


def indices(bits: int) -> list[int]:
    """The set bits, ascending."""
    if not bits:
        return []
    if bits.bit_count() * 40 < bits.bit_length():
        out = []
        while bits:
            low = bits & -bits
            out.append(low.bit_length() - 1)
            bits ^= low
        return out
    return list(compress(range(bits.bit_length()), bin(bits)[:1:-1].encode().translate(_BIT)))


_BIT = bytes(at == ord("1") for at in range(256))


def bits_at(members: list[int]) -> int:
    """An int with these bits set."""
    if not members:
        return 0
    if len(members) < 16:
        bits = 0
        for i in members:
            bits |= 1 << i
        return bits
    flags = bytearray(b"0") * (max(members) + 1)
    for i in members:
        flags[i] = 49
    return int(flags[::-1], 2)
