"""Rectangles of changed pairs in, Changes with causes, a witness and a severity out."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from bot.errors import InternalError
from bot.manifests.generated import maker
from bot.policies.model import Origin, Policy, Rule
from bot.policies.traffic import TCP, Traffic
from bot.reachability.ask import pair_masks
from bot.reachability.change import Cause, Change, Limit, PolicyText, Requests, Witness
from bot.reachability.decide import Judge, path_words, point_words
from bot.reachability.diff import Profile
from bot.reachability.endpoints import Row, indices
from bot.reachability.explain import CLOSED, OPEN, POSSIBLE, Probe
from bot.reachability.facts import Names
from bot.reachability.limits import wider
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot, Workload
    from bot.policies.dns_rules import Lookup
    from bot.policies.http_rules import Request
    from bot.policies.l7 import L7, Payload, Verdict

Key = tuple[str, str, str]
MOST_TO_CHOOSE_FROM = 1_000
_SEVERITIES = {"internet": 0, "namespace": 1, "within": 2, "ports": 3, "closed": 4}
_KINDS = {"workload": 0, "addresses": 1, "exposure": 2}


class Narrator:
    """Tells the changes of one world."""

    def __init__(self, world: World, names: Names) -> None:
        self.world = world
        self.names = names
        self.judge = Judge(world, names)
        self._policies = ({p.key: p for p in world.only_base}, {p.key: p for p in world.only_head})
        self._walked: dict[Witness, tuple[Row, Row, Probe]] = {}
        self._sets: dict[int, tuple[str, ...]] = {}
        self._spaces: dict[int, str | None] = {}
        # Nodes, the kube-apiserver and the like are of the cluster: no path to them is one to the internet.
        self._entities = sum(1 << bit for bit, row in world.universe.rows.items() if row.kind == "entity")
        self._strangers: frozenset[str] | None = None
        self._first: dict[int, int] = {}
        self._told: dict[Key, PolicyText] = {}
        self._objects: dict[bool, dict[Key, Object]] = {}

    def change(self, sources: int, destinations: int, profile: Profile, keys: tuple[Key, ...], too_many: int) -> Change:
        """One row. `too_many`: that many changed objects touch it, so that no smallest set of causes was looked for."""
        universe, traffic = self.world.universe, self.world.atoms.traffic
        before, after = profile.before | profile.before_maybe, profile.after | profile.after_maybe
        kind = kind_of(profile)
        shown = universe.hypothetical
        paths = sources.bit_count() * destinations.bit_count()
        known = (sources & ~shown).bit_count() * (destinations & ~shown).bit_count()
        witness = self._chosen(sources, destinations, profile)
        causes = tuple(
            self._cause(
                key, sources, destinations, before ^ after or profile.before ^ profile.after or _limited(profile)
            )
            for key in keys
        )
        if too_many:
            causes = (Cause(f"{too_many} changed objects", "", "changed", "head", "", (0, 0)),)
        return Change(
            "",
            kind,
            self._ids(sources),
            self._ids(destinations),
            traffic(profile.before),
            traffic(profile.after),
            traffic(profile.before_maybe),
            traffic(profile.after_maybe),
            paths,
            paths - known,
            self._severity(kind, sources, destinations),
            causes,
            witness,
            profile.endpoint,
            "",
            limits_of(self.world, profile, False),
            limits_of(self.world, profile, True),
            self._requests(profile),
            before_varies=profile.varies,
        )

    def summed(self, row: Change, sources: int, destinations: int, paths: int, hypothetical: int) -> Change:
        """A row of one rectangle made one of many: all their ends, the number of pairs, and that not every pair is meant."""
        return row._replace(
            sources=self._ids(sources),
            destinations=self._ids(destinations),
            paths=paths,
            hypothetical=hypothetical,
            severity=self._severity(row.change, sources, destinations),
            before_varies=True,
            partial=True,
        )

    def order(self, change: Change) -> tuple[object, ...]:
        """Most dangerous first: from the internet before to it, pods in Git before others; new or gone ends after those that stay."""
        return (
            bool(change.endpoint),
            _SEVERITIES[change.severity],
            change.change,
            not self._outside().intersection(change.sources),
            change.hypothetical == change.paths,
            -change.paths,
            change.sources,
            change.destinations,
            change.after,
            change.before,
        )

    def _outside(self) -> frozenset[str]:
        """The ids of what is outside of the cluster."""
        if self._strangers is None:
            universe = self.world.universe
            bits = (universe.base_rows | universe.head_rows) & ~universe.inside & ~self._entities
            self._strangers = frozenset(self._ids(bits))
        return self._strangers

    def changed_objects(self) -> tuple[PolicyText, ...]:
        """The objects named as causes so far, both sides of each."""
        return tuple(self._told[key] for key in sorted(self._told))

    def _severity(self, kind: str, sources: int, destinations: int) -> str:
        if kind in ("closed", "narrowed"):
            return "closed"
        universe = self.world.universe
        if (sources | destinations) & ~universe.inside & ~self._entities:
            return "internet"
        if kind == "widened":
            return "ports"
        found = self._one_space(sources)
        return "within" if found is not None and found == self._one_space(destinations) else "namespace"

    def _ids(self, bits: int) -> tuple[str, ...]:
        """The sorted ids of a set of rows; the same few sets stand in many changes."""
        found = self._sets.get(bits)
        if found is None:
            found = self._sets[bits] = tuple(sorted(self.names.id(bit) for bit in indices(bits)))
        return found

    def _one_space(self, bits: int) -> str | None:
        """The namespace that all of these rows are in, if it is one."""
        if bits not in self._spaces:
            spaces = {self._namespace(bit) for bit in indices(bits)}
            self._spaces[bits] = spaces.pop() if len(spaces) == 1 else None
        return self._spaces[bits]

    def _namespace(self, bit: int) -> str:
        row = self.world.universe.rows[bit]
        return row.identity[1] if row.identity[1] or row.kind == "workload" else "\x00".join(row.identity)

    # --- causes ---

    def _cause(self, key: Key, sources: int, destinations: int, atoms: int) -> Cause:
        old, new = self._policies[0].get(key), self._policies[1].get(key)
        if old is None and new is None:
            return self._moved(key)
        policy = new or old
        assert policy is not None
        change = "added" if old is None else "removed" if new is None else "changed"
        origin, head = self._line(old, new, sources, destinations, atoms)
        kind, title = policy.key[0], policy.title
        self._tell(key, title, old.object if old else None, new.object if new else None)
        snapshot = self.world.snapshots[head]
        if origin is None or origin.object is None:
            return Cause(title, kind, change, "head" if head else "base", "", (0, 0))
        file, lines = snapshot.location(origin.object, origin.path)
        side = "head" if head else "base"
        return Cause(title, kind, change, side, file, lines, path_words(origin.path), maker(origin.object))

    def _tell(self, key: Key, title: str, old: Object | None, new: Object | None) -> None:
        self._told.setdefault(key, PolicyText(title, old, new))

    def _line(
        self, old: Policy | None, new: Policy | None, sources: int, destinations: int, atoms: int
    ) -> tuple[Origin | None, bool]:
        """The one rule, or the one isolation, that differs and meets these pairs; else the whole object."""
        whole = new or old
        assert whole is not None
        for here, there, head in ((new, old, True), (old, new, False)):
            if here is None:
                continue
            known = (
                {_said(rule) for section in there.sections for rule in section.rules} if there is not None else set()
            )
            rules = {
                rule.origin.path: rule.origin
                for section in here.sections
                for rule in section.rules
                if _said(rule) not in known and self._meets(rule, sources, destinations, atoms, head)
            }
            if len(rules) == 1 and there is not None:
                return next(iter(rules.values())), head
            if len(rules) > 1 and there is not None:
                shared = _shared_path(list(rules))
                return Origin(here.object, shared), head
        return Origin(whole.object), new is not None

    def _meets(self, rule: Rule, sources: int, destinations: int, atoms: int, head: bool) -> bool:
        fold, resolve = self.world.universe.fold, self.world.resolver.resolve
        return bool(
            self.world.atoms.mask(rule.traffic) & atoms
            and fold(resolve(rule.source)[1], head) & sources
            and fold(resolve(rule.destination)[1], head) & destinations
        )

    def _moved(self, key: Key) -> Cause:
        base, head = (self._object(key, side) for side in (False, True))
        found = head or base
        title = f"{key[0]} {key[1]}/{key[2]}" if key[1] else f"{key[0]} {key[2]}"
        change = "added" if base is None else "removed" if head is None else "changed"
        if found is None:
            return Cause(title, key[0], "changed", "head", "", (0, 0))
        self._tell(key, title, base, head)
        snapshot = self.world.snapshots[head is not None]
        path: tuple[str | int, ...] = ()
        if base is not None and head is not None:
            path = _differing_path(base.value, head.value)
        file, lines = snapshot.location(found, path)
        return Cause(title, key[0], change, "head" if head is not None else "base", file, lines, path_words(path))

    def _object(self, key: Key, head: bool) -> Object | None:
        found = self._objects.get(head)
        if found is None:
            snapshot = self.world.snapshots[head]
            found = self._objects[head] = _objects(snapshot)
        return found.get(key)

    # --- the witness ---

    def _chosen(self, sources: int, destinations: int, profile: Profile) -> Witness:
        """One concrete path with its verdicts by rows, not yet decided by rules."""
        if kind_of(profile) in ("opened", "widened"):
            # What makes it worst is shown.
            outside = ~self.world.universe.inside & ~self._entities
            if sources & outside:
                sources &= outside
            elif destinations & outside:
                destinations &= outside
        source, destination = self._ends(sources, destinations)
        if profile.varies:
            masks = [pair_masks(self.world, source, destination, head) for head in (False, True)]
            profile = Profile(*masks[0], *masks[1], profile.endpoint)
        point, port = self._point(profile, destination)
        request = self._request(profile, point)
        before, after = (self._expected(profile, point, port, head, request) for head in (False, True))
        ends = (self.names.id_of(source), self.names.id_of(destination))
        chosen = Witness(*ends, point_words(point), before, after, (), (), request=words_of(request))
        self._walked[chosen] = (source, destination, Probe(point, port, request))
        return chosen

    def _requests(self, profile: Profile) -> tuple[Requests, ...]:
        """How the requests differ on atoms that are open on both sides."""
        out: dict[tuple[str, str, str, str], int] = {}
        for atoms, old, new in profile.l7:
            both = atoms & (profile.before | profile.before_maybe) & (profile.after | profile.after_maybe)
            if both and old != new:
                wide, narrow = compared(old, new)
                said = (wide.answer, words_of(wide.witness), narrow.answer, words_of(narrow.witness))
                if said[0] != "no" or said[2] != "no":
                    out[said] = out.get(said, 0) | both
        return tuple(sorted(Requests(self.world.atoms.traffic(mask), *said) for said, mask in out.items()))

    def _request(self, profile: Profile, point: int) -> Request | Lookup | Payload | None:
        """A request that tells the sides apart, where the traffic itself does not."""
        atom = self.world.atoms.atom(point) or 0
        before, after = profile.before | profile.before_maybe, profile.after | profile.after_maybe
        for atoms, old, new in profile.l7:
            if atoms & atom & before & after and old != new:
                wide, narrow = compared(old, new)
                if wide.witness is not None or narrow.witness is not None:
                    return wide.witness or narrow.witness
        return None

    def decided(self, change: Change) -> Change:
        """The row with its witness walked on both sides. Raises InternalError if rules and rows disagree."""
        chosen = change.witness
        source, destination, probe = self._walked[chosen]
        expected = (chosen.before, chosen.after)
        decided = [self.judge.decide(source, destination, probe, head) for head in (False, True)]
        for head, (verdict, _) in enumerate(decided):
            if verdict not in (expected[head], "absent"):
                where = "head" if head else "base"
                raise InternalError(
                    f"two readings of one path disagree: {self.names.id_of(source)} -> {self.names.id_of(destination)} "
                    f"{chosen.port} is {expected[head]} by rows and {verdict} by rules ({where}); please report this"
                )
        (before, why_before), (after, why_after) = decided
        return change._replace(
            witness=chosen._replace(before=before, after=after, decided_before=why_before, decided_after=why_after)
        )

    def _expected(
        self,
        profile: Profile,
        point: int,
        port: int | None,
        head: bool,
        request: Request | Lookup | Payload | None = None,
    ) -> str:
        atom = self.world.atoms.atom(point, port) or 0
        if request is not None:
            limits = [span[2] if head else span[1] for span in profile.l7 if span[0] & atom]
            if any(l7 is not None and l7.matches(request) is False for l7 in limits):
                return CLOSED
        if (profile.after if head else profile.before) & atom:
            return OPEN
        return POSSIBLE if (profile.after_maybe if head else profile.before_maybe) & atom else CLOSED

    def _ends(self, sources: int, destinations: int) -> tuple[Row, Row]:
        source = self._best(sources)
        others = destinations & ~(1 << source) or destinations
        destination = self._best(others)
        if source == destination and sources & ~(1 << source):
            source = self._best(sources & ~(1 << source))
        rows = self.world.universe.rows
        return rows[source], rows[destination]

    def _best(self, bits: int) -> int:
        """A known workload before addresses before the rest, by name; of thousands, the first that come."""
        found = self._first.get(bits)
        if found is None:
            universe = self.world.universe
            real = bits & universe.inside & ~universe.hypothetical
            among = indices(real or bits & ~universe.hypothetical or bits)[:MOST_TO_CHOOSE_FROM]
            found = min(among, key=lambda bit: (_KINDS.get(universe.rows[bit].kind, 3), self.names.id(bit)))
            self._first[bits] = found
        return found

    def _point(self, profile: Profile, destination: Row) -> tuple[int, int | None]:
        """The point that tells the sides apart best, and the source port where a client's does not."""
        gained = profile.after & ~profile.before or (profile.after | profile.after_maybe) & ~(
            profile.before | profile.before_maybe
        )
        lost = profile.before & ~profile.after or (profile.before | profile.before_maybe) & ~(
            profile.after | profile.after_maybe
        )
        changed = gained or lost or _limited(profile) or profile.after_maybe | profile.before_maybe
        traffic = self.world.atoms.traffic(changed)
        for point in [*self._declared(destination), TCP << 16 | 443]:
            if any(box.first <= point <= box.last for box in traffic):
                return point, self.world.atoms.source(changed, point)
        lowest = _lowest(traffic)
        return lowest, self.world.atoms.source(changed, lowest)

    def _declared(self, row: Row) -> list[int]:
        if row.kind != "workload":
            return []
        _, *key = row.identity
        found: set[int] = set()
        for snapshot in self.world.snapshots:
            workloads = snapshot.workloads
            at = bisect_left(workloads, key, key=_place)
            while at < len(workloads) and _place(workloads[at]) == key:
                found.update(port.protocol << 16 | port.number for port in workloads[at].ports)
                at += 1
        return sorted(found)


def _place(workload: Workload) -> list[str]:
    return [workload.namespace, workload.kind, workload.name]


def kind_of(profile: Profile) -> str:
    """opened, closed, widened (also: more and less at once) or narrowed; on equal traffic, by the requests allowed there."""
    before, after = profile.before | profile.before_maybe, profile.after | profile.after_maybe
    if not before:
        return "opened"
    if not after:
        return "closed"
    gains = bool(after & ~before or profile.after & ~profile.before)
    if not gains and profile.l7:
        gains = any(wider(span) for span in profile.l7 if span[0] & before & after)
    return "widened" if gains else "narrowed"


def limits_of(world: World, profile: Profile, head: bool) -> tuple[Limit, ...]:
    """The traffic of one side on which only some requests are allowed."""
    allowed = profile.after | profile.after_maybe if head else profile.before | profile.before_maybe
    masks: dict[L7, int] = {}
    for atoms, old, new in profile.l7:
        l7 = new if head else old
        if l7 is not None and atoms & allowed:
            masks[l7] = masks.get(l7, 0) | (atoms & allowed)
    return tuple(sorted(Limit(world.atoms.traffic(mask), l7.kind, l7.words) for l7, mask in masks.items()))


def compared(old: L7 | None, new: L7 | None) -> tuple[Verdict, Verdict]:
    """Whether `new` allows requests that `old` does not, and the converse; None allows all."""
    from bot.policies import l7

    found = l7.compare(old or l7.ALL, new or l7.ALL)
    return found.wider, found.narrower


def words_of(request: Request | Lookup | Payload | None) -> str:
    """A request as people read it."""
    return request.words if request is not None else ""


def _limited(profile: Profile) -> int:
    """The atoms on which the requests differ."""
    out = 0
    for atoms, old, new in profile.l7:
        out |= atoms if old != new else 0
    return out


def _said(rule: Rule) -> tuple[object, ...]:
    return (rule.action, rule.source, rule.destination, rule.traffic, rule.l7)


def _shared_path(paths: list[tuple[str | int, ...]]) -> tuple[str | int, ...]:
    first = min(paths, key=len)
    length = 0
    while length < len(first) and all(path[length] == first[length] for path in paths):
        length += 1
    return first[:length]


def _lowest(traffic: Traffic) -> int:
    tcp = [box.first for box in traffic if box.first >> 16 == TCP]
    point = tcp[0] if tcp else traffic[0].first
    return point if point & 0xFFFF else point + (traffic[0].last > point)


def _objects(snapshot: Snapshot) -> dict[Key, Object]:
    found: dict[Key, Object] = {}
    for obj in snapshot.objects.values():
        found[(obj.kind, obj.namespace, obj.name)] = obj
    for workload in snapshot.workloads:
        found[(workload.kind, workload.namespace, workload.name)] = workload.object
    return found


def _differing_path(base: object, head: object) -> tuple[str | int, ...]:
    """Where two versions of an object differ: in what policies look at of a workload, else the one field that differs."""
    for path in (("spec", "template", "metadata", "labels"), ("metadata", "labels")):
        before, after = base, head
        for part in path:
            before = before.get(part) if isinstance(before, dict) else None
            after = after.get(part) if isinstance(after, dict) else None
        if before != after and after is not None:
            return path
    found: tuple[str | int, ...] = ()
    while isinstance(base, dict) and isinstance(head, dict):
        fields = [field for field in {**base, **head} if base.get(field) != head.get(field)]
        if len(fields) != 1 or fields[0] not in head:
            break
        found, base, head = (*found, fields[0]), base.get(fields[0]), head[fields[0]]
    return found
