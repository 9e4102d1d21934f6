"""The environment of a step in, the action's inputs checked and named out (action.yml)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bot.errors import UsageError
from bot.github.comment import MODES, WHEN
from bot.github.marker import checked_key

LARGEST_EVENT = 30 << 20


class Inputs(NamedTuple):
    """The inputs; '' is what was not said. `annotations`: how many at most."""

    base: str
    head: str
    mode: str
    paths: tuple[str, ...]
    config: str
    environment: str
    fail_on: str
    on_incomplete: str
    comment: str
    comment_when: str
    comment_key: str
    pod_cidrs: str
    annotations: int
    summary: bool
    sarif_file: str
    report_dir: str
    token: str
    render: bool

    def arguments(self) -> list[str]:
        """The options of `netreach diff` that mean the same."""
        out = [f"--include={glob}" for glob in self.paths]
        for name, value in (
            ("--fail-on", ",".join(_listed(self.fail_on))),
            ("--on-incomplete", self.on_incomplete),
            ("--env", self.environment),
            ("--pod-cidrs", ",".join(_listed(self.pod_cidrs))),
        ):
            out += [f"{name}={value}"] if value else []
        return out


class Run(NamedTuple):
    """What Actions says of the run: the event with its payload, the repository, and where its parts are."""

    event: str
    event_path: str
    repository: str
    workspace: str
    temporary: str
    api: str
    server: str
    output: str
    step_summary: str


def inputs(environ: Mapping[str, str]) -> Inputs:
    """The inputs from INPUT_* variables. Raises UsageError."""

    def get(name: str, default: str = "") -> str:
        return environ.get(f"INPUT_{name.upper().replace('-', '_')}", "").strip() or default

    environments = _listed(get("environments"))
    if len(environments) > 1:
        raise UsageError("environments: one of the config's, or none for all of them")
    annotations = get("annotations", "20")
    if not annotations.isascii() or not annotations.isdigit() or len(annotations) > 6:
        raise UsageError(f"annotations must be a number, not {ascii(annotations[:80])}")
    return Inputs(
        get("base"),
        get("head"),
        _choice("mode", get("mode", "merge"), ("merge", "branch", "exact")),
        tuple(line.strip() for line in get("paths").splitlines() if line.strip()),
        get("config"),
        environments[0] if environments else "",
        get("fail-on"),
        _choice("on-incomplete", get("on-incomplete"), ("", "fail", "warn")),
        _choice("comment", get("comment", "escalate"), MODES),
        _choice("comment-when", get("comment-when", "changes"), WHEN),
        checked_key(get("comment-key", "default")),
        get("pod-cidrs"),
        int(annotations),
        _choice("summary", get("summary", "true"), ("true", "false")) == "true",
        get("sarif-file"),
        get("report-dir"),
        get("github-token"),
        _choice("render", get("render", "on"), ("on", "off")) == "on",
    )


def run(environ: Mapping[str, str]) -> Run:
    """What Actions says. Raises UsageError outside of it."""

    def get(name: str, default: str = "") -> str:
        return environ.get(name, "") or default

    repository = get("GITHUB_REPOSITORY")
    if repository.count("/") != 1 or not get("GITHUB_EVENT_PATH"):
        raise UsageError(
            "netreach action runs as a step of GitHub Actions; elsewhere: netreach diff and netreach comment"
        )
    return Run(
        get("GITHUB_EVENT_NAME"),
        get("GITHUB_EVENT_PATH"),
        repository,
        get("GITHUB_WORKSPACE", "."),
        get("RUNNER_TEMP", get("TMPDIR", "/tmp")),  # noqa: S108
        get("GITHUB_API_URL", "https://api.github.com"),
        get("GITHUB_SERVER_URL", "https://github.com").rstrip("/"),
        get("GITHUB_OUTPUT"),
        get("GITHUB_STEP_SUMMARY"),
    )


def payload(path: str) -> dict[str, object]:
    """The event's payload. Raises UsageError."""
    import json

    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST_EVENT + 1)
        found = json.loads(data) if len(data) <= LARGEST_EVENT else None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the event's payload cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UsageError("the event's payload is no JSON object, or too large")
    return found


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        known = ", ".join(choice or "nothing" for choice in choices)
        raise UsageError(f"{name} must be one of {known}, not {ascii(value[:80])}")
    return value


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
