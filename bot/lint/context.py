"""Both sides of a run in; for each side, what rules ask of it: its policies taken apart, and what they select and let through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.lint import scope
from bot.lint.allowing import Allowing, allowing
from bot.lint.matching import both_pods, namespaces_of, without_ports
from bot.lint.near import Speller, holds, labels_asked
from bot.lint.written import value_at
from bot.policies import addresses as address_line
from bot.policies.model import Expr, InNamespace, Origin, Policy, Rule
from bot.policies.traffic import TCP, UDP
from bot.reachability.endpoints import Hypothetical, bits_at, indices
from bot.reachability.numbered import Numbered, is_met, numbered
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.lint.finding import Path
    from bot.manifests.exposures import Exposure
    from bot.manifests.snapshot import Object, Snapshot, Workload
    from bot.policies.model import Lowered, Problem, Section
    from bot.reachability.cells import Cell

DNS_PODS = Hypothetical((("k8s-app", "kube-dns"),), "kube-system")
LABELS_OF_DNS = (("k8s-app", "kube-dns"), ("app.kubernetes.io/name", "coredns"))
NODE_LOCAL_DNS = "169.254.20.10"
METADATA = ("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "169.254.170.2", "169.254.170.23")
DIRECTIONS = ("ingress", "egress")


class Peer(NamedTuple):
    """One item of `from` or `to` (or a rule without any, with its own path): the peers it means, and what it lets through.

    `rules`: what it was lowered to; several where ports have names. `other`: the peers, whatever ports they have.
    """

    policy: Policy
    object: Object
    section: Section
    direction: str
    path: Path
    rules: tuple[Rule, ...]
    other: Expr

    @property
    def subject(self) -> Expr:
        """The policy's own side, as the rule narrows it."""
        rule = self.rules[0]
        return rule.source if self.direction == "egress" else rule.destination


class Item(NamedTuple):
    """One rule of a NetworkPolicy as it is written."""

    direction: str
    path: Path
    peers: list[dict[str, Any]]
    ports: list[dict[str, Any]]
    value: dict[str, Any]


class View(NamedTuple):
    """A NetworkPolicy that an API server would take, as it is written. `types`: the directions it isolates."""

    object: Object
    policy: Policy
    spec: dict[str, Any]
    types: tuple[str, ...]
    items: tuple[Item, ...]


def operated_scrapers(snapshot: Snapshot) -> list[Hypothetical]:
    """The pods that prometheus-operator makes of `Prometheus` objects (its documentation, operator/labels)."""
    return [
        Hypothetical((("app.kubernetes.io/name", "prometheus"), ("prometheus", obj.name)), obj.namespace)
        for obj in snapshot.by_kind("Prometheus")
        if obj.api_version.startswith("monitoring.coreos.com/")
    ]


class Run:
    """What both sides of a run share: one world over both, and what was worked out for an object that is on both."""

    def __init__(self, base: Snapshot, head: Snapshot, lowered: Lowered, narrowed: bool = False) -> None:
        """`narrowed`: look only at what a change from base to head can make differ (`scope.py`).

        `enforced`: by side, what decides about the pods that are looked at; `chains`: of it, what is reported on.
        """
        self.lowered = lowered
        self.snapshots = (base, head)
        self.pods = both_pods(base, head, lowered.vocabulary)
        self.scope = scope.scope(base, head, lowered, self.pods) if narrowed else None
        self.memo: dict[tuple[object, ...], Any] = {}
        self._world: World | None = None
        self.contexts: dict[bool, Context] = {}
        self._numbered: tuple[Numbered | None] | None = None
        self.enforced = (lowered.base, lowered.head)
        self.chains = self.enforced
        self.judged = (base, head)
        if self.scope is not None:
            judged = self.scope.judged
            self.enforced = (scope.chain(lowered.base, judged), scope.chain(lowered.head, judged))
            self.chains = (
                scope.chain(self.enforced[0], self.scope.reported),
                scope.chain(self.enforced[1], self.scope.reported),
            )
            self.judged = (scope.part(base, judged), scope.part(head, judged))

    @property
    def world(self) -> World:
        """Both sides, with the pods and addresses that rules ask about; built when it is first needed."""
        if self._world is None:
            cuts = [address_line.parse_cidr(text) for text in (*METADATA, NODE_LOCAL_DNS)]
            lowered = self.lowered
            if self.scope is not None:
                lowered = lowered._replace(base=self.enforced[0], head=self.enforced[1])
            self._world = World(*self.judged, lowered, self._strangers(), cuts)
        return self._world

    def peers(self, policy: Policy) -> tuple[Peer, ...]:
        """The peers of one policy, taken apart once for both sides."""
        found = self.memo.get(("peers", id(policy)))
        if found is None:
            found = self.memo[("peers", id(policy))] = _peers_of(policy)
        return found

    def is_on_both(self, policy: Policy) -> bool:
        """Whether both sides have the identical policy."""
        if ("both",) not in self.memo:
            self.memo[("both",)] = frozenset.intersection(
                *(frozenset(map(id, chain.policies)) for chain in self.enforced)
            )
        return id(policy) in self.memo[("both",)]

    def _strangers(self) -> tuple[Hypothetical, ...]:
        scrapers = dict.fromkeys(pod for side in self.snapshots for pod in operated_scrapers(side))
        return (DNS_PODS, *scrapers)

    @property
    def numbered(self) -> Numbered | None:
        """The pods by the slots that they have in the world, where that can be told without it."""
        if self._numbered is None:
            self._numbered = (numbered(*self.judged, self.lowered, self._strangers()),)
        return self._numbered[0]


class Context:
    """One side, as rules see it. Everything is worked out once, when it is first asked for.

    `chain` has the policies to report on, `enforced` all that decide about their pods: a comparison looks only at the
    namespaces that it can make differ. Slots are of the latter's namespaces; `selected` is of the whole side.
    """

    def __init__(self, run: Run, head: bool) -> None:
        self.run = run
        self.head = head
        self.snapshot = run.snapshots[head]
        self.lowered = run.lowered
        self.enforced = run.enforced[head]
        self.chain = run.chains[head]
        self.problems: tuple[Problem, ...] = run.lowered.problems_head if head else run.lowered.problems_base
        self._cache: dict[object, Any] = {}
        self._alone: Context | None = None
        if type(self) is Context:
            run.contexts[head] = self

    @property
    def opposite(self) -> Context:
        """The other side."""
        return self.run.contexts.get(not self.head) or Context(self.run, not self.head)

    @property
    def alone(self) -> Context:
        """This side with only those policies in `chain` that a rule which looks at each alone can find other things of than before."""
        if self.run.scope is None:
            return self
        if self._alone is None:
            self._alone = _Alone(self, self.run.scope.fresh)
        return self._alone

    # --- Policies ---

    def once(self, what: str, make: Any) -> Any:
        """The value of `make()`, worked out once for this side."""
        if what not in self._cache:
            self._cache[what] = make()
        return self._cache[what]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of objects (workloads left out) that this side has."""
        return self.once("kinds", lambda: frozenset(obj.kind for obj in self.snapshot.objects.values()))  # type: ignore[no-any-return]

    def every_object(self) -> Iterator[Object]:
        """The objects and workloads whose findings are told."""
        yield from filter(self.is_told, self.snapshot.objects.values())
        yield from filter(self.is_told, dict.fromkeys(workload.object for workload in self.snapshot.workloads))

    def halves(self) -> Iterator[Peer]:
        """The peers of every policy whose other half may differ: those to report on, and those elsewhere that one of them is for."""
        yield from self.peers
        if self.run.scope is not None and self.run.scope.halves:
            for policy in self.enforced.policies:
                if id(policy) in self.run.scope.halves and policy.object is not None and not policy.staged:
                    yield from self.run.peers(policy)

    @property
    def views(self) -> tuple[View, ...]:
        """The NetworkPolicies of this side, as they are written."""
        return self.once("views", lambda: tuple(self._views()))  # type: ignore[no-any-return]

    def _views(self) -> Iterator[View]:
        for policy in self.chain.policies:
            found = self.view(policy)
            if found is not None:
                yield found

    def view(self, policy: Policy) -> View | None:
        """A policy as it is written; None for one of another API."""
        memo = self.run.memo
        obj = policy.object
        if obj is None or obj.kind != "NetworkPolicy" or not obj.api_version.startswith(("networking", "extensions")):
            return None
        found = memo.get(("view", id(policy)))
        if found is None:
            found = memo[("view", id(policy))] = _view(obj, policy)
        return found

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Every peer of every policy in force, of whatever API."""
        return self.once("peers", lambda: tuple(self._peers()))  # type: ignore[no-any-return]

    def _peers(self) -> Iterator[Peer]:
        for policy in self.chain.policies:
            if policy.object is not None and not policy.staged:
                yield from self.run.peers(policy)

    # --- What they select ---

    def bits(self, expr: Expr) -> int:
        """The slots of this side that surely match."""
        numbers = self.run.numbered
        found = numbers.bits(expr) if numbers is not None else None
        return (self.run.world.resolver.resolve(expr)[0] if found is None else found) & self.slots

    @property
    def slots(self) -> int:
        """The slots of the workloads of this side; without those of the host network, where that is enough."""
        numbers = self.run.numbered
        return self.once("slots", self._slots)[0] if numbers is None else numbers.sides[self.head]

    @property
    def pods(self) -> Mapping[int, Workload]:
        """As `by_slot`, without those of the host network, where that is enough."""
        numbers = self.run.numbered
        return self.by_slot if numbers is None else numbers.pods[self.head]

    @property
    def by_slot(self) -> Mapping[int, Workload]:
        """Slot -> the workload it stands for, one that runs on the host network included."""
        return self.once("slots", self._slots)[1]  # type: ignore[no-any-return]

    def _slots(self) -> tuple[int, dict[int, Workload]]:
        numbers = self.run.numbered
        if numbers is not None and numbers.whole:
            return numbers.sides[self.head], numbers.pods[self.head]
        own: dict[tuple[str, ...], Workload] = {
            ("workload", *_identity(w)): w for w in reversed(self.run.judged[self.head].workloads)
        }
        found: dict[int, Workload] = {}
        several: dict[tuple[str, ...], list[Workload]] = {}
        for row in self.run.world.universe.rows.values():
            if row.kind != "workload":
                continue
            slots = row.head if self.head else row.base
            if len(slots) == 1:
                found[slots[0]] = own[row.identity]
            elif slots:
                if not several:
                    for workload in self.snapshot.workloads:
                        several.setdefault(("workload", *_identity(workload)), []).append(workload)
                for slot in slots:
                    labels = self.run.world.universe.slots[slot].personas[0].attributes.get("pod", {})
                    found[slot] = next(
                        (w for w in several[row.identity] if w.labels == labels), several[row.identity][0]
                    )
        return bits_at(list(found)), found

    @property
    def pods_by_namespace(self) -> Mapping[str, int]:
        """Namespace -> the slots of its workloads, those of the host network left out."""
        return self.once("pods_by_namespace", self._pods_by_namespace)  # type: ignore[no-any-return]

    def _pods_by_namespace(self) -> dict[str, int]:
        numbers = self.run.numbered
        if numbers is not None:
            found = {name: numbers.bits(InNamespace(name)) or 0 for name in numbers.by_namespace}
            return {name: bits & self.slots for name, bits in found.items()}
        members: dict[str, list[int]] = {}
        for slot, workload in sorted(self.pods.items()):
            if not workload.host_network:
                members.setdefault(workload.namespace, []).append(slot)
        return {name: bits_at(slots) for name, slots in members.items()}

    def workloads(self, bits: int) -> list[Workload]:
        """The workloads of some slots, in the order of slots."""
        by_slot = self.pods
        return [by_slot[slot] for slot in indices(bits & self.slots)]

    def selected(self, expr: Expr) -> Sequence[Workload]:
        """The workloads of the side that an expression surely matches."""
        return self.run.pods[self.head].selected(expr)

    def labelled(self, key: str, values: Iterable[str]) -> list[Workload]:
        """The workloads that are looked at and have a label with one of these values."""
        found = self.run.pods[self.head].labelled(key, values)
        return found if self.run.scope is None else [w for w in found if w.namespace in self.run.scope.judged]

    @property
    def speller(self) -> Speller:
        """What looks for typos on this side."""
        return self.once("speller", Speller)  # type: ignore[no-any-return]

    def is_told(self, obj: Object) -> bool:
        """Whether findings of an object are told: those of other namespaces are the same on both sides."""
        scope = self.run.scope
        return scope is None or not obj.namespace or obj.namespace in scope.reported or id(obj) in scope.beside

    def in_namespace(self, namespace: str) -> list[Workload]:
        """The workloads of a namespace."""
        return self.run.pods[self.head].by_namespace.get(namespace, [])

    def matches(self, expr: Expr, labels: Mapping[str, str]) -> bool:
        """Whether a pod's own labels meet what an expression asks of them."""
        return all(holds(part, labels) for part in labels_asked(expr) or ())

    def subject(self, policy: Policy) -> Expr | None:
        """Which pods a policy is about, where one expression says so; None for one about no pods."""
        for section in policy.sections:
            if section.checkpoint not in DIRECTIONS:
                continue
            outwards = section.checkpoint == "egress"
            for isolation in section.isolates:
                return isolation.source if outwards else isolation.destination
            for rule in section.rules:
                return without_ports(rule.source if outwards else rule.destination)
        return None

    def subjects(self, policy: Policy, direction: str) -> list[int]:
        """The slots of the workloads that a policy selects in a direction."""
        bits = 0
        for section in policy.sections:
            if section.checkpoint == direction:
                for isolation in section.isolates:
                    bits |= self.bits(isolation.source if direction == "egress" else isolation.destination)
        return indices(bits)

    def selector_path(self, policy: Policy) -> Path:
        """Where a policy says which pods it is about."""
        spec = policy.object.value.get("spec") if policy.object is not None else None
        for field in ("podSelector", "endpointSelector", "subject", "selector", "appliedTo"):
            if type(spec) is dict and field in spec:
                return ("spec", field)
        return ("spec",)

    def in_other_namespaces(self, peer: Peer) -> list[Workload]:
        """Of a NetworkPolicy's peer that names no namespace and matches nothing at home: the pods elsewhere that it would match."""
        if peer.object.kind != "NetworkPolicy" or namespaces_of(peer.other) != (peer.object.namespace,):
            return []
        written = value_at(peer.object.value, peer.path)
        if value_at(written, ("namespaceSelector",)) is not None or not value_at(written, ("podSelector",)):
            return []
        asked = labels_asked(peer.other)
        if not asked or self.selected(peer.other) or self.is_beside_namespaces(peer):
            return []
        found = [w for w in self.run.pods[self.head].candidates(asked) if all(holds(part, w.labels) for part in asked)]
        return (
            found
            if len({w.namespace for w in found}) <= 3 and not any(w.namespace == peer.object.namespace for w in found)
            else []
        )

    def is_beside_namespaces(self, peer: Peer) -> bool:
        """Whether the item before or behind is a namespaceSelector alone: what peer-list-split speaks of."""
        at = peer.path[-1]
        if not isinstance(at, int) or peer.object.kind != "NetworkPolicy":
            return False
        listed = value_at(peer.object.value, (*peer.path[:-2], str(peer.path[-2])))
        around = [listed[i] for i in (at - 1, at + 1) if type(listed) is list and 0 <= i < len(listed)]
        return any(
            type(item) is dict and item.get("namespaceSelector") is not None and item.get("podSelector") is None
            for item in around
        )

    def namespaces(self, expr: Expr) -> list[str]:
        """The namespaces of this side that an expression of pods looks into (all of them where it asks nothing of them)."""
        return self.run.pods[self.head].namespaces(expr)

    def unseen(self, expr: Expr, namespaces: Iterable[str]) -> bool:
        """Whether pods of the host network there have the labels that an expression asks for: no policy sees them."""
        asked = labels_asked(expr)
        return bool(asked) and any(
            workload.host_network and all(holds(part, workload.labels) for part in asked or ())
            for name in namespaces
            for workload in self.in_namespace(name)
        )

    # --- What they let through ---

    def isolated(self, direction: str) -> int:
        """The slots of workloads whose traffic in a direction some policy denies unless it is allowed."""
        return self.once(direction, lambda: self._isolated(direction))[0]  # type: ignore[no-any-return]

    def isolating(self, direction: str) -> list[tuple[Policy, int, Origin]]:
        """Every policy that isolates in a direction, with the slots of the workloads it does that to, and where it says so."""
        return self.once(direction, lambda: self._isolated(direction))[1]  # type: ignore[no-any-return]

    def _isolated(self, direction: str) -> tuple[int, list[tuple[Policy, int, Origin]]]:
        ends = {
            (checkpoint.name, tier.name): tier.end
            for checkpoint in self.enforced.checkpoints
            for tier in checkpoint.tiers
        }
        numbers = self.run.numbered
        chains = self.run.enforced
        alike = (
            numbers is not None
            and numbers.sides[0] == numbers.sides[1]
            and chains[0].checkpoints == chains[1].checkpoints
        )
        memo = self.run.memo if alike else {}
        union = 0
        found: list[tuple[Policy, int, Origin]] = []
        for policy in self.enforced.policies:
            if policy.staged:
                continue
            at = "isolates", direction, id(policy)
            if at not in memo:
                memo[at] = self._isolates(policy, direction, ends)
            for bits, origin in memo[at]:
                union |= bits
                found.append((policy, bits, origin))
        return union, found

    def _isolates(
        self, policy: Policy, direction: str, ends: Mapping[tuple[str, str], str]
    ) -> tuple[tuple[int, Origin], ...]:
        """Which slots one policy isolates in a direction, and where it says so."""
        out: list[tuple[int, Origin]] = []
        numbers = self.run.numbered
        for section in policy.sections:
            if section.checkpoint != direction or ends.get((direction, section.tier)) != "deny":
                continue
            for isolation in section.isolates:
                expr = isolation.source if direction == "egress" else isolation.destination
                known = numbers.bits(expr) if numbers is not None else None
                bits = self.bits(expr) if known is None else known & self.slots
                if bits:
                    out.append((bits, isolation.origin))
        return tuple(out)

    def allowed(self, direction: str, slot: int, point: int | None = None) -> int:
        """The slots that may send to `slot` by their own egress policies (or receive from it by their own ingress ones).

        `point`: that traffic (protocol << 16 | port) alone; None: any at all. What is possibly allowed counts.
        """
        out = 0
        for cell in self._cells(direction, slot, "destination" if direction == "egress" else "source"):
            if point is None or self._holds(cell, point):
                out |= cell.open | cell.maybe
        return out

    def reached(self, direction: str, slot: int, point: int | None = None) -> int:
        """The slots that `slot` may send to by its own egress policies (or receive from by its own ingress ones)."""
        out = 0
        for cell in self._cells(direction, slot, "source" if direction == "egress" else "destination"):
            if point is None or self._holds(cell, point):
                out |= cell.open | cell.maybe
        return out

    def allowing(self, direction: str) -> Allowing | None:
        """The allow rules of a direction, where one that opens something is enough."""
        return self.once(f"allowing {direction}", lambda: allowing(self.run, self.enforced, direction))  # type: ignore[no-any-return]

    def opens(self, direction: str, slot: int, mask: int) -> int:
        """The same for any traffic of a mask of atoms."""
        out = 0
        for cell in self._cells(direction, slot, "source" if direction == "egress" else "destination"):
            if cell.mask & mask:
                out |= cell.open | cell.maybe
        return out

    def _cells(self, direction: str, slot: int, axis: str) -> list[Cell]:
        at = ("cells", direction, slot, axis)
        found = self._cache.get(at)
        if found is None:
            world = self.run.world
            checkpoint = next((c for c in self.chain.checkpoints if c.name == direction), None)
            if checkpoint is None:
                return []
            found = self._cache[at] = world.evaluator.row(world.stack(checkpoint, axis, self.head), slot)
        return found

    def _holds(self, cell: Cell, point: int) -> bool:
        atom = self.run.world.atoms.atom(point)
        return atom is not None and bool(cell.mask & atom)

    def mask_of(self, traffic: Iterable[Any]) -> int:
        """The atoms of a rule's traffic."""
        return self.run.world.atoms.mask(tuple(traffic))

    def address_slots(self, text: str) -> list[int]:
        """The slots of an address that no endpoint is known to have."""
        point = address_line.parse_address(text)
        return [
            slot for slot, ranges in self.once("addresses", self._addresses) if any(a <= point <= b for a, b in ranges)
        ]

    def _addresses(self) -> list[tuple[int, Any]]:
        universe = self.run.world.universe
        return [
            (slot, universe.slots[slot].personas[0].addresses or ())
            for row in universe.rows.values()
            if row.kind == "addresses"
            for slot in (row.head if self.head else row.base)
        ]

    @property
    def dns_slots(self) -> list[int]:
        """The slots of cluster DNS: its pods, in Git or not, and the address of the node-local cache."""
        return self.once("dns_slots", self._dns_slots)  # type: ignore[no-any-return]

    def _dns_slots(self) -> list[int]:
        out = [
            slot
            for slot, workload in self.by_slot.items()
            if workload.namespace == "kube-system" and any(workload.labels.get(k) == v for k, v in LABELS_OF_DNS)
        ]
        return [*out, *self.standing_in(DNS_PODS), *self.address_slots(NODE_LOCAL_DNS)]

    def standing_in(self, pod: Hypothetical) -> list[int]:
        """The slots of a pod that is not in Git, of those that the world was made with."""
        identity = ("hypothetical", pod.namespace, "|", *(f"{key}={value}" for key, value in pod.labels))
        return [
            slot
            for row in self.run.world.universe.rows.values()
            if row.kind == "hypothetical" and row.identity == identity
            for slot in (row.head if self.head else row.base)
        ]

    @property
    def dns_allowed(self) -> tuple[int, int]:
        """The slots that may ask cluster DNS over UDP, and over TCP, by their own egress policies."""
        return self.once("dns_allowed", self._dns_allowed)  # type: ignore[no-any-return]

    def _dns_allowed(self) -> tuple[int, int]:
        udp = tcp = 0
        for slot in self.dns_slots:
            udp |= self.allowed("egress", slot, UDP << 16 | 53)
            tcp |= self.allowed("egress", slot, TCP << 16 | 53)
        return udp, tcp

    @property
    def dns_surely_allowed(self) -> int:
        """Some of those that may ask it over UDP, if not all: whom a rule lets that names its usual pods; costs less."""
        return self.once("dns_surely_allowed", self._dns_surely_allowed)  # type: ignore[no-any-return]

    def _dns_surely_allowed(self) -> int:
        allowing = self.allowing("egress")
        numbers = self.run.numbered
        if allowing is None or numbers is None or not allowing.alone:
            return 0
        namespace = self.snapshot.namespaces.get(DNS_PODS.namespace)
        home = namespace.labels if namespace is not None else {"kubernetes.io/metadata.name": DNS_PODS.namespace}
        point = UDP << 16 | 53
        out = 0
        for rule in allowing.every():
            if any(box.first <= point <= box.last and not box.source_first for box in rule.traffic) and is_met(
                rule.other, dict(DNS_PODS.labels), DNS_PODS.namespace, home
            ):
                out |= numbers.bits(rule.subject) or 0
        return out & self.slots

    @property
    def exposures(self) -> list[Exposure]:
        """Ingresses, routes, load balancers and node ports."""
        from bot.manifests.exposures import exposures

        return self.once("exposures", lambda: exposures(self.snapshot))  # type: ignore[no-any-return]

    def exposed(self) -> Mapping[int, list[Exposure]]:
        """Slot of a workload -> what exposes it."""
        return self.once("exposed", self._exposed)  # type: ignore[no-any-return]

    def _exposed(self) -> dict[int, list[Exposure]]:
        out: dict[int, list[Exposure]] = {}
        slots = slots_by_namespace(self)
        for exposure in self.exposures:
            for backend in exposure.backends:
                if backend.selector:
                    for slot, workload in slots.get(backend.namespace, ()):
                        if _matches(backend.selector, workload.labels) and exposure not in out.get(slot, ()):
                            out.setdefault(slot, []).append(exposure)
        return out


class _Alone(Context):
    """A side with fewer policies to report on; what does not come of those is worked out once for both."""

    def __init__(self, whole: Context, fresh: frozenset[int]) -> None:
        super().__init__(whole.run, whole.head)
        self.chain = whole.chain._replace(policies=tuple(p for p in whole.enforced.policies if id(p) in fresh))
        self._whole = whole
        self._alone = self

    def once(self, what: str, make: Any) -> Any:
        """As of the whole side, but for what is made of the policies to report on."""
        return super().once(what, make) if what in _OF_CHAIN else self._whole.once(what, make)


_OF_CHAIN = frozenset({"views", "peers", "halves", "rules_with_ports"})


def slots_by_namespace(context: Context) -> Mapping[str, list[tuple[int, Workload]]]:
    """Namespace -> (slot, workload) of each of its workloads."""

    def make() -> dict[str, list[tuple[int, Workload]]]:
        out: dict[str, list[tuple[int, Workload]]] = {}
        for slot, workload in sorted(context.by_slot.items()):
            out.setdefault(workload.namespace, []).append((slot, workload))
        return out

    return context.once("slots_by_namespace", make)  # type: ignore[no-any-return]


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _identity(workload: Workload) -> tuple[str, str, str]:
    return workload.namespace, workload.kind, workload.name


def _view(obj: Object, policy: Policy) -> View:
    spec = obj.value.get("spec")
    spec = spec if type(spec) is dict else {}
    items = []
    for direction in DIRECTIONS:
        rules = spec.get(direction)
        for index, value in enumerate(rules if type(rules) is list else ()):
            value = value if type(value) is dict else {}
            peers = value.get("from" if direction == "ingress" else "to")
            ports = value.get("ports")
            items.append(
                Item(
                    direction,
                    ("spec", direction, index),
                    [peer for peer in peers if type(peer) is dict] if type(peers) is list else [],
                    [port for port in ports if type(port) is dict] if type(ports) is list else [],
                    value,
                )
            )
    types = tuple(section.checkpoint for section in policy.sections if section.checkpoint in DIRECTIONS)
    return View(obj, policy, spec, tuple(dict.fromkeys(types)), tuple(items))


def _peers_of(policy: Policy) -> tuple[Peer, ...]:
    out = []
    for section in policy.sections:
        if section.checkpoint not in DIRECTIONS:
            continue
        groups: dict[tuple[object, ...], list[Rule]] = {}
        for rule in section.rules:
            if rule.origin.object is not None:
                groups.setdefault((rule.origin.path, rule.action), []).append(rule)
        for rules in groups.values():
            origin = rules[0].origin
            assert origin.object is not None
            other = without_ports(rules[0].destination if section.checkpoint == "egress" else rules[0].source)
            out.append(Peer(policy, origin.object, section, section.checkpoint, origin.path, tuple(rules), other))
    return tuple(out)


def item_of(path: Path) -> Path:
    """The path of the rule that a path is in: `spec.ingress[1]` of `spec.ingress[1].from[0]`."""
    for at, step in enumerate(path):
        if isinstance(step, int):
            return path[: at + 1]
    return path
