"""GitHub's own examples of webhooks, each held to its schema, and what is made of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft7Validator

from bot.errors import UsageError
from bot.github.events import target
from tests.github.local import WEBHOOKS

EXAMPLES: dict[str, list[dict[str, Any]]] = WEBHOOKS["examples"]
SHA = "b7d4e117c0a2" + "0" * 28


def valid(name: str, payload: dict[str, Any]) -> bool:
    schema = {"$ref": f"#/definitions/{name}_event", "definitions": WEBHOOKS["schema"]["definitions"]}
    return not any(Draft7Validator(schema).iter_errors(payload))


@pytest.mark.parametrize("index", range(len(EXAMPLES["pull_request"])))
def test_pull_requests(index: int):
    payload = EXAMPLES["pull_request"][index]
    # The first is the one of an old manual, older than its schema.
    assert index == 0 or valid("pull_request", payload)
    for event in ("pull_request", "pull_request_target"):
        found = target(event, payload)
        assert found is not None
        pull = payload["pull_request"]
        assert (found.pull, found.base, found.head) == (pull["number"], pull["base"]["ref"], pull["head"]["sha"])
        assert found.base_sha == ""
        assert found.trusted == (pull["head"]["repo"]["id"] == pull["base"]["repo"]["id"])


def test_a_head_whose_repository_is_gone_is_not_trusted():
    payload = deepcopy(EXAMPLES["pull_request"][0])
    payload["pull_request"]["head"]["repo"] = None
    found = target("pull_request", payload)
    assert found is not None
    assert not found.trusted


def test_merge_group():
    payload = EXAMPLES["merge_group"][0]
    found = target("merge_group", payload)
    assert found is not None
    group = payload["merge_group"]
    assert (found.head, found.base_sha, found.pull) == (group["head_sha"], group["base_sha"], None)
    assert not found.base.startswith("refs/")


def test_a_workflow_run_of_something_else_is_nothing():
    payload = deepcopy(next(one for one in EXAMPLES["workflow_run"] if valid("workflow_run", one)))
    payload["workflow_run"]["event"] = "push"
    assert target("workflow_run", payload) is None


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("push", EXAMPLES["push"][0]),
        ("", {}),
        ("pull_request", {}),
        ("pull_request", {"pull_request": []}),
        ("pull_request", {"pull_request": {"number": 1, "base": {"ref": "main"}, "head": {"sha": "HEAD; rm -rf"}}}),
        ("pull_request", {"pull_request": {"number": "1", "base": {"ref": "main"}, "head": {"sha": SHA}}}),
        ("merge_group", {"merge_group": {"head_sha": SHA, "base_sha": "--upload-pack=x"}}),
    ],
)
def test_what_has_no_two_sides(event: str, payload: dict[str, Any]):
    with pytest.raises(UsageError):
        target(event, payload)
