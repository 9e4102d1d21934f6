"""A review and the options of `netreach comment` in, the comment printed or posted out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.errors import UsageError
from bot.github import comment

if TYPE_CHECKING:
    from argparse import Namespace

    from bot.review import Review


def post(options: Namespace, review: Review, environ: Mapping[str, str]) -> str:
    """What to print: the comment with `--dry-run`, else what was done. Raises UsageError and PublishError."""
    repository = options.repository or environ.get("GITHUB_REPOSITORY", "")
    if repository.count("/") != 1:
        raise UsageError("say --repository OWNER/NAME")
    server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
    link = options.link or f"{server.rstrip('/')}/{repository}/blob"
    what = comment.statement(review, options.pull or 0, link, key=options.key)
    if options.dry_run:
        return comment.compose(what, 1)
    token = environ.get("GITHUB_TOKEN", "")
    if not options.pull or not token:
        raise UsageError("say --pull NUMBER" if token else "set GITHUB_TOKEN to a token that may comment")
    from bot.github.client import PUBLIC_API, connect

    client = connect(token, options.api or environ.get("GITHUB_API_URL") or PUBLIC_API)
    own = comment.author(client, token)
    done = comment.publish(client.get_repo(repository), what, own, options.mode, options.when)
    return " ".join(word for word in (done.done, done.url, done.why) if word) + "\n"
