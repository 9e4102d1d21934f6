"""One path of one side in, what a person should look at to understand it, in the order to look, out.

Does the CNI enforce policies; which policies select each end; what each of their peer selectors matches, and what it
misses the other end by; the rule that decides; the port; the other side's half.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.policies import addresses as address_line
from bot.policies.model import (
    And,
    Checkpoint,
    Everything,
    Expr,
    HasPort,
    InAddresses,
    InNamespace,
    Isolation,
    Kind,
    Label,
    Maybe,
    Not,
    Or,
    Policy,
    Rule,
)
from bot.policies.traffic import PROTOCOL_NAMES, TCP
from bot.reachability.decide import path_words, point_words
from bot.reachability.endpoints import Row, indices
from bot.reachability.exposures import CHECKPOINT as EXPOSURE
from bot.reachability.facts import Names
from bot.reachability.slots import Slot, judge
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.reachability.change import Decision

MOST = 12
UNENFORCED = ("flannel", "kubenet", "none")


class Hint(NamedTuple):
    """One thing to look at, and what is seen there."""

    title: str
    lines: tuple[str, ...]


def diagnose(
    world: World, names: Names, source: Row, destination: Row, point: int, decisions: Iterable[Decision]
) -> tuple[Hint, ...]:
    """The head's side of a path between two rows at a point of the traffic line; `decisions`: what its checkpoints said."""
    if not source.head or not destination.head:
        return ()
    one = _Path(world, names, source, destination, point)
    decided = list(decisions)
    found = [
        Hint("does the CNI enforce policies", (one.enforced(),)),
        *(Hint(f"which policies select {end}", lines) for end, lines in one.selecting()),
        *(Hint(title, lines) for title, lines in one.peers()),
        Hint("what decides", tuple(f"{row.checkpoint} {row.text}".strip() for row in decided)),
        Hint("the port", tuple(one.port())),
        Hint("the other side's half", tuple(_halves(decided))),
    ]
    return tuple(hint for hint in found if hint.lines)


class _Path:
    """One path with the slots of its ends."""

    def __init__(self, world: World, names: Names, source: Row, destination: Row, point: int) -> None:
        self.world = world
        self.names = names
        self.snapshot = world.snapshots[1]
        self.rows = {"source": source, "destination": destination}
        self.slots = {end: world.universe.slots[row.head[0]] for end, row in self.rows.items()}
        self.point = point
        self._selected = [
            (checkpoint, policy, isolates, rules)
            for checkpoint in world.checkpoints[1]
            if checkpoint.subject in self.slots and checkpoint is not EXPOSURE
            for policy in world.policies(True)
            for isolates, rules in (self._about(checkpoint, policy),)
            if isolates or rules
        ]

    def _about(self, checkpoint: Checkpoint, policy: Policy) -> tuple[bool, list[Rule]]:
        """Whether a policy isolates the subject of a checkpoint, and its rules for that subject."""
        subject = self.slots[checkpoint.subject]
        isolates, rules = False, []
        for section in policy.sections:
            if section.checkpoint == checkpoint.name:
                isolates = isolates or any(self._is(_end(one, checkpoint.subject), subject) for one in section.isolates)
                rules += [rule for rule in section.rules if self._is(_end(rule, checkpoint.subject), subject)]
        return isolates, rules

    def _is(self, expr: Expr, slot: Slot) -> bool:
        return judge(expr, slot, self.world.lowered.vocabulary)[1]

    def enforced(self) -> str:
        cni = self.world.lowered.vocabulary.cni
        if cni in UNENFORCED:
            return f"no: {cni} enforces no policy, so everything is open"
        return f"yes, taken to be {cni} (--cni says otherwise)"

    def selecting(self) -> list[tuple[str, tuple[str, ...]]]:
        out = []
        for checkpoint in self.world.checkpoints[1]:
            if checkpoint.subject not in self.slots or checkpoint is EXPOSURE:
                continue
            row = self.rows[checkpoint.subject]
            if row.kind not in ("workload", "hypothetical"):
                continue
            end = self.names.id_of(row)
            lines = [
                f"{policy.title}{'' if isolates else ', without isolating it'} ({self._place(policy.object, ())})"
                for at, policy, isolates, _ in self._selected
                if at is checkpoint
            ]
            isolated = any(isolates for at, _, isolates, _ in self._selected if at is checkpoint)
            if not isolated:
                lines.append(f"nothing isolates it for {checkpoint.name}: what no rule denies is allowed")
            out.append((f"{end} for {checkpoint.name}", _cut(lines)))
        return out

    def peers(self) -> list[tuple[str, tuple[str, ...]]]:
        out = []
        for checkpoint, policy, _, rules in self._selected:
            lines: list[str] = []
            other = "destination" if checkpoint.subject == "source" else "source"
            for rule in dict.fromkeys(rules):
                expr = _end(rule, other)
                for peer in expr.parts if isinstance(expr, Or) else (expr,):
                    lines.append(self._peer(rule, peer, other))
            if lines:
                out.append((f"what the {checkpoint.name} rules of {policy.title} match", _cut(dict.fromkeys(lines))))
        return out[:MOST]

    def _peer(self, rule: Rule, peer: Expr, other: str) -> str:
        where = self._place(rule.origin.object, rule.origin.path) if rule.origin.object is not None else "built in"
        words = f"{rule.action} {expr_words(peer)} ({path_words(rule.origin.path) or 'all of it'}, {where}): "
        slot = self.slots[other]
        end = self.names.id_of(self.rows[other])
        found = self._matched(peer)
        if self._is(peer, slot):
            inside = any(box.first <= self.point <= box.last for box in rule.traffic)
            return words + f"matches {end}" + ("" if inside else f", but not port {point_words(self.point)}")
        return words + f"{found}, not {end}{self._missed(peer, slot)}"

    def _matched(self, peer: Expr) -> str:
        universe = self.world.universe
        bits = universe.fold(self.world.resolver.resolve(peer)[1], True) & universe.inside
        known = [universe.rows[bit] for bit in indices(bits & ~universe.hypothetical)]
        if not known:
            return "matches no pod in Git" + self._near(peer) if not _is_address(peer) else "matches no pod"
        spaces = sorted({row.identity[1] for row in known if row.kind == "workload"})
        pods = sorted(self.names.id_of(row) for row in known)
        shown = ", ".join(pods[:3]) + (f" and {len(pods) - 3} more" if len(pods) > 3 else "")
        return f"matches {shown} in {len(spaces)} namespace{'' if len(spaces) == 1 else 's'}"

    def _missed(self, peer: Expr, slot: Slot) -> str:
        """The requirements that the end does not meet, where they are labels or its namespace."""
        misses = []
        persona = slot.personas[0]
        for part in peer.parts if isinstance(peer, And) else (peer,):
            if self._is(part, slot):
                continue
            if isinstance(part, Label):
                has = persona.attributes.get(part.scope, {}).get(part.key)
                whose = "its namespace" if part.scope == "namespace" else "it"
                misses.append(f"{whose} has {f'{part.key}={has}' if has is not None else f'no label {part.key}'}")
            elif isinstance(part, InNamespace):
                misses.append(f"it is in namespace {persona.namespace}" if persona.kind == "pod" else "it is no pod")
            elif isinstance(part, InAddresses):
                misses.append("its address is not in there")
        return f" ({', '.join(dict.fromkeys(misses))})" if misses else ""

    def _near(self, peer: Expr) -> str:
        """For a value that nothing has, the values that something has."""
        from difflib import get_close_matches

        out = []
        for part in peer.parts if isinstance(peer, And) else (peer,):
            if isinstance(part, InNamespace) and part.namespace not in self.snapshot.namespaces:
                near = get_close_matches(part.namespace, sorted(self.snapshot.namespaces), 1, 0.6)
                hint = f"; did you mean {near[0]}?" if near else ""
                out.append(f"there is no namespace {part.namespace} here{hint}")
            if not isinstance(part, Label) or part.operator != "in" or len(part.values) != 1:
                continue
            wanted = part.values[0]
            values = {
                persona.attributes.get(part.scope, {}).get(part.key)
                for slot in self.world.universe.slots
                if slot.row >= 0 and self.world.universe.rows[slot.row].kind == "workload"
                for persona in slot.personas
            }
            if wanted not in values:
                near = get_close_matches(wanted, sorted(value for value in values if value), 1, 0.6)
                whose = "namespace" if part.scope == "namespace" else "pod"
                hint = f"; did you mean {near[0]}?" if near else ""
                out.append(f"no {whose} has {part.key}={wanted}{hint}")
        return f" ({', '.join(out)})" if out else ""

    def port(self) -> list[str]:
        row = self.rows["destination"]
        if row.kind != "workload":
            return []
        _, namespace, kind, name = row.identity
        own = [w for w in self.snapshot.workloads if w.key == (kind, namespace, name)]
        end = self.names.id_of(row)
        listens = sorted({(port.protocol, port.number, port.name) for workload in own for port in workload.ports})
        asked = (self.point >> 16, self.point & 0xFFFF)
        shown = ", ".join(_port_words(*port) for port in listens)
        lines = [f"{end} declares {shown}" if listens else f"{end} declares no container port"]
        if listens and asked not in {port[:2] for port in listens}:
            lines.append(f"{point_words(self.point)} is none of them: is it the port that the container listens on?")
        for service in self.snapshot.by_kind("Service"):
            if service.namespace == namespace and any(_selects(service.value, w.labels) for w in own):
                lines += self._service(service.name, service.value, asked, listens)
        return lines

    def _service(self, name: str, value: Any, asked: tuple[int, int], listens: list[tuple[int, int, str]]) -> list[str]:
        lines = []
        ports = value["spec"].get("ports")
        for port in ports if isinstance(ports, list) else ():
            if not isinstance(port, dict):
                continue
            number, target = port.get("port"), port.get("targetPort", port.get("port"))
            by_name = {known: at for _, at, known in listens}
            resolved = by_name.get(target) if isinstance(target, str) else target
            lines.append(f"Service {name}: {number} goes to {target}")
            if number == asked[1] and resolved != number and asked[0] == TCP:
                lines.append(f"policies see the pod's port {resolved}, not the Service's {number}: ask for {resolved}")
            if isinstance(target, str) and target not in by_name:
                lines.append(f"no container port of the pod is named {target}")
        return lines

    def _place(self, obj: Any, path: tuple[str | int, ...]) -> str:
        if obj is None:
            return "built in"
        file, lines = self.snapshot.location(obj, path)
        return f"{file}:{lines[0]}" if lines[0] == lines[1] else f"{file}:{lines[0]}-{lines[1]}"


def _end(one: Rule | Isolation, end: str) -> Expr:
    return one.source if end == "source" else one.destination


def _cut(lines: Iterable[str]) -> tuple[str, ...]:
    found = list(lines)
    return tuple([*found[:MOST], f"and {len(found) - MOST} more"] if len(found) > MOST else found)


def _selects(value: Any, labels: dict[str, str]) -> bool:
    spec = value.get("spec") if isinstance(value, dict) else None
    selector = spec.get("selector") if isinstance(spec, dict) else None
    return isinstance(selector, dict) and bool(selector) and all(labels.get(k) == v for k, v in selector.items())


def _port_words(protocol: int, number: int, name: str) -> str:
    return f"{PROTOCOL_NAMES.get(protocol, protocol)} {number}" + (f" ({name})" if name else "")


def _is_address(expr: Expr) -> bool:
    return isinstance(expr, InAddresses)


def _halves(decisions: list[Decision]) -> list[str]:
    by_name = {row.checkpoint: row.verdict for row in decisions}
    egress, ingress = by_name.get("egress"), by_name.get("ingress")
    if egress is None or ingress is None:
        return []
    if egress == ingress == "closed":
        return ["both halves deny: the source's egress and the destination's ingress must both be opened"]
    if "closed" in (egress, ingress):
        closed, other = ("egress", "ingress") if egress == "closed" else ("ingress", "egress")
        return [f"only {closed} denies; {other} would let it through"]
    return ["both halves let it through"]


def expr_words(expr: Expr) -> str:
    """An expression as people would say it."""
    if isinstance(expr, Everything):
        return "anything"
    if isinstance(expr, Kind):
        return "any pod" if expr.kind == "pod" else f"any {expr.kind}"
    if isinstance(expr, InNamespace):
        return f"pods of namespace {expr.namespace}"
    if isinstance(expr, Label):
        whose = "" if expr.scope == "pod" else f"{expr.scope} "
        if expr.operator == "exists":
            return f"{whose}{expr.key}"
        values = "|".join(expr.values)
        sign = {"in": "=", "prefix": "=^", "suffix": "=$", "contains": "=~"}.get(expr.operator, "=")
        return f"{whose}{expr.key}{sign}{values}"
    if isinstance(expr, InAddresses):
        words = address_line.words(expr.addresses)
        return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")
    if isinstance(expr, HasPort):
        return f"port {expr.name}={expr.number}"
    if isinstance(expr, Not):
        return f"not ({expr_words(expr.inner)})"
    if isinstance(expr, Maybe):
        return f"possibly {expr_words(expr.inner)}"
    if isinstance(expr, And):
        return " and ".join(expr_words(part) for part in expr.parts)
    if isinstance(expr, Or):
        words = [expr_words(part) for part in expr.parts]
        return f"({' or '.join(words[:4])}{' ...' if len(words) > 4 else ''})"
    return "some endpoints" if expr.tag == "is" else "nobody"
