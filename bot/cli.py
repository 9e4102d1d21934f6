"""Arguments in, a review (or listing, explanation, verification) computed and written, an exit code out. No logic."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bot import __version__
from bot.errors import NetreachError, UsageError
from bot.options import CNIS, ON_INCOMPLETE, RENDER
from bot.options import settings as read_settings

if TYPE_CHECKING:
    from bot.report.progress import Progress
    from bot.report.text import Line
    from bot.review import Folders, Place, Refs, Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

ALIASES = {"md": "markdown"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (docs/exit-codes.md). Never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    thresholds = gc.get_threshold()
    gc.set_threshold(1_000_000, 20, 20)  # nearly everything that is made lives until the end
    try:
        return _run(arguments, "--verbose" in arguments)
    finally:
        gc.set_threshold(*thresholds)


def _run(arguments: list[str], verbose: bool) -> int:
    try:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
        options = _parser(arguments).parse_args(arguments)
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return _say("interrupted", 130, verbose)
    except NetreachError as error:
        return _say(str(error), error.exit_code, verbose)
    except Exception as error:
        words = str(error).splitlines()[0][:300] if str(error) else ""
        advice = "" if verbose else " (a fault of netreach; --verbose shows where)"
        return _say(f"internal error: {type(error).__name__}{': ' if words else ''}{words}{advice}", 70, verbose)


def _say(message: str, code: int, verbose: bool = False) -> int:
    """Tell a person something on stderr. Nothing here may fail: a closed stderr must not change the code."""
    from bot.report.escape import plain

    try:
        if verbose:
            import traceback

            traceback.print_exc()
        for line in message.splitlines():
            sys.stderr.write(f"netreach: {plain(line, 1000)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; of the commands only the one that is asked for, where that is plain (each costs time at every start)."""
    parser = argparse.ArgumentParser(
        prog="netreach",
        description="Shows which network paths a change of Kubernetes manifests opens or closes, and why.",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"netreach {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="netreach", required=True)
    every = {
        "diff": _add_diff,
        "list": _add_list,
        "explain": _add_explain,
        "verify": _add_verify,
        "audit": _add_audit,
        "lint": _add_lint,
        "init": _add_init,
        "config": _add_config,
        "render": _add_render,
        "schema": _add_schema,
        "comment": _add_comment,
        "app": _add_app,
    }
    if arguments[:1] == ["action"]:
        every = {"action": _add_action}  # what action.yml runs; in no help
    wanted = arguments[0] if arguments and arguments[0] in every else None
    for name, add in every.items():
        if wanted in (name, None):
            add(commands)
    return parser


# A fixed width: the same help on every machine, and nothing is loaded to ask the terminal for its own.
_HELP = partial(argparse.HelpFormatter, width=110, max_help_position=32)


def _add_diff(commands: Commands) -> None:
    formats = "text, markdown, json, sarif, github, csv, dot, mermaid"
    diff = _command(commands, "diff", _diff, "compare two Git refs, or two folders", formats)
    diff.add_argument(
        "refs", nargs="*", metavar="REF", help="base and head (default: origin's default branch and the working tree)"
    )
    _two_sides(diff)
    diff.add_argument("--dirs", nargs=2, metavar=("BASE_DIR", "HEAD_DIR"), help="compare two folders, no Git")
    diff.add_argument("--pairs", action="store_true", help="json, csv: every changed pair beside the groups")
    diff.add_argument(
        "--link", metavar="URL", help="markdown: where files stand by commit, like https://github.com/o/r/blob"
    )
    _failing(diff)
    diff.add_argument(
        "--on-incomplete",
        choices=ON_INCOMPLETE,
        help="what could not be read: exit 3 (default), or only say so",
    )
    diff.add_argument("--exit-code", action="store_true", help="exit 1 on any difference, as git diff does")


def _add_list(commands: Commands) -> None:
    _one_side(_command(commands, "list", _list, "every open path", "text, json, csv, dot, mermaid"))


def _add_explain(commands: Commands) -> None:
    explain = _command(commands, "explain", _explain, "walk one path and say what decides it", "text, json")
    explain.add_argument("--from", dest="source", metavar="A", help="namespace/workload, internet, ip:ADDRESS, ...")
    explain.add_argument("--to", dest="destination", metavar="B")
    explain.add_argument(
        "--policy", metavar="NS/NAME", help="what one policy selects, opens and closes, instead of a path"
    )
    explain.add_argument("--port", metavar="8080/tcp", help="default: the port that tells most")
    _one_side(explain)
    _two_sides(explain)
    explain.add_argument("--dirs", nargs=2, metavar=("BASE_DIR", "HEAD_DIR"), help="two folders, no Git")


def _add_verify(commands: Commands) -> None:
    verify = _command(
        commands, "verify", _verify, "check must-allow and must-deny expectations", "text, json, junit, tap"
    )
    verify.add_argument(
        "expectations",
        metavar="EXPECTATIONS",
        help="a YAML or JSON file (netreach schema expectations), or netassert's or policytester's",
    )
    _one_side(verify)


def _add_audit(commands: Commands) -> None:
    audit = _command(commands, "audit", _audit, "what protects each namespace", "text, markdown, json, csv")
    audit.add_argument(
        "--fail-on", choices=("fail", "warn", "never"), default="never", dest="worst", help="exit 1 on it"
    )
    _one_side(audit)


def _add_lint(commands: Commands) -> None:
    lint = _command(commands, "lint", _lint, "the classic mistakes in policies", "text, markdown, json")
    lint.add_argument("refs", nargs="*", metavar="PATH | BASE HEAD", help="a folder or file (default .), or two Git refs")
    lint.add_argument("--ref", metavar="REF", help="a Git ref in place of files")
    _two_sides(lint)
    lint.add_argument("--rule", metavar="ID", help="print what a rule is about, by id or name")
    lint.add_argument("--fix", action="store_true", help="print what mends the mistakes, as a patch")
    lint.add_argument("--write", action="store_true", help="with --fix: write it to the files too")
    lint.add_argument("--all", action="store_true", help="of two refs: what is unchanged too")
    _failing(lint)


def _add_init(commands: Commands) -> None:
    words = "write a first .netreach.yml and a workflow"
    init = commands.add_parser("init", help=words, description=words, formatter_class=_HELP, allow_abbrev=False)
    init.add_argument("path", nargs="?", default=".", metavar="DIR", help="the repository (default .)")
    init.add_argument("--force", action="store_true", help="overwrite what is there")
    init.set_defaults(run=_init)


def _add_config(commands: Commands) -> None:
    words = "read a config and say what is wrong with it"
    config = commands.add_parser("config", help=words, description=words, formatter_class=_HELP, allow_abbrev=False)
    config.add_argument("action", choices=("check",))
    config.add_argument(
        "path", nargs="?", default=".", metavar="PATH", help="the config, or its repository (default .)"
    )
    config.set_defaults(run=_config)


def _add_render(commands: Commands) -> None:
    words = "the manifests that netreach sees, and where each came from"
    render = _command(commands, "render", _render, words, "yaml")
    _one_side(render)
    render.add_argument("--generated", action="store_true", help="only what Kyverno would create")


def _add_schema(commands: Commands) -> None:
    words = "the JSON Schema of a document"
    schema = commands.add_parser("schema", help=words, description=words, formatter_class=_HELP, allow_abbrev=False)
    schema.add_argument("name", help="report, list, verify, explain, policy, audit, lint, expectations, config")
    schema.set_defaults(run=_schema)


def _add_comment(commands: Commands) -> None:
    words = "post a report as the comment of a pull request"
    comment = commands.add_parser("comment", help=words, description=words, formatter_class=_HELP, allow_abbrev=False)
    comment.set_defaults(run=_comment)
    add = comment.add_argument
    add("--report", required=True, metavar="FILE", help="what netreach diff -o json=FILE wrote")
    add("--dry-run", action="store_true", help="print the comment, ask no one")
    add("--repository", metavar="OWNER/NAME", help="default: GITHUB_REPOSITORY")
    add("--pull", type=int, metavar="NUMBER", help="the pull request")
    add("--api", metavar="URL", help="default: GITHUB_API_URL, else https://api.github.com; the token: GITHUB_TOKEN")
    add("--link", metavar="URL", help="where files stand by commit (default: GITHUB_SERVER_URL/OWNER/NAME/blob)")
    add("--mode", default="escalate", help="escalate, update, hide-and-new, delete-and-new, new, off")
    add("--when", default="changes", help="changes, always, never")
    add("--key", default="default", help="tells several comments of one pull request apart")


def _add_app(commands: Commands) -> None:
    words = "the GitHub App: take webhooks, run reviews (docs/app.md)"
    app = commands.add_parser("app", help=words, description=words, formatter_class=_HELP, allow_abbrev=False)
    parts = ("serve", "worker", "reconcile", "doctor", "manifest", "register")
    app.add_argument("part", choices=parts, help="settings: NETREACH_ variables; doctor says what is missing")
    new = app.add_argument_group("manifest, register", "a new App: print its manifest, or register it by the press of a button")
    new.add_argument("--url", default="", help="where GitHub will reach it, https://netreach.example.com")
    new.add_argument("--name", default="netreach", help="what it is called, unique on GitHub")
    new.add_argument("--org", default="", help="whose it is (default: your own)")
    new.add_argument("--out", default=".", metavar="DIR", help="where register puts the key and the settings")
    new.add_argument("--port", type=int, default=0, help="of 127.0.0.1, for the page of register (default: a free one)")
    app.set_defaults(run=_app)


def _add_action(commands: Commands) -> None:
    commands.add_parser("action").set_defaults(run=_action)


def _command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    words: str,
    formats: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=words, description=words[0].upper() + words[1:] + ".", formatter_class=_HELP, allow_abbrev=False
    )
    parser.set_defaults(run=run, formats=tuple(formats.split(", ")))
    add = parser.add_argument
    add("--format", metavar="F", help=f"{formats} (default {formats.split(', ')[0]})")
    add("-o", dest="outputs", action="append", default=[], metavar="F=FILE", help="write a format to a file; several")
    add("--include", action="append", default=[], metavar="GLOB", help="only these files; several")
    add("--exclude", action="append", default=[], metavar="GLOB", help="not these files; several")
    add("--config", metavar="FILE", help="instead of the base side's .netreach.yml")
    add("--env", metavar="NAME", help="only this environment of the config")
    add("--cni", metavar="NAME", help=f"{', '.join(CNIS)}; default: the config, else what the manifests show, else kubernetes")
    add("--pod-cidrs", metavar="LIST", help="where pods get addresses from: CIDRs with commas, or none")
    add("--context", metavar="FILE", help="objects of the rest of the cluster (kubectl get ... -o yaml)")
    add("--render", choices=RENDER, help="off: nothing is rendered, kustomizations and charts are read as they stand")
    add("--kube-version", metavar="V", help="the version of Kubernetes that charts see")
    add("--allow-empty", action="store_true", help="no manifests is no error")
    add("--exit-zero", action="store_true", help="0 in place of 1")
    add("--quiet", action="store_true", help="nothing on stderr but errors")
    add("--verbose", action="store_true", help="more, and tracebacks")
    return parser


def _one_side(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="?", metavar="PATH", help="a folder or file (default .)")
    parser.add_argument("--ref", metavar="REF", help="a Git ref in place of files")
    parser.add_argument("--repo", default=".", metavar="DIR", help="the Git repository (default .)")


def _failing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="WHAT",
        help="rule, lint-error, internet, any-opened, any-change, never",
    )


def _two_sides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", metavar="REF")
    parser.add_argument("--head", metavar="REF")
    parser.add_argument(
        "--mode",
        choices=("merge", "branch", "exact"),
        default="merge",
        help="head merged into base (default), since they parted, as is",
    )
    parser.add_argument("--strict", action="store_true", help="a merge that conflicts is an error (exit 5)")
    if parser.get_default("repo") is None:
        parser.add_argument("--repo", default=".", metavar="DIR", help="the Git repository (default .)")


def _place(options: argparse.Namespace) -> Place:
    from bot.review import Place

    if options.ref is None:
        return Place(options.path or ".")
    if options.path is not None:
        raise UsageError("give PATH or --ref, not both (--include narrows a ref to some files)")
    return Place(options.repo, options.ref)


def _refs(options: argparse.Namespace) -> Refs:
    from bot.review import Refs

    given = list(getattr(options, "refs", []))
    if len(given) > 2:
        raise UsageError(f"two refs at most, not {len(given)}")
    for name, index in (("base", 0), ("head", 1)):
        if getattr(options, name) is not None and len(given) > index:
            raise UsageError(f"{name} is given twice: {given[index]} and --{name} {getattr(options, name)}")
    base = given[0] if given else options.base
    return Refs(options.repo, base, given[1] if len(given) > 1 else options.head, options.mode, options.strict)


def _diff(options: argparse.Namespace) -> int:
    from bot.gate.verdict import exit_code

    targets, settings = _targets(options), read_settings(options)
    if options.dirs and (options.refs or options.base or options.head):
        raise UsageError("give two refs or --dirs, not both")
    with _working(options, "comparing"):
        from bot import review

        if options.dirs:
            found = review.review_folders(options.dirs[0], options.dirs[1], settings)
        else:
            found = review.review_refs(_refs(options), settings)
    more = {"text": {"verbose": options.verbose}, "markdown": {"link": options.link}}
    _write(options, targets, "review", found, more)
    return _gate(options, exit_code(found.verdict, options.exit_code, found.on_incomplete))


def _list(options: argparse.Namespace) -> int:
    targets, settings, place = _targets(options), read_settings(options), _place(options)
    with _working(options, "listing"):
        from bot import review

        found = review.listing(place, settings)
    _write(options, targets, "listing", found, {"text": {"verbose": options.verbose}})
    return 3 if found.incomplete else 0


def _explain(options: argparse.Namespace) -> int:
    targets, settings = _targets(options), read_settings(options)
    if options.policy is not None:
        return _explain_policy(options, targets, settings)
    if options.source is None or options.destination is None:
        raise UsageError("say --from and --to, or --policy")
    over = _over(options)
    with _working(options, "walking the path"):
        from bot import review

        found = review.explain(options.source, options.destination, options.port, over, settings)
    _write(options, targets, "explanation", found, {"text": {"verbose": options.verbose}})
    return 3 if found.incomplete else 0


def _explain_policy(options: argparse.Namespace, targets: list[tuple[str, str]], settings: Settings) -> int:
    if options.source or options.destination or options.base or options.head or options.dirs:
        raise UsageError("--policy is about one state of the manifests: give it PATH or --ref alone")
    place = _place(options)
    with _working(options, "evaluating"):
        from bot import review

        found = review.effect(options.policy, place, settings)
    _write(options, targets, "effect", found, {})
    return 3 if found.incomplete else 0


def _over(options: argparse.Namespace) -> Place | Refs | Folders:
    two = options.base is not None or options.head is not None
    if two + bool(options.dirs) + (options.path is not None or options.ref is not None) > 1:
        raise UsageError("give --base and --head, or --dirs, or PATH, or --ref")
    if options.dirs:
        from bot.review import Folders

        return Folders(*options.dirs)
    return _refs(options) if two else _place(options)


def _verify(options: argparse.Namespace) -> int:
    targets, settings, place = _targets(options), read_settings(options), _place(options)
    with _working(options, "verifying"):
        from bot import review
        from bot.gate import expectations

        found = review.verify(expectations.read(options.expectations), place, settings)
    _write(options, targets, "verification", found, {"text": {"verbose": options.verbose}})
    return _gate(options, 1 if found.held < found.total else 3 if found.incomplete else 0)


def _audit(options: argparse.Namespace) -> int:
    targets, settings, place = _targets(options), read_settings(options), _place(options)
    with _working(options, "auditing"):
        from bot import review

        found = review.audit(place, settings)
    _write(options, targets, "audit", found, {"text": {"verbose": options.verbose}})
    failing = {"fail": ("FAIL",), "warn": ("FAIL", "WARN"), "never": ()}[options.worst]
    failed = any(one.status in failing for one in found.namespaces)
    return _gate(options, 1 if failed else 3 if found.incomplete else 0)


def _lint(options: argparse.Namespace) -> int:
    targets, settings = _targets(options), read_settings(options)
    two = options.base is not None or options.head is not None or len(options.refs) > 1
    if two and options.ref is not None:
        raise UsageError("give two refs, or --ref, not both")
    if options.rule:
        from bot.lint.page import shown

        _print(shown(options.rule))
        return 0
    if options.fix or options.write:
        return _fix(options, settings, two)
    with _working(options, "linting"):
        from bot import review

        if two:
            found = review.lint_refs(_refs(options), settings, options.all)
        else:
            options.path = options.refs[0] if options.refs else None
            found = review.lint(_place(options), settings)
    _write(options, targets, "lint", found, {})
    return _gate(options, 1 if found.fails else 3 if found.incomplete else 0)


def _fix(options: argparse.Namespace, settings: Settings, two: bool) -> int:
    if two or not options.fix or (options.write and options.ref is not None) or options.format or options.outputs:
        raise UsageError("--fix is for PATH (or --ref, without --write), and prints a patch")
    options.path = options.refs[0] if options.refs else None
    with _working(options, "linting"):
        from bot import review
        from bot.lint.fix import patch, write

        found = review.mend(_place(options), settings)
    _print(patch(found.fixes))
    if options.write:
        write(options.path or ".", found.fixes)
    mended = sum(len(one.rules) for one in found.fixes.files)
    if not options.quiet:
        words = "mended" if options.write else "can be mended (--write does it)"
        _say("\n".join([f"{mended} finding{'s' * (mended != 1)} {words}", *(f"left: {why}" for why in found.fixes.left)]), 0)
    return 3 if found.incomplete else 0


def _init(options: argparse.Namespace) -> int:
    from bot.starter import write

    written = write(options.path, options.force)
    _print("".join(f"wrote {path}\n" for path in written))
    return 0


def _config(options: argparse.Namespace) -> int:
    from bot.starter import check

    _print(check(options.path))
    return 0


def _render(options: argparse.Namespace) -> int:
    targets, settings, place = _targets(options), read_settings(options), _place(options)
    with _working(options, "reading"):
        from bot import review

        found, notes = review.manifests(place, settings)
    _write(options, targets, "generated" if options.generated else "manifests", found, {})
    from bot.report.rendered import told

    code = 3 if any(one.incomplete for one in found) else 0
    return _say("\n".join(told(found, notes, options.quiet)), code)


def _schema(options: argparse.Namespace) -> int:
    from pathlib import Path

    known = {file.stem: file for file in sorted((Path(__file__).parent / "schemas").glob("*.json"))}
    if options.name not in known:
        raise UsageError(f"no schema {options.name}: {', '.join(known)}")
    _print(known[options.name].read_text(encoding="utf-8"))
    return 0


def _comment(options: argparse.Namespace) -> int:
    from bot.github import post
    from bot.report import stored

    _print(post.post(options, stored.read(options.report), os.environ))
    return 0


def _app(options: argparse.Namespace) -> int:
    if options.part in ("manifest", "register"):
        from bot.server import manifest

        _print(manifest.command(options, os.environ))
        return 0
    from bot.server import run

    return run.main(options.part, os.environ)


def _action(_: argparse.Namespace) -> int:
    from bot.github import action

    def parse(arguments: list[str]) -> Settings:
        return read_settings(_parser(["diff"]).parse_args(["diff", *arguments]))

    return action.main(os.environ, parse)


def _gate(options: argparse.Namespace, code: int) -> int:
    return 0 if code == 1 and options.exit_zero else code


def _working(options: argparse.Namespace, what: str) -> Progress:
    from bot.report.progress import Progress

    return Progress(what, None if options.quiet else sys.stderr)


def _targets(options: argparse.Namespace) -> list[tuple[str, str]]:
    """(format, file) pairs, `-` for stdout. Raises UsageError before any work is done."""
    targets = [(options.format, "-")] if options.format else []
    for output in options.outputs:
        name, equals, file = output.partition("=")
        if not equals or not file:
            raise UsageError(f"-o {output}: say -o FORMAT=FILE, like -o json=report.json")
        targets.append((name, file))
    if not targets:
        targets = [(options.formats[0], "-")]
    known = [(ALIASES.get(name, name), file) for name, file in targets]
    for name, _ in known:
        if name not in options.formats:
            raise UsageError(f"no format {name} here: {', '.join(options.formats)}")
    return known


def _write(
    options: argparse.Namespace,
    targets: Sequence[tuple[str, str]],
    function: str,
    value: object,
    more: Mapping[str, Mapping[str, object]],
) -> None:
    """Call `function` of each format's module (with what `more` has for it) and put the result where it belongs."""
    from importlib import import_module

    for name, file in targets:
        module = import_module(f"bot.report.{name}")
        content = getattr(module, function)(value, **more.get(name, {}))
        if name == "json":
            content = module.dumps(content)
        if file == "-":
            _print(content)
            continue
        try:
            with open(file, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
                stream.write(_flat(content))
        except OSError as error:
            raise UsageError(f"cannot write {file}: {error.strerror or error}") from None
        if not options.quiet:
            _say(f"wrote {name} to {file}", 0)


def _flat(content: str | list[Line]) -> str:
    if isinstance(content, str):
        return content
    from bot.report.text import plain

    return plain(content)


def _print(content: str | list[Line]) -> None:
    """Write a result; a reader that has gone away (`| head`) is no error."""
    try:
        if not isinstance(content, str) and _colours():
            from bot.report.terminal import write

            write(content, sys.stdout)
        else:
            sys.stdout.write(_flat(content))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
