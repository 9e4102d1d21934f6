"""NP103: a part of a policy that the CNI does not enforce."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import INFO, WARNING, Draft, Path, Rule
from bot.lint.written import listed
from bot.policies.cni import choose
from bot.policies.cni_profiles import PROFILES

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object
    from bot.policies.cni_profiles import Cell, Version

RULE = Rule(
    id="NP103",
    name="feature-unsupported",
    severity=WARNING,
    detects="`endPort`, protocol SCTP or a named port where the CNI (in its version) does not enforce them; nodes "
    "and domain names as peers of admin policies in Calico. For information only where a setting of the CNI switches "
    "them on, and HTTP rules of Calico's policies.",
    why="Depending on the CNI such a rule opens nothing, opens one port of many, or denies everything; the "
    "manifest does not show it.",
    bad="""\
cni: kube-router
---
ports:
  - {protocol: SCTP, port: 3868}
""",
    fix="Say it with what the CNI enforces.",
)


def check(context: Context) -> Iterator[Draft]:
    """Each such part, where it stands."""
    profile = PROFILES[context.lowered.vocabulary.cni]
    version = _version(context)
    for view in context.views:
        for item in view.items:
            for number, port in enumerate(listed(item.value, "ports")):
                at = (*item.path, "ports", number)
                for feature, field in _features(port):
                    cell = profile.features.get(feature)
                    if cell is not None:
                        yield from _finding(view.object, (*at, field), _TITLES[feature], cell, version, profile.title)
    if profile.name == "calico":
        for policy in context.chain.policies:
            if policy.object is not None:
                yield from _of_calico(policy.object)


_TITLES = {"endPort": "`endPort`", "SCTP": "protocol SCTP", "namedPort": "a port by its name"}


def _features(port: Any) -> Iterator[tuple[str, str]]:
    if type(port) is dict:
        if port.get("endPort") is not None:
            yield "endPort", "endPort"
        if port.get("protocol") == "SCTP":
            yield "SCTP", "protocol"
        if type(port.get("port")) is str:
            yield "namedPort", "port"


def _version(context: Context) -> Version | None:
    """The CNI's version, where an image of the repository tells it."""
    found = context.once("cni", lambda: choose(*context.run.snapshots, None))
    return found.version if found.profile.name == context.lowered.vocabulary.cni else None


def _finding(obj: Object, path: Path, what: str, cell: Cell, version: Version | None, title: str) -> Iterator[Draft]:
    if not cell.at(version):
        since = f" (only from version {cell.since[0]}.{cell.since[1]})" if cell.enforced and cell.since else ""
        yield Draft(
            RULE, WARNING, obj, path, f"{title} does not enforce {what}{since}", f"see {cell.source}", about=what
        )
    elif cell.if_:
        yield Draft(RULE, INFO, obj, path, f"{title} enforces {what} only {cell.if_}", f"see {cell.source}", about=what)


def _of_calico(obj: Object) -> Iterator[Draft]:
    spec = obj.value.get("spec")
    for direction in ("ingress", "egress"):
        for number, rule in enumerate(listed(spec, direction)):
            at: Path = ("spec", direction, number)
            if obj.kind in ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"):
                for which, peer in enumerate(listed(rule, "to")):
                    for field in ("nodes", "domainNames"):
                        if type(peer) is dict and peer.get(field) is not None:
                            accepts = rule.get("action") in ("Allow", "Accept")
                            does = "the rule is dropped" if accepts else "the rule denies everything"
                            message = f"Calico cannot enforce `{field}`: {does}"
                            yield Draft(RULE, WARNING, obj, (*at, "to", which, field), message)
            elif type(rule) is dict and rule.get("http") is not None and "projectcalico.org" in obj.api_version:
                message = "without Calico's Envoy sidecars `http` is ignored: the rule allows any request"
                yield Draft(RULE, INFO, obj, (*at, "http"), message)
