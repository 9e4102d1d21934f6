"""A repository in, a commented first config and a workflow in it out; a config in, a few words on it out."""

from __future__ import annotations

import os

from bot.errors import UsageError

CONFIG = """\
# netreach: what may reach what. Reference: docs/config.md, `netreach schema config`.
# It counts from the base branch: a pull request cannot change the rules that it is judged by.
version: 1

# Which files are manifests. Without it: every YAML and JSON file.
# paths:
#   include: ["k8s/**"]
#   exclude: ["**/testdata/**"]

# Clusters, each compared on its own.
# environments:
#   prod: {paths: ["clusters/prod/**"]}

# What manifests cannot tell.
# assume:
#   cni: kubernetes                  # cilium, calico, flannel, ... (netreach diff --help); without it: what the manifests show
#   podCIDRs: [10.244.0.0/16]
#   known-complete: [payments]       # namespaces whose pods are all in this repository

# Names for ends: ns:NAME, label:key=value, namespace/workload, internet, cidr:, fqdn:, *
# groups:
#   payments: "ns:payments"

# What must stay closed, and what must stay open.
# rules:
#   - {id: no-internet-to-payments, deny: {from: internet, to: payments}, why: "PCI 1.3"}
#   - {id: metrics-stay, require: {from: "ns:monitoring", to: "*", ports: [metrics]}, severity: warn}

# Changes that somebody answers for, until a day.
# allow:
#   - id: shop-https
#     match: {from: "ns:shop", to: internet, ports: [443/tcp]}
#     owner: "@acme/netsec"
#     reason: the shop calls its payment provider
#     expires: 2027-01-31

# Mistakes in policies (netreach lint): switched off, of another severity, left as they are in some files.
# lint:
#   disable: [NP004]
#   severity: {NP020: info}
#   ignore:
#     - {paths: ["legacy/**"], rules: [NP020], reason: goes away in May}

gate:
  fail-on: [rule]                    # rule, lint-error, internet, any-opened, any-change, never
  on-incomplete: fail                # or warn
"""

WORKFLOW = """\
name: netreach
on:
  pull_request:
    types: [opened, synchronize, reopened, edited, ready_for_review]
  merge_group:
permissions: {}
concurrency:
  group: netreach-${{ github.event.pull_request.number || github.sha }}
  cancel-in-progress: true
jobs:
  netreach:
    runs-on: ubuntu-latest
    permissions:
      contents: read
      pull-requests: write           # without it: everything but the comment
    steps:
      # Pin both to a commit: actions/checkout@<sha>, OWNER/netreach@<sha>.
      - uses: actions/checkout@v5
        with:
          fetch-depth: 0
          persist-credentials: false
      - uses: OWNER/netreach@v0
"""

FILES = ((".netreach.yml", CONFIG), (".github/workflows/netreach.yml", WORKFLOW))


def write(folder: str, force: bool) -> list[str]:
    """Write both files; returns their paths. Raises UsageError, before anything is written where one is there (without `force`)."""
    places = [(os.path.join(folder, *name.split("/")), text) for name, text in FILES]
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is not a folder")
    if os.path.lexists(os.path.join(folder, ".github", "netreach.yml")) and not force:
        raise UsageError(".github/netreach.yml is there already: keep one config")
    for path, _ in places:
        if os.path.lexists(path) and not force:
            raise UsageError(f"{path} is there already (--force overwrites it)")
    for path, text in places:
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
    return [path for path, _ in places]


def check(path: str) -> str:
    """What a config (or the one of a folder) says, in a few lines. Raises UsageError with the line of its first mistake."""
    from bot.config import read
    from bot.sources.select import CONFIG_FILES

    if os.path.isdir(path):
        found = [os.path.join(path, name) for name in CONFIG_FILES if os.path.isfile(os.path.join(path, name))]
        if not found:
            raise UsageError(f"{path} has no {CONFIG_FILES[0]} (netreach init writes one)")
        if len(found) > 1:
            raise UsageError(f"{found[1]}:1: {found[0]} is there too: keep one of them")
        path = found[0]
    config = read(path)
    counts = (
        ("environment", len(config.environments)),
        ("group", len(config.groups)),
        ("rule", len(config.rules)),
        ("allow entry", len(config.allow)),
    )
    words = ", ".join(f"{count} {name if count == 1 else _plural(name)}" for name, count in counts)
    return f"{path}: fine: {words}; fails on {', '.join(config.gate.fail_on)}\n"


def _plural(name: str) -> str:
    return name[:-1] + "ies" if name.endswith("y") else name + "s"
