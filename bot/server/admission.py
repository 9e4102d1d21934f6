"""The body of `POST /admission/validate` in (AdmissionReview v1, as an API server sends it), the answer out (docs/app.md).

A policy is refused whose selectors are unset and that does not say that this is meant. An update that does not change what the policy
says is let through, so that nothing that is stored already can no longer be labelled or deleted.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import json
from typing import Any

from bot.lint.admitted import SELECTORS, Unset, unset
from bot.lint.rules.null_in_policy import SELECT_ALL

# An API server takes objects of up to 3 MB; an update brings two.
LARGEST = 8 << 20
GROUPS = {"NetworkPolicy": "networking.k8s.io", "CiliumNetworkPolicy": "cilium.io", "CiliumClusterwideNetworkPolicy": "cilium.io"}
MOST = 10


def answer(body: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the answer: 200 with an AdmissionReview, whatever was decided, or 400 for what is none."""
    if len(body) > LARGEST:
        return 413, {"error": "too large"}
    try:
        review = json.loads(body)
    except (ValueError, RecursionError):
        return 400, {"error": "the body is not JSON"}
    if type(review) is not dict or review.get("apiVersion") != "admission.k8s.io/v1" or review.get("kind") != "AdmissionReview":
        return 400, {"error": "the body is no AdmissionReview of admission.k8s.io/v1"}
    request = review.get("request")
    uid = request.get("uid") if type(request) is dict else None
    if type(request) is not dict or type(uid) is not str or not 0 < len(uid) <= 200:
        return 400, {"error": "the review has no request with a uid"}
    if request.get("operation") not in ("CREATE", "UPDATE", "DELETE", "CONNECT"):
        return 400, {"error": "the request has no operation"}
    try:
        return 200, _reviewed(uid, *_decided(request))
    except _Wrong as error:
        return 400, {"error": str(error)}
    except RecursionError:
        return 400, {"error": "the object is nested too deeply"}


class _Wrong(Exception):
    """A request without what its operation has."""


def _decided(request: dict[str, Any]) -> tuple[str, list[str]]:
    """Why it is refused ('': it is not), and what to warn of."""
    if request["operation"] not in ("CREATE", "UPDATE"):
        return "", []
    policy = request.get("object")
    if type(policy) is not dict:
        raise _Wrong("the request has no object")
    kind, version = policy.get("kind"), policy.get("apiVersion")
    if type(kind) is not str or kind not in SELECTORS or str(version).partition("/")[0] != GROUPS[kind]:
        return "", []
    found = unset(policy)
    if not found:
        return "", []
    words = [_words(row) for row in found[:MOST]] + ([f"and {len(found) - MOST} more"] if len(found) > MOST else [])
    if request["operation"] == "UPDATE" and _same(policy, request.get("oldObject")):
        return "", words
    metadata = policy.get("metadata")
    if type(metadata) is dict and metadata.get("deletionTimestamp"):
        return "", words
    return f"{'; '.join(words)}. If this is meant, say why in the annotation {SELECT_ALL}", []


def _same(policy: dict[str, Any], old: object) -> bool:
    """Whether what the policy says is what it said before; an annotation that excused it must not be taken away."""
    if type(old) is not dict:
        return False
    return all(policy.get(part) == old.get(part) for part in ("spec", "specs")) and bool(unset(old))


def _words(row: Unset) -> str:
    from bot.report.escape import plain

    return plain(f"{row.rule}: {row.message}", 200)


def _reviewed(uid: str, refused: str, warnings: list[str]) -> dict[str, Any]:
    response: dict[str, Any] = {"uid": uid, "allowed": not refused}
    if refused:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": f"netreach: {refused}"}
    if warnings:
        response["warnings"] = [f"netreach: {words}" for words in warnings]
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
