"""Workloads in; out, for every container port name, the numbers that it stands for, one of them for pods that are not in Git."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bot.policies import intervals
from bot.policies.intervals import Intervals

if TYPE_CHECKING:
    from bot.manifests.snapshot import Workload

Named = tuple[str, int]
_ALL: Intervals = ((1, 0xFFFF),)
_HIGH: Intervals = ((0x8000, 0xFFFF),)


class PortNames:
    """What port names resolve to, by (name, protocol number); names are those of the destination pod (NetworkPolicyPort `port`)."""

    def __init__(self, workloads: Iterable[Workload], avoid: Intervals = ()) -> None:
        """`avoid`: port numbers that rules name, which no free port may be (unless none other is left)."""
        self.free: dict[Named, int] = {}
        self._homes: dict[str, dict[Named, dict[int, None]]] = {}
        declared: dict[Named, dict[int, None]] = {}
        alike = {(w.namespace, w.ports) for w in workloads if w.ports and not w.host_network}
        for namespace, ports in alike:
            home = self._homes.setdefault(namespace, {})
            for name, protocol, number in ports:
                if name:
                    home.setdefault((name, protocol), {})[number] = None
                    declared.setdefault((name, protocol), {})[number] = None
        self._declared = {named: tuple(sorted(declared[named])) for named in sorted(declared)}
        taken = intervals.normal([*avoid, *((n, n) for numbers in self._declared.values() for n in numbers)])
        self._room = intervals.subtract(_HIGH, taken) or intervals.subtract(_ALL, taken)
        if not self._room:
            singles = intervals.normal(pair for pair in taken if pair[0] == pair[1])
            self._room = intervals.subtract(_ALL, singles)

    def numbers(self, name: str, protocol: int, namespace: str | None) -> tuple[int, ...]:
        """The numbers of a name that a rule looks up, at pods of one namespace where that is known; the free one last."""
        named = (name, protocol)
        home = self._homes.get(namespace, {}) if namespace is not None else self._declared
        return (*sorted(home.get(named, ())), self.free_port(name, protocol))

    def free_port(self, name: str, protocol: int) -> int:
        """The number at which pods that are not in Git declare this name: chosen by the name, and never one of another's."""
        number = self.free.get((name, protocol))
        if number is None:
            size = sum(last - first + 1 for first, last in self._room)
            at = (int.from_bytes(name.encode("utf-8", "replace"), "big") * 31 + protocol) % 64007 % size
            taken = set(self.free.values())
            for _ in range(size):
                number = self._nth(at)
                if number not in taken:
                    break
                at = (at + 1) % size
            assert number is not None
            self.free[(name, protocol)] = number
        return number

    def _nth(self, at: int) -> int:
        """The number at this place of the room, counted from its start."""
        for first, last in self._room:
            if at <= last - first:
                return first + at
            at -= last - first + 1
        raise IndexError(at)

    def all_numbers(self) -> dict[Named, tuple[int, ...]]:
        """Every name with every number, the free ones included."""
        out = dict(self._declared)
        for named, number in self.free.items():
            out[named] = tuple(sorted({*out.get(named, ()), number}))
        return out
