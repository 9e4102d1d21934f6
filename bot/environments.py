"""Settings and a side's files in; the environments to compare, each with its own settings and part of the files, out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.sources import Files, Unread
from bot.sources.select import CONFIG_FILES, SETTINGS_FILES, find_config, narrow

if TYPE_CHECKING:
    from bot.config import Assume, Config, Environment, Rendered
    from bot.manifests.snapshot import Snapshot
    from bot.render.model import Options, Root
    from bot.render.remote import Remotes
    from bot.render.stage import Read
    from bot.review import Settings

MOST_NAMED = 10
CHANGED, ALL, ONE = "changed", "all", "one"
REST = "plain manifests"


class Scope(NamedTuple):
    """One cluster to look at.

    `paths`: the globs of its files (none: all). `empty`: what to say of a named environment that has no manifests, which is
    more likely a slip in its globs than meant. `rendered`: what the config says to render.
    """

    name: str
    settings: Settings
    paths: tuple[str, ...] = ()
    empty: Unread | None = None
    rendered: tuple[Rendered, ...] = ()

    def files(self, side: Files) -> Files:
        """Its part of one side. Raises UsageError."""
        return narrow(side, self.paths)

    def unread(self, *sides: Snapshot) -> tuple[Unread, ...]:
        """What makes its review incomplete beside what the sides say themselves."""
        if self.empty is None or any(side.objects or side.workloads or side.unread for side in sides):
            return ()
        return (self.empty,)


class Plan(NamedTuple):
    """The settings with what the config adds to them, and every environment that is asked for.

    `config`: the one in force, if there is one.
    """

    settings: Settings
    scopes: tuple[Scope, ...]
    config: Config | None = None

    def files(self, side: Files) -> Files:
        """The manifests of one side: what the settings include, without the settings file. Raises UsageError."""
        side = narrow(side, self.settings.include, self.settings.exclude)
        if not any(name in side.contents for name in SETTINGS_FILES):
            return side
        return side._replace(
            contents={name: data for name, data in side.contents.items() if name not in SETTINGS_FILES}
        )


def plan(settings: Settings, contents: Mapping[str, bytes]) -> Plan:
    """What to compare. `contents`: the files of the side that the config is taken from. Raises UsageError."""
    if settings.config is not None:
        from bot.config import read

        return _configured(settings, read(settings.config))
    found = find_config(contents)
    if found is not None:
        from bot.config import parse

        return _configured(settings, parse(*found))
    return Plan(settings, (Scope("default", settings),))


class Part(NamedTuple):
    """One environment, with its part of each side as manifests; `notes` and `remarks` as in a review's Environment."""

    scope: Scope
    before: Files
    after: Files
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Found(NamedTuple):
    """The environments to look at, and notes on the others. `whole`: there are no others."""

    parts: list[Part]
    notes: tuple[str, ...] = ()
    whole: bool = True


def only(found: Found) -> Part:
    """The one environment of a command that looks at one cluster. Raises UsageError where there are several."""
    _one([part.scope.name for part in found.parts])
    return found.parts[0]


def _one(names: Sequence[str]) -> None:
    if len(names) > 1:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise UsageError(f"there are the environments {', '.join(names[:MOST_NAMED])}{more}: choose one with --env")


def parts(planned: Plan, before: Files, after: Files, read: Read, which: str = CHANGED) -> Found:
    """Every environment that is asked for; of those that are rendered only such as the change can reach (`which` ALL: each; ONE: there
    must be one).

    Where the config names no environments, they are found in the repository (docs/rendering.md). `read` reads files of both
    sides beside the manifests. Raises UsageError.
    """
    own = planned.files(before)
    sides = own, own if after is before else planned.files(after)
    wanted = planned.settings.environment
    notes: tuple[str, ...] = ()
    if any(scope.rendered for scope in planned.scopes):
        return _configured_parts(planned, (before, after), sides, read, which)
    if planned.config is None or not planned.config.environments:
        from bot import render

        if render.needed(sides):
            if planned.settings.render != "off":
                return _found_parts(planned, sides, read, which)
            notes = (
                "rendering is off (--render): kustomizations and charts are read as they stand, not as they are deployed",
            )
        if wanted is not None:
            where = (
                "there is no config that has environments"
                if planned.config is None
                else "the config has no environments"
            )
            raise UsageError(f"--env {wanted}: {where}")
    return Found([Part(scope, scope.files(sides[0]), scope.files(sides[1])) for scope in planned.scopes], notes)


def _options(planned: Plan) -> Options:
    """What is said of all that is rendered; a flag comes before the config."""
    from bot.render.model import Cluster, Options

    config = planned.config.render if planned.config is not None else None
    version = planned.settings.kube_version
    if config is None:
        return Options(version)
    clusters = tuple(Cluster(*one) for one in config.clusters)
    return Options(version or config.kube_version, config.api_versions, clusters, config.remote, config.plugins)


@contextmanager
def _remotes(options: Options) -> Iterator[Remotes]:
    """What may be fetched, for as long as it is looked at."""
    from bot.render.remote import Remotes
    from bot.sources.remote import address

    remotes = Remotes(tuple(map(address, options.remote)), options.plugins)
    try:
        yield remotes
    finally:
        remotes.close()


def _found_parts(planned: Plan, sides: tuple[Files, Files], read: Read, which: str) -> Found:
    from bot.render import discover
    from bot.render.stage import stage

    (scope,) = planned.scopes
    wanted = scope.settings.environment
    options = _options(planned)
    before, told_before = discover.discover(sides[0], options)
    after, told = (before, told_before) if sides[1] is sides[0] else discover.discover(sides[1], options)
    if which == CHANGED:
        told = _new(told, told_before)
    if not before and not after:
        if wanted is not None:
            raise UsageError(f"--env {wanted}: there is no config that has environments")
        return Found([Part(scope, scope.files(sides[0]), scope.files(sides[1]), tuple(told))])
    names = list(dict.fromkeys(root.environment for root in (*before, *after)))
    roots = before, after
    if wanted is None and which == ONE:
        _one(names)
    if wanted is not None and wanted != REST:
        if wanted not in names:
            from bot.located import meant

            raise UsageError(
                f"--env {wanted}: there are {', '.join([*names, REST][:MOST_NAMED])}{meant(wanted, names)}"
            )
        roots = tuple([root for root in of if root.environment == wanted] for of in roots)  # type: ignore[assignment]
    settings = scope.settings._replace(allow_empty=True)
    with _remotes(options) as remotes:
        staged = stage(sides, roots, read, lambda _, changed: wanted != REST and (changed or which != CHANGED), remotes)
    found = [Part(Scope(p.name, settings), p.before, p.after, p.notes, p.remarks) for p in staged.parts]
    unchanged = list(staged.unchanged)
    if wanted in (None, REST):
        plain = [
            discover.plain(side, of, used) for side, of, used in zip(sides, (before, after), staged.used, strict=True)
        ]
        if any(b"apiVersion" in data for side in plain for data in side.contents.values()) or plain[1].skipped:
            if which != CHANGED or plain[0].contents != plain[1].contents or plain[0].skipped != plain[1].skipped:
                found.append(Part(Scope(REST, settings), plain[0], plain[1]))
            else:
                unchanged.append(REST)
    if wanted is not None:
        unchanged = []
    if not found:
        nothing = Files(sides[1].label, sides[1].sha, {}, [])
        found.append(Part(Scope(wanted or "default", settings), nothing, nothing))
    return Found(found, (*dict.fromkeys(told), *_untouched(unchanged)), not unchanged)


def _untouched(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (f"not touched by this change, and not looked at: {', '.join(names[:MOST_NAMED])}{more}",)


def _new(told: list[str], before: list[str]) -> list[str]:
    """What is only so after the change in full, the rest in one line."""
    out = [note for note in told if note not in before]
    known = len(dict.fromkeys(told)) - len(out)
    if known:
        words = "1 note on what is deployed holds" if known == 1 else f"{known} notes on what is deployed hold"
        out.append(f"{words} before and after alike (netreach render tells)")
    return out


def _configured_parts(
    planned: Plan, whole: tuple[Files, Files], sides: tuple[Files, Files], read: Read, which: str
) -> Found:
    """Environments as the config says; what they are rendered from may be outside of what it includes."""
    from bot.render.discover import configured
    from bot.render.stage import stage

    file = planned.config.file if planned.config is not None else ""
    options = _options(planned)
    if which == ONE:
        _one([scope.name for scope in planned.scopes])
    roots = [configured(scope.name, one, file, options) for scope in planned.scopes for one in scope.rendered]
    if planned.settings.render == "off":
        roots = [root._replace(refused="rendering is off", setting="--render") for root in roots]
    beside = {scope.name: _beside(scope, sides, roots) for scope in planned.scopes if scope.rendered}

    def chosen(name: str, changed: bool) -> bool:
        plain = beside[name]
        return (
            changed
            or which != CHANGED
            or plain[0].contents != plain[1].contents
            or plain[0].skipped != plain[1].skipped
        )

    with _remotes(options) as remotes:
        staged = stage(whole, (roots, roots), read, chosen, remotes)
    rendered = {part.name: part for part in staged.parts}
    out = []
    for scope in planned.scopes:
        if not scope.rendered:
            out.append(Part(scope, scope.files(sides[0]), scope.files(sides[1])))
        elif scope.name in rendered:
            part = rendered[scope.name]
            both = [
                made._replace(
                    contents={**{p: d for p, d in plain.contents.items() if p not in used}, **made.contents},
                    skipped=[*plain.skipped, *made.skipped],
                )
                for plain, made, used in zip(beside[scope.name], (part.before, part.after), staged.used, strict=True)
            ]
            out.append(Part(scope, both[0], both[1], part.notes, part.remarks))
    if not out:
        nothing = Files(sides[1].label, sides[1].sha, {}, [])
        settings = planned.settings._replace(allow_empty=True)
        out.append(Part(Scope(planned.settings.environment or "default", settings), nothing, nothing))
    return Found(out, _untouched(staged.unchanged), not staged.unchanged)


def _beside(scope: Scope, sides: tuple[Files, Files], roots: Sequence[Root]) -> tuple[Files, Files]:
    """An environment's plain manifests of each side, which are outside of what is rendered for it."""
    from bot.render.model import below

    folders = [root.path for root in roots if root.environment == scope.name]

    def part(side: Files) -> Files:
        plain = scope.files(side) if scope.paths else Files(side.label, side.sha, {}, [])
        kept = {p: d for p, d in plain.contents.items() if not any(below(folder, p) for folder in folders)}
        return plain._replace(contents=kept)

    return part(sides[0]), part(sides[1])


def changes_of_config(base: Mapping[str, bytes], head: Mapping[str, bytes]) -> tuple[str, ...]:
    """What to say of a pull request that changes the config: it counts only from the next one on."""
    out = []
    for name in SETTINGS_FILES:
        before, after = base.get(name), head.get(name)
        if before == after:
            continue
        verb = "adds" if before is None else "deletes" if after is None else "changes"
        counts = (
            "there is none on the base side, so none counts here" if before is None else "the base side's counts here"
        )
        out.append(f"this change {verb} {name}: {counts}{_mistake(name, after)}")
    return tuple(out)


def _mistake(name: str, data: bytes | None) -> str:
    try:
        if data is not None and name in CONFIG_FILES:
            from bot.config import parse

            parse(name, data)
        elif data is not None:
            from bot.gate import expectations

            expectations.parse(name, data)
    except UsageError as error:
        return f"; the new one has a mistake, {error}"
    return ""


def _configured(settings: Settings, config: Config) -> Plan:
    """Flags come before the config, which comes before the defaults."""
    settings = settings._replace(
        include=settings.include or config.include,
        exclude=settings.exclude or config.exclude,
        fail_on=settings.fail_on or config.gate.fail_on,
        on_incomplete=settings.on_incomplete or config.gate.on_incomplete,
    )
    return Plan(settings, _scopes(settings, config), config)


def _scopes(settings: Settings, config: Config) -> tuple[Scope, ...]:
    wanted = settings.environment
    if not config.environments:
        return (Scope("default", _assuming(settings, config.assume)),)
    scopes = tuple(_scope(settings, config.file, one) for one in config.environments)
    if wanted is None:
        return scopes
    names = [scope.name for scope in scopes]
    if wanted not in names:
        from bot.located import meant

        raise UsageError(f"--env {wanted}: {config.file} has {', '.join(names)}{meant(wanted, names)}")
    return (scopes[names.index(wanted)],)


def _scope(settings: Settings, file: str, environment: Environment) -> Scope:
    name, at = environment.name, (environment.line, environment.line)
    empty = None
    if not settings.allow_empty:
        reason = f"the environment {name} has no manifests, before or after"
        empty = Unread(file, at, reason, f"environments.{name}.paths")
    own = _assuming(settings, environment.assume)._replace(allow_empty=True)
    return Scope(name, own, environment.paths, empty, environment.render)


def _assuming(settings: Settings, assume: Assume) -> Settings:
    return settings._replace(
        cni=settings.cni or assume.cni,
        pod_cidrs=settings.pod_cidrs if settings.pod_cidrs is not None else assume.pod_cidrs,
        known_complete=settings.known_complete or assume.known_complete,
        kube_apiserver=settings.kube_apiserver or assume.kube_apiserver,
    )
