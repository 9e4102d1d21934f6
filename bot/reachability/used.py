"""What the expressions of a Chain look at: label keys, address sets, port names and traffic, gathered once for both sides."""

from __future__ import annotations

from collections.abc import Iterable

from bot.policies.intervals import Intervals
from bot.policies.model import And, Chain, Expr, HasPort, InAddresses, InNamespace, Is, Label, Maybe, Not, Or, Policy
from bot.policies.traffic import Traffic


class Used:
    """Everything any rule of the given policies depends on; endpoints that agree on all of it are alike to every policy."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, None]] = {}
        self.addresses: dict[Intervals, None] = {}
        self.ports: dict[tuple[str, int], None] = {}
        self.traffic: dict[Traffic, None] = {}
        self.namespaces: dict[str, None] = {}
        self.identities: dict[tuple[str, ...], None] = {}
        self._seen: set[int] = set()
        self._keep: list[Expr] = []

    def policies(self, policies: Iterable[Policy]) -> None:
        """Gather from every rule and isolation of these policies."""
        for policy in policies:
            for section in policy.sections:
                for rule in section.rules:
                    self.expr(rule.source)
                    self.expr(rule.destination)
                    self.traffic[rule.traffic] = None
                for isolation in section.isolates:
                    self.expr(isolation.source)
                    self.expr(isolation.destination)

    def expr(self, expr: Expr) -> None:
        """Gather from one expression; equal objects are looked at once."""
        if id(expr) in self._seen:
            return
        self._seen.add(id(expr))
        self._keep.append(expr)
        if isinstance(expr, (And, Or)):
            for part in expr.parts:
                self.expr(part)
        elif isinstance(expr, Label):
            self.keys.setdefault(expr.scope, {})[expr.key] = None
        elif isinstance(expr, InAddresses):
            self.addresses[expr.addresses] = None
        elif isinstance(expr, HasPort):
            self.ports[(expr.name, expr.protocol)] = None
        elif isinstance(expr, InNamespace):
            self.namespaces[expr.namespace] = None
        elif isinstance(expr, (Not, Maybe)):
            self.expr(expr.inner)
        elif isinstance(expr, Is):
            self.identities.update(dict.fromkeys(expr.identities))


def used_by(*chains: Chain) -> Used:
    """What the policies of these chains look at; a policy that is in several is looked at once."""
    used = Used()
    seen: set[int] = set()
    for chain in chains:
        fresh = [policy for policy in chain.policies if id(policy) not in seen]
        seen.update(map(id, fresh))
        used.policies(fresh)
    return used
