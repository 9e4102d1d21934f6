"""The repositories of fixtures/ against what stands beside them, read from the manifests and never from our output."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.cli import main
from tests.reference.cluster import Cluster, read
from tests.reference.reading import End, Question, Verdict, egress, ingress

FIXTURES = Path(__file__).parent.parent / "fixtures"
ALL = sorted(path.parent for path in FIXTURES.glob("*/changes.yaml"))
VERIFIED = [fixture for fixture in ALL if (fixture / "expectations.yaml").exists()]
# What the second reading does not know: policies that Kyverno generates (tests/manifests/kyverno/test_snapshots.py), Cilium's
# (tests/test_cilium_reviews.py) and Calico's (tests/policies/calico/test_fixture.py), and what is rendered first (tests/render).
ELSEWHERE = {"kyverno-default-deny", "cilium-api-gateway", "calico-external-egress"}
ELSEWHERE |= {"three-tier-kustomize", "three-tier-helm", "war-story"}
each = pytest.mark.parametrize("fixture", ALL, ids=lambda path: path.name)
each_verified = pytest.mark.parametrize("fixture", VERIFIED, ids=lambda path: path.name)

Document = dict[str, Any]
Pairs = dict[tuple[str, str], tuple[str, str]]


def test_every_repository_is_held_to_something() -> None:
    folders = {path.name for path in FIXTURES.iterdir() if path.is_dir()}
    assert {path.name for path in ALL} == folders - ELSEWHERE
    assert [path.name for path in ALL if path not in VERIFIED] == ["hypothetical"]


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _json(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Document:
    assert main([*map(str, arguments), "--format", "json"]) == code
    document: Document = json.loads(capsys.readouterr().out)
    assert document.get("incomplete", []) == []
    return document


# --- expectations ---


@each_verified
def test_expectations_hold_on_base(fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "verify", fixture / "expectations.yaml", fixture / "base")
    assert (document["failed"], document["unmatched"]) == ([], [])
    assert document["held"] == document["total"] == len(_load(fixture / "expectations.yaml")["expectations"])


@each_verified
def test_the_pull_request_breaks_what_it_says(fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    breaks = _load(fixture / "changes.yaml")["breaks"]
    assert breaks
    document = _json(capsys, "verify", fixture / "expectations.yaml", fixture / "head", code=1)
    assert sorted(row["expectation"]["name"] for row in document["failed"]) == sorted(breaks)
    assert document["unmatched"] == []


# --- changes ---


def _ends(end: str | list[str]) -> list[str]:
    return [end] if isinstance(end, str) else end


def _expected(changes: list[Document]) -> Pairs:
    pairs: Pairs = {}
    for entry in changes:
        for pair in product(_ends(entry["from"]), _ends(entry["to"])):
            assert pair not in pairs, f"{pair} stands twice in changes.yaml"
            pairs[pair] = (entry["before"], entry["after"])
    return pairs


def _words(ports: Any) -> str:
    if isinstance(ports, str):
        return ports
    return ", ".join(f"{p['protocol']} {p['from']}" + (f"-{p['to']}" if p["to"] != p["from"] else "") for p in ports)


def _before_after(row: Document) -> tuple[str, str]:
    assert "beforePossible" not in row and "afterPossible" not in row, row
    return _words(row["before"]), _words(row["after"])


def _called(name: str, parts: Document, ends: set[str]) -> str:
    """What changes.yaml calls an endpoint: addresses by one of them, or `internet` for all that are outside."""
    if parts["type"] == "addresses":
        for end in ends:
            if end == "internet" or (end.startswith("ip:") and _holds(parts["cidrs"], end[3:])):
                return end
    return name


def _holds(cidrs: list[str], address: str) -> bool:
    networks = [ip_network(cidr) for cidr in cidrs]
    return any(ip_address(address) in network for network in networks if network.version == ip_address(address).version)


def _environment(document: Document) -> Document:
    (environment,) = document["environments"]
    assert environment["incomplete"] == []
    found: Document = environment
    return found


def _diff(fixture: Path, capsys: pytest.CaptureFixture[str]) -> Document:
    return _environment(_json(capsys, "diff", "--dirs", fixture / "base", fixture / "head", "--pairs", "--exit-zero"))


@each
def test_the_review_shows_each_change_and_no_other(fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = _expected(_load(fixture / "changes.yaml")["changes"])
    ends = {end for pair in expected for end in pair}
    review = _diff(fixture, capsys)
    shown: Pairs = {}
    for row in review["pairs"]:
        parts = [review["endpoints"][row[side]] for side in ("from", "to")]
        if any(part["type"] == "hypothetical" for part in parts):
            continue
        pair = (_called(row["from"], parts[0], ends), _called(row["to"], parts[1], ends))
        assert shown.setdefault(pair, _before_after(row)) == _before_after(row), f"{pair} is not one thing"
    assert shown == expected


@each
def test_rows_name_their_causes(fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review = _diff(fixture, capsys)
    for entry in _load(fixture / "changes.yaml")["changes"]:
        for source, destination in product(_ends(entry["from"]), _ends(entry["to"])):
            rows = [row for row in review["changes"] if _among(row["from"], source, review)]
            rows = [row for row in rows if _among(row["to"], destination, review)]
            assert rows, (source, destination)
            for row in rows:
                assert row["change"] == entry["change"]
                assert _before_after(row) == (entry["before"], entry["after"])
                if "because" in entry:
                    assert {_object(cause) for cause in row["causes"]} == set(entry["because"])


def _among(names: list[str], end: str, review: Document) -> bool:
    return any(_called(name, review["endpoints"][name], {end}) == end for name in names)


def _object(cause: Document) -> str:
    name: str = cause["object"].partition(" (")[0].split()[-1]
    return name


@each
def test_causes_point_at_lines_of_their_object(fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    causes = [cause for row in _diff(fixture, capsys)["changes"] for cause in row["causes"]]
    assert causes
    for cause in causes:
        lines = (fixture / cause["side"] / cause["file"]).read_text(encoding="utf-8").splitlines()
        first, last = cause["lines"]
        assert 1 <= first <= last <= len(lines)
        start = max((n for n, line in enumerate(lines[:first]) if line == "---"), default=-1) + 1
        assert "---" not in lines[first - 1 : last]
        namespace, _, name = _object(cause).rpartition("/")
        metadata = yaml.safe_load("\n".join(lines[start:]).split("\n---\n")[0])["metadata"]
        assert (metadata.get("namespace", ""), metadata["name"]) == (namespace, name)


@each
def test_pods_that_are_not_in_git(fixture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review = _diff(fixture, capsys)
    for entry in _load(fixture / "changes.yaml").get("hypothetical", []):
        rows = [
            row
            for row in review["changes"]
            if row["change"] == entry["change"] and _words(row["after"]) == entry["after"]
            if any(_like(entry["from"], name, review) for name in row["from"])
            if any(_like(entry["to"], name, review) for name in row["to"])
        ]
        assert rows, entry
        assert all(row["hypothetical"] for row in rows)
        if "because" in entry:
            assert any({_object(cause) for cause in row["causes"]} == set(entry["because"]) for row in rows)


def _like(end: str | Document, name: str, review: Document) -> bool:
    """Whether an endpoint is the workload that is named, or a hypothetical pod with these labels at least."""
    if isinstance(end, str):
        return name == end
    parts = review["endpoints"][name]
    return (
        parts["type"] == "hypothetical"
        and end.get("labels", {}).items() <= parts["labels"].items()
        and end.get("namespaceLabels", {}).items() <= parts["namespaceLabels"].items()
        and end.get("namespace", parts["namespace"]) == parts["namespace"]
    )


def test_policies_alone_are_no_silent_green(capsys: pytest.CaptureFixture[str]) -> None:
    review = _diff(FIXTURES / "hypothetical", capsys)
    assert review["verdict"] == "look"
    assert review["totals"]["opened"] + review["totals"]["hypothetical"] > 0
    base, head = (str(FIXTURES / "hypothetical" / side) for side in ("base", "head"))
    assert main(["diff", "--dirs", base, head, "--format", "text"]) == 0
    assert "{env: production}" in capsys.readouterr().out


# --- the same truths by the second reading: changes.yaml itself is checked, with no line of netreach in between ---

OUTSIDE = "198.51.100.9"
POD_CIDRS = {"external-api": ("10.244.0.0/16",)}
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
PROTOCOLS = ("TCP", "UDP", "SCTP")
PORTS = (25, 53, 80, 443, 3000, 3306, 5432, 6379, 8080, 8081, 8200, 8443, 9090, 9092, 9153)


def _cluster(folder: Path) -> Cluster:
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.yaml")))
    documents = (doc for text in texts for doc in yaml.safe_load_all(text))
    return read(doc for doc in documents if "metadata" in doc)


def _named(cluster: Cluster, addresses: set[str]) -> Iterator[tuple[str, End]]:
    yield from ((f"{pod.namespace}/{pod.name}", pod) for pod in cluster.pods)
    yield from ((name, OUTSIDE if name == "internet" else name[3:]) for name in addresses)


def _open(cluster: Cluster, source: End, destination: End, cidrs: tuple[str, ...]) -> set[tuple[str, int]]:
    found = set()
    for protocol, port in product(PROTOCOLS, PORTS):
        question = Question(cluster, source, destination, protocol, port, pod_cidrs=cidrs)
        if min(egress(question), ingress(question)) is Verdict.OPEN:
            found.add((protocol, port))
    return found


def _meant(words: str) -> set[tuple[str, int]]:
    if words in ("all", "none"):
        return set(product(PROTOCOLS, PORTS)) if words == "all" else set()
    ranges = [(protocol, *port.split("-")) for protocol, port in (part.split(" ") for part in words.split(", "))]
    if all(len(one) == 2 for one in ranges):
        return {(one[0], int(one[1])) for one in ranges}
    return {(p, port) for p, *ends in ranges for port in PORTS if int(ends[0]) <= port <= int(ends[-1])}


@each
def test_changes_agree_with_the_second_reading(fixture: Path) -> None:
    expected = _expected(_load(fixture / "changes.yaml")["changes"])
    addresses = {end for pair in expected for end in pair if end.startswith("ip:")} or {"internet"}
    before, after = (_cluster(fixture / side) for side in ("base", "head"))
    cidrs = POD_CIDRS.get(fixture.name, PRIVATE)
    old, new = dict(_named(before, addresses)), dict(_named(after, addresses))
    assert old.keys() == new.keys()
    for pair in product(old, old):
        was = _open(before, old[pair[0]], old[pair[1]], cidrs)
        now = _open(after, new[pair[0]], new[pair[1]], cidrs)
        if pair in expected:
            assert (was, now) == tuple(map(_meant, expected[pair])), pair
        else:
            assert was == now, pair


# --- a branch cut before main gained its default deny ---


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgSign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def _commit(folder: Path, message: str) -> None:
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", message)


CRAWLER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: crawler, namespace: jobs}
spec:
  selector: {matchLabels: {app: crawler}}
  template:
    metadata: {labels: {app: crawler}}
    spec:
      containers: [{name: crawler, image: "registry.example/data/crawler:1.0.0"}]
"""


@pytest.fixture
def stale(tmp_path: Path) -> Path:
    """main gained the default deny of jobs after `crawler` was cut, which only adds a Deployment to that namespace."""
    fixture = FIXTURES / "default-deny-without-dns"
    shutil.copytree(fixture / "base", tmp_path / "repo")
    repo = tmp_path / "repo"
    _git(repo, "init", "--quiet")
    _git(repo, "symbolic-ref", "HEAD", "refs/heads/main")
    _commit(repo, "Worker and queue")
    _git(repo, "checkout", "--quiet", "-b", "crawler")
    (repo / "jobs" / "crawler.yaml").write_text(CRAWLER, encoding="utf-8")
    _commit(repo, "Crawler")
    _git(repo, "checkout", "--quiet", "main")
    shutil.copy(fixture / "head" / "jobs" / "network-policies.yaml", repo / "jobs")
    _commit(repo, "Default deny for jobs")
    return repo


def _known_pairs(review: Document) -> set[tuple[str, str]]:
    known = {name for name, parts in review["endpoints"].items() if parts["type"] != "hypothetical"}
    return {(row["from"], row["to"]) for row in review["pairs"] if known >= {row["from"], row["to"]}}


def test_a_stale_branch_is_not_blamed_for_what_main_gained(stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _json(capsys, "diff", "main", "crawler", "--repo", stale, "--pairs")
    review = _environment(document)
    assert document["mode"] == "merge"
    assert document["behind"] == 1
    # The new pod stands under the default deny that its branch has never seen: nothing reaches it, it reaches nothing.
    assert _known_pairs(review) == set()
    assert review["totals"]["opened"] == review["totals"]["closed"] == review["totals"]["changed"] == 0


def test_two_tips_compared_as_they_are_would_blame_it(stale: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--repo", stale, "--mode", "exact", "--pairs", "--exit-zero")
    review = _environment(_json(capsys, "diff", "main", "crawler", *options))
    assert {("jobs/worker", "kube-system/kube-dns"), ("jobs/crawler", "kube-system/kube-dns")} <= _known_pairs(review)
