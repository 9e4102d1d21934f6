"""Parsed arguments and the NETREACH_* variables in, the Settings of a run out; a flag comes before its variable."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bot.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from bot.review import Settings

CNIS = (
    *("kubernetes", "cilium", "calico", "antrea", "ovn-kubernetes", "kube-ovn", "kube-network-policies", "kube-router"),
    *("aws-vpc-cni", "azure", "gke", "weave", "kindnet", "flannel", "kubenet", "none"),
)
ON_INCOMPLETE = ("fail", "warn")
RENDER = ("on", "off")


def settings(options: argparse.Namespace) -> Settings:
    """What the user asked for; the config is not read yet. Raises UsageError."""
    from bot.gate.verdict import FAIL_ON
    from bot.review import Settings

    on_incomplete = ""
    fail_on: tuple[str, ...] = ()
    if hasattr(options, "fail_on"):
        fail_on = tuple(dict.fromkeys(name for text in _several(options, "fail_on") for name in _listed(text)))
    if hasattr(options, "on_incomplete"):
        on_incomplete = _one(options, "on_incomplete") or ""
    for name in fail_on:
        if name not in FAIL_ON:
            raise UsageError(f"--fail-on {name}: not one of {', '.join(FAIL_ON)}")
    return Settings(
        cni=_chosen(_one(options, "cni"), CNIS, "--cni" if options.cni else "NETREACH_CNI"),
        pod_cidrs=_pod_cidrs(_one(options, "pod_cidrs")),
        context=_one(options, "context"),
        include=tuple(_several(options, "include")),
        exclude=tuple(_several(options, "exclude")),
        pairs=getattr(options, "pairs", False),
        fail_on=fail_on,
        config=_one(options, "config"),
        environment=_one(options, "env"),
        allow_empty=options.allow_empty,
        on_incomplete=_chosen(on_incomplete, ON_INCOMPLETE, "NETREACH_ON_INCOMPLETE") or "",
        today=_day(os.environ.get("NETREACH_TODAY", "")),
        render=_chosen(_one(options, "render"), RENDER, "NETREACH_RENDER") or "",
        kube_version=_version(_one(options, "kube_version") or ""),
    )


def _version(text: str) -> str:
    numbers = text.removeprefix("v").split(".")
    if text and not (len(numbers) in (2, 3) and all(part.isascii() and part.isdigit() for part in numbers)):
        raise UsageError(f"--kube-version {text[:40]!r}: not a version like 1.34 or 1.34.2")
    return text


def _day(text: str) -> str:
    if text:
        from datetime import date

        try:
            if date.fromisoformat(text).isoformat() != text:
                raise ValueError
        except ValueError:
            raise UsageError(f"NETREACH_TODAY={text[:40]!r}: not a day like 2027-01-31") from None
    return text


def _one(options: argparse.Namespace, name: str) -> str | None:
    given: str | None = getattr(options, name)
    return given if given is not None else os.environ.get(f"NETREACH_{name.upper()}") or None


def _several(options: argparse.Namespace, name: str) -> list[str]:
    given: list[str] = getattr(options, name)
    return given or _listed(os.environ.get(f"NETREACH_{name.upper()}", ""))


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


def _chosen(value: str | None, choices: tuple[str, ...], variable: str) -> str | None:
    """`variable`: what gave it, for the message; argparse has looked at most flags already, not at variables."""
    if value and value not in choices:
        from bot.located import meant

        raise UsageError(f"{variable}={value}: not one of {', '.join(choices)}{meant(value, choices)}")
    return value


def _pod_cidrs(text: str | None) -> tuple[str, ...] | None:
    if text is None or text == "none":
        return None if text is None else ()
    from bot.policies.addresses import parse_cidr

    cidrs = tuple(_listed(text))
    if not cidrs:
        raise UsageError("--pod-cidrs is empty: give CIDRs, or none")
    for cidr in cidrs:
        try:
            parse_cidr(cidr)
        except ValueError as error:
            raise UsageError(f"--pod-cidrs: {error}") from None
    return cidrs
