"""NP111: a pattern of DNS names that anybody can register a name under."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.rules.fqdn_without_dns_rule import name_of

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP111",
    name="fqdn-pattern-wide",
    severity=WARNING,
    detects="`toFQDNs` with a pattern that matches every name (`*`), every name of a public suffix (`*.com`, "
    "`*.co.uk`), or of a service where everybody can have a name (`*.github.io`).",
    why="Whoever takes over a pod sends what is in it to a name of their own below the suffix. The rule allows "
    "hardly less than the internet.",
    bad="""\
egress:
  - toFQDNs: [{matchPattern: "*.com"}]
""",
    fix="Name the domain.",
    good="""\
egress:
  - toFQDNs: [{matchPattern: "*.example.com"}]
""",
)
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "nom", "or", "org", "go", "gob"})
_HOSTING = frozenset(
    {
        *(
            "github.io",
            "gitlab.io",
            "pages.dev",
            "workers.dev",
            "vercel.app",
            "netlify.app",
            "web.app",
            "firebaseapp.com",
            "fly.dev",
        ),
        *(
            "herokuapp.com",
            "appspot.com",
            "run.app",
            "azurewebsites.net",
            "cloudapp.net",
            "cloudfront.net",
            "ngrok.io",
            "ngrok-free.app",
        ),
        *(
            "s3.amazonaws.com",
            "elb.amazonaws.com",
            "execute-api.amazonaws.com",
            "blob.core.windows.net",
            "azureedge.net",
            "r2.dev",
        ),
        *("duckdns.org", "trycloudflare.com", "onrender.com", "glitch.me", "repl.co", "surge.sh"),
    }
)


def check(context: Context) -> Iterator[Draft]:
    """Every such pattern of an allow rule."""
    for peer in context.peers:
        pattern = name_of(peer.other) if peer.rules[0].action == "allow" else None
        words = None if pattern is None or "*" not in pattern else _width(pattern)
        if words is not None:
            yield Draft(RULE, WARNING, peer.object, peer.path, f"`{pattern}` is {words}", about=str(pattern))


def _width(pattern: str) -> str | None:
    """What a pattern allows, where that is too much."""
    if not pattern.strip("*."):
        return "every name there is"
    suffix = pattern.rpartition("*")[2]
    if not suffix.startswith("."):
        return f"every name of one label that ends in {suffix}" if "." not in suffix and "." not in pattern else None
    labels = suffix[1:].split(".")
    if len(labels) == 1:
        return f"every name below the top-level domain {suffix}"
    if len(labels) == 2 and labels[0] in _SECOND_LEVEL and len(labels[1]) == 2:
        return f"every name below the public suffix {suffix}"
    if suffix[1:] in _HOSTING:
        return f"below {suffix}, where anybody can have a name"
    return None
