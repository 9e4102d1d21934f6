"""GitHub's published API description in (tests/node_modules, pinned in tests/package.json), the part that the tests need out.

`python scripts/github_schemas.py` writes tests/github/api.json.gz and webhooks.json.gz; with `--check` it says whether they are
what the pinned packages give (exit 1 if not). The packages themselves are 28 MB and stay out of the repository.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "tests" / "node_modules" / "@octokit"
OUT = ROOT / "tests" / "github"
REPOSITORY = "/repos/{owner}/{repo}"
OPERATIONS = {
    "/app": ("get",),
    "/app/hook/deliveries": ("get",),
    "/app/hook/deliveries/{delivery_id}/attempts": ("post",),
    "/app/installations": ("get",),
    "/app/installations/{installation_id}": ("get",),
    "/app/installations/{installation_id}/access_tokens": ("post",),
    "/installation/repositories": ("get",),
    "/rate_limit": ("get",),
    REPOSITORY: ("get",),
    REPOSITORY + "/check-runs": ("post",),
    REPOSITORY + "/check-runs/{check_run_id}": ("get", "patch"),
    REPOSITORY + "/check-runs/{check_run_id}/annotations": ("get",),
    REPOSITORY + "/commits/{commit_sha}/pulls": ("get",),
    REPOSITORY + "/commits/{ref}/check-runs": ("get",),
    REPOSITORY + "/installation": ("get",),
    REPOSITORY + "/issues/comments/{comment_id}": ("get", "patch", "delete"),
    REPOSITORY + "/issues/{issue_number}/comments": ("get", "post"),
    REPOSITORY + "/pulls": ("get",),
    REPOSITORY + "/pulls/{pull_number}": ("get",),
    REPOSITORY + "/pulls/{pull_number}/files": ("get",),
}
EVENTS = (
    "check_run",
    "check_suite",
    "installation",
    "installation_repositories",
    "issue_comment",
    "merge_group",
    "ping",
    "pull_request",
    "push",
    "repository",
    "workflow_run",
)
NOISE = ("description", "summary", "externalDocs", "x-github", "operationId", "tags", "servers")


def api() -> dict[str, Any]:
    """Each operation with its parameters, body and responses as JSON Schemas, an example of each response, and what they refer to."""
    package = PACKAGES / "openapi"
    whole = json.loads((package / "generated" / "api.github.com.json").read_text(encoding="utf-8"))
    wanted: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for path, methods in OPERATIONS.items():
        for method in methods:
            operations[f"{method.upper()} {path}"] = operation(whole["paths"][path][method], whole, wanted)
    return {"source": source(package), "operations": operations, "schemas": dict(sorted(wanted.items()))}


def operation(value: dict[str, Any], whole: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    body = value.get("requestBody")
    query = {}
    for one in value.get("parameters", []):
        one = resolved(one, whole)
        if one["in"] == "query":
            query[one["name"]] = {
                "required": one.get("required", False),
                "schema": schema(one["schema"], whole, wanted),
            }
    responses = {}
    for status, response in value["responses"].items():
        content = resolved(response, whole).get("content", {}).get("application/json", {})
        example = next(iter(content.get("examples", {}).values()), {})
        responses[status] = {"schema": schema(content["schema"], whole, wanted) if "schema" in content else None}
        if status.startswith("2"):
            responses[status]["example"] = resolved(example, whole).get("value")
    content = body["content"]["application/json"] if body else {}
    return {
        "query": query,
        "body": schema(content["schema"], whole, wanted) if "schema" in content else None,
        "responses": responses,
    }


def resolved(value: Any, whole: dict[str, Any]) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        found: Any = whole
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def schema(value: Any, whole: dict[str, Any], wanted: dict[str, Any]) -> Any:
    """An OpenAPI 3.0 schema as one of JSON Schema; what it refers to goes into `wanted`."""
    if isinstance(value, list):
        return [schema(item, whole, wanted) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        if name not in wanted:
            wanted[name] = None
            wanted[name] = schema(resolved(value, whole), whole, wanted)
        return {"$ref": f"#/schemas/{name}"}
    out = {}
    for key, item in value.items():
        if key == "properties":
            out[key] = {name: schema(one, whole, wanted) for name, one in item.items()}
        elif key not in (*NOISE, "example", "examples", "nullable", "discriminator", "default"):
            out[key] = schema(item, whole, wanted)
    if value.get("nullable"):
        return {"anyOf": [{"type": "null"}, out]}
    return out


def webhooks() -> dict[str, Any]:
    """The examples of the events that matter here, and the schema of every event."""
    examples = json.loads(
        (PACKAGES / "webhooks-examples" / "api.github.com" / "index.json").read_text(encoding="utf-8")
    )
    schemas = json.loads((PACKAGES / "webhooks-schemas" / "schema.json").read_text(encoding="utf-8"))
    kept = {row["name"]: row["examples"][:40] for row in examples if row["name"] in EVENTS}
    return {
        "sources": [source(PACKAGES / "webhooks-examples"), source(PACKAGES / "webhooks-schemas")],
        "examples": dict(sorted(kept.items())),
        "schema": schemas,
    }


def source(package: Path) -> str:
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    return f"{about['name']}@{about['version']} ({about['license']})"


def main(arguments: list[str]) -> int:
    stale = []
    for name, value in (("api.json.gz", api()), ("webhooks.json.gz", webhooks())):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        file = OUT / name
        if arguments == ["--check"]:
            if not file.exists() or gzip.decompress(file.read_bytes()) != text:
                stale.append(name)
            continue
        file.write_bytes(gzip.compress(text, 9, mtime=0))
        print(f"{file.relative_to(ROOT)}: {len(text):,} bytes of JSON")
    if stale:
        print(
            f"not what the pinned packages give: {', '.join(stale)} (python scripts/github_schemas.py)", file=sys.stderr
        )
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
