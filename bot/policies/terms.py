"""What NetworkPolicy and the admin policies share: sets of pods, CIDRs and ports in, interned expressions and traffic out."""

from __future__ import annotations

from bot.policies import addresses, intervals
from bot.policies.intervals import Intervals
from bot.policies.model import (
    EVERYTHING,
    PODS,
    And,
    Assumption,
    Expr,
    HasPort,
    InAddresses,
    InNamespace,
    Nobody,
    Or,
    conjunction,
    home,
)
from bot.policies.named_ports import PortNames
from bot.policies.selectors import Flaw, Path, Selectors, kind_of
from bot.policies.traffic import SCTP, TCP, UDP, Traffic, ports, union

PORTS = (1, 0xFFFF)
UNIVERSE: Traffic = union(*(ports(protocol, *PORTS) for protocol in (TCP, UDP, SCTP)))


class Terms:
    """The terms of one run; equal ones are the identical object, so that each is resolved once."""

    def __init__(self, names: PortNames) -> None:
        self.selectors = Selectors()
        self.names = names
        self.named: dict[Traffic, None] = {}
        self.assumptions: dict[str, Assumption] = {}
        self._own: dict[tuple[str, int], Expr] = {}
        self._pods: dict[tuple[int, int], Expr] = {}
        self._with_port: dict[tuple[int, HasPort], tuple[Expr, Expr]] = {}
        self._blocks: dict[tuple[str, ...], Expr] = {}
        self._single: dict[tuple[int, int, int], Traffic] = {}

    def own_pods(self, namespace: str, pods: Expr) -> Expr:
        """The pods of one namespace that a pod selector (from `selectors`, who keeps it) selects."""
        found = self._own.get((namespace, id(pods)))
        if found is None:
            here = InNamespace(namespace)
            if isinstance(pods, And):
                found = And((here, *pods.parts))
            elif isinstance(pods, Nobody):
                found = pods
            else:
                found = here if pods is EVERYTHING else And((here, pods))
            self._own[(namespace, id(pods))] = found
        return found

    def pods(self, namespaces: Expr, pods: Expr) -> Expr:
        """The pods that a pod selector selects in the namespaces that a namespace selector selects."""
        if isinstance(namespaces, InNamespace):
            return self.own_pods(namespaces.namespace, pods)
        found = self._pods.get((id(namespaces), id(pods)))
        if found is None:
            parts = (namespaces, pods) if _only_pods(namespaces) else (PODS, namespaces, pods)
            found = self._pods[(id(namespaces), id(pods))] = self.selectors.intern(conjunction(parts))
        return found

    def at_port(self, expr: Expr, port: HasPort) -> Expr:
        """The endpoints of `expr` that have this port."""
        found = self._with_port.get((id(expr), port))
        if found is None:
            found = (self.selectors.intern(conjunction((expr, port))), expr)
            self._with_port[(id(expr), port)] = found
        return found[0]

    def named_ports(self, destination: Expr, name: str, protocol: int) -> list[tuple[Expr, Traffic]]:
        """What a port name stands for: at each number that it resolves to, the destinations that declare it there."""
        return [
            (self.at_port(destination, HasPort(name, protocol, number)), self.traffic(protocol, number, number))
            for number in self.names.numbers(name, protocol, home(destination))
        ]

    def traffic(self, protocol: int, first: int, last: int) -> Traffic:
        """These ports of a protocol."""
        found = self._single.get((protocol, first, last))
        if found is None:
            found = self._single[(protocol, first, last)] = ports(protocol, first, last)
        return found

    def name_numbers(self, traffic: Traffic) -> Traffic:
        """The same traffic, noted as what a rule says in numbers (the free ports keep clear of it)."""
        self.named[traffic] = None
        return traffic

    def block(self, cidr: str, excepts: tuple[str, ...], path: Path, flaws: list[Flaw]) -> Expr | None:
        """An ipBlock: the addresses of `cidr` but for those of each except, pods' among them. None: it is refused."""
        key = (cidr, *excepts)
        found = self._blocks.get(key)
        if found is not None:
            return found
        before = len(flaws)
        outer = parse_block(cidr, (*path, "cidr"), flaws)
        holes: list[tuple[int, int]] = []
        for i, text in enumerate(excepts):
            at = (*path, "except", i)
            hole = parse_block(text, at, flaws)
            if outer is None or hole is None:
                continue
            if hole == outer or not intervals.covers(outer, hole):
                flaws.append(Flaw(at, f"{text} is no strict part of {cidr}"))
            holes.extend(hole)
        if outer is None or any(flaw.refused for flaw in flaws[before:]):
            return None
        expr = self.selectors.intern(InAddresses(intervals.subtract(outer, intervals.normal(holes))))
        if len(flaws) == before:
            self._blocks[key] = expr
        return expr

    def ports_in_rules(self) -> Intervals:
        """Every port number that some rule names (one that names all of them names none)."""
        pairs = [(box.first & 0xFFFF, box.last & 0xFFFF) for traffic in self.named for box in traffic]
        return intervals.normal(pair for pair in pairs if pair != PORTS)


def _only_pods(expr: Expr) -> bool:
    """Whether nothing but pods can match: namespaces chosen by name."""
    if isinstance(expr, And):
        return isinstance(expr.parts[0], InNamespace)
    return isinstance(expr, Or) and all(isinstance(part, InNamespace) for part in expr.parts)


def parse_block(text: object, path: Path, flaws: list[Flaw]) -> Intervals | None:
    """A CIDR as API servers before StrictIPCIDRValidation took it: host bits masked, leading zeros, IPv4-mapped IPv6.

    What is not in the canonical form is evaluated with a flaw (Kubernetes 1.36 refuses it on creation). None: refused.
    """
    if not isinstance(text, str):
        flaws.append(Flaw(path, f"a CIDR must be text, and is {kind_of(text)}"))
        return None
    address, slash, length = text.partition("/")
    try:
        if not slash or "%" in address:
            raise ValueError(f"{text[:80]!r} is not an IPv4 or IPv6 CIDR")
        found = addresses.parse_cidr(text)
        mapped = ":" in address and "." in address and _mapped(address)
        if mapped:
            found = addresses.parse_cidr(f"{address.rpartition(':')[2]}/{int(length) - 96}")
    except ValueError as error:
        flaws.append(Flaw(path, str(error)[:200]))
        return None
    if mapped:
        flaws.append(Flaw(path, f"{text} is an IPv4 CIDR written as IPv6, which newer API servers refuse", refused=False))
    elif addresses.host_bits(text):
        network = ", ".join(addresses.words(found))
        flaws.append(Flaw(path, f"{text} has bits set beyond its prefix and is read as {network}", refused=False))
    elif _leading_zeros(address, length):
        flaws.append(Flaw(path, f"{text} has leading zeros, which newer API servers refuse", refused=False))
    return found


def _mapped(address: str) -> bool:
    point = addresses.parse_address(address) - addresses.V6
    return point >> 32 == 0xFFFF


def _leading_zeros(address: str, length: str) -> bool:
    parts = [length, *(address.split(".") if ":" not in address else ())]
    return any(len(part) > 1 and part[0] == "0" for part in parts)

