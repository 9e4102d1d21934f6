"""Flow YAML of Cilium policies in; lowered policies, rules and verdicts out, for the tests of this folder."""

from __future__ import annotations

import json
from typing import Any

from bot.gate.expectations import parse
from bot.gate.verify import check
from bot.policies.compile import lower
from bot.policies.model import Lowered, Policy, Rule
from tests.policies.worlds import snapshot

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: front, containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {nodeName: n1, containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: data, labels: {app: db, pod-template-hash: x}}
spec: {nodeName: n2, containers: [{name: c, image: x, ports: [{name: http, containerPort: 80}]}]}
---
"""


def cnp(spec: str, namespace: str = "shop") -> str:
    """A CiliumNetworkPolicy with this spec."""
    return f"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {spec}\n"


def ccnp(spec: str) -> str:
    """A CiliumClusterwideNetworkPolicy with this spec."""
    return f"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"


def lowered(text: str) -> Lowered:
    """The same YAML on both sides, lowered for Cilium."""
    side = snapshot(text)
    return lower(side, side, "cilium")


def policy(text: str) -> Policy:
    """The policy of a YAML, without what is built in."""
    found = lowered(text)
    assert found.problems_head == ()
    first, *_ = found.head.policies
    return first


def rules(text: str, checkpoint: str = "ingress") -> list[Rule]:
    """The rules of the policy of a YAML at one checkpoint."""
    return [rule for section in policy(text).sections if section.checkpoint == checkpoint for rule in section.rules]


def problems(text: str) -> list[tuple[str, bool]]:
    """(reason, refused) of what is wrong."""
    return [(problem.reason, problem.refused) for problem in lowered(text).problems_head]


def verdict(text: str, source: str, destination: str, port: int = 8080, **more: Any) -> str:
    """Whether a path is open: allow, deny or possible."""
    side = snapshot(text)
    row = {"from": source, "to": destination, "port": port, "expect": "allow", **more}
    asked = parse("test", json.dumps({"expectations": [row]}).encode())
    answers = check(asked, side, lower(side, side, "cilium"))
    assert answers.unmatched == (), answers.unmatched
    return answers.answers[0].got
