"""A YAML document in, the Kubernetes objects and workloads in it out, with what of it could not be taken in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.manifests import kinds, workloads
from bot.manifests.metadata import Malformed, is_name, labels_of, refuse_annotations, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bot.manifests.plain import Path, YamlProblem
    from bot.manifests.workloads import Workload
    from bot.manifests.yaml import Document


class Object:
    """One Kubernetes object, equal to itself alone: the same text gives the identical Object on both sides.

    `namespace` is '' for a cluster-scoped kind and the default where the manifest has none. `pointer` is where it stands in
    its document: () unless it is an item of a List. `key`: kind group, namespace and name, which make two manifests one object.
    """

    __slots__ = ("api_version", "document", "key", "kind", "name", "namespace", "pointer")

    def __init__(
        self, api_version: str, kind: str, namespace: str, name: str, document: Document, pointer: Path
    ) -> None:
        self.api_version = api_version
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.document = document
        self.pointer = pointer
        self.key = (kinds.kind_group(kind, api_version), namespace, name)

    @property
    def value(self) -> Any:
        """The manifest, as Kubernetes reads it; a workload's is read again when it is first asked for."""
        value = self.document.value
        if self.pointer:
            for step in self.pointer:
                value = value[step]
            if not value.get("kind") or not value.get("apiVersion"):
                return {**value, "apiVersion": self.api_version, "kind": self.kind}
        return value

    def __repr__(self) -> str:
        return f"<{self.kind} {self.namespace}/{self.name}>"


class Flaw(NamedTuple):
    """Something of a document that could not be taken in: its lines within the document, and why."""

    lines: tuple[int, int]
    reason: str


class Borrower(NamedTuple):
    """An Argo Rollout that runs the pod template of another workload: (kind, namespace, name)."""

    object: Object
    of: tuple[str, str, str]


class Contents(NamedTuple):
    """Everything in one document; `borrowers` become workloads once the whole side is known.

    `flaws` are missing from the rest, `oddities` are in it. `broken`: why it could not be read, where nothing in it looks like
    Kubernetes; it counts in a file that has Kubernetes objects.
    """

    objects: tuple[Object, ...] = ()
    workloads: tuple[Workload, ...] = ()
    borrowers: tuple[Borrower, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    oddities: tuple[Flaw, ...] = ()
    broken: Flaw | None = None


NOTHING = Contents()


def contents(document: Document, default_namespace: str) -> Contents:
    """The objects of a document; the same call gives the identical value again."""
    for namespace, found in document.contents:
        if namespace == default_namespace:
            return found
    found = _read(document, default_namespace)
    document.contents += ((default_namespace, found),)
    return found


def _read(document: Document, default_namespace: str) -> Contents:
    if kinds.is_skipped(document.text):
        return NOTHING
    value, error = document.take()
    if error is not None:
        document.keep(None, error)
        return NOTHING if kinds.is_beside(document.text) else _unparsed(document, error)
    if type(value) is not dict:
        return NOTHING
    reading = _Reading(document, default_namespace)
    reading.take(value, (), "", "")
    if reading.objects:
        document.keep(value, None)
    return Contents(
        tuple(reading.objects),
        tuple(reading.workloads),
        tuple(reading.borrowers),
        tuple(reading.flaws),
        tuple(reading.oddities),
    )


_WORDS = re.compile(r"\b(?:apiVersion|kind)\b")
_KEYS = re.compile(r"""\b(apiVersion|kind)["']?[ \t]*:""")
_TEMPLATING = re.compile(r"\{\{|\{%|\$\{\w")
_TEMPLATE_AT_MARGIN = re.compile(r"^\{\{", re.MULTILINE)


def looks_like_kubernetes(document: Document) -> bool:
    """Whether the text has the two keys that every object has."""
    return {"apiVersion", "kind"} <= set(_KEYS.findall(document.text))


def _unparsed(document: Document, error: YamlProblem) -> Contents:
    """A flaw, unless neither the text nor what a template would put in its place can be a Kubernetes object."""
    text = document.text
    template = _TEMPLATING.search(text)
    if text and not _WORDS.search(text) and not _TEMPLATE_AT_MARGIN.search(text):
        return Contents(broken=Flaw((error.line, error.line), error.reason))
    if template is not None and not error.reason.startswith("the key"):
        line = text.count("\n", 0, template.start()) + 1
        return Contents(flaws=(Flaw((line, line), "unresolved templating: a template, not a manifest"),))
    return Contents(flaws=(Flaw((error.line, error.line), error.reason),))


class _Reading:
    """What has been found in one document so far."""

    def __init__(self, document: Document, default_namespace: str) -> None:
        self.document = document
        self.default_namespace = default_namespace
        self.objects: list[Object] = []
        self.workloads: list[Workload] = []
        self.borrowers: list[Borrower] = []
        self.flaws: list[Flaw] = []
        self.oddities: list[Flaw] = []
        self.templated = "{{" in document.text or "${" in document.text

    def flaw(self, path: Path, reason: str) -> None:
        self.flaws.append(Flaw(self.document.lines(path), reason))

    def take(self, value: dict[str, Any], pointer: Path, list_version: str, list_kind: str) -> None:
        """One object, or a list of such; what a typed list says holds for an item that does not say it itself."""
        api_version, kind = value.get("apiVersion") or list_version, value.get("kind") or list_kind
        if type(kind) is not str or not kind:
            return
        if type(api_version) is not str or not api_version:
            if kinds.is_familiar(kind) and "metadata" in value:
                self.flaw(pointer, f"{kind}: apiVersion is missing")
            return
        if kind.endswith("List") and ("items" in value or kind == "List"):
            self.take_items(value, kind, api_version, pointer)
            return
        if kind == "Template" and kinds.group_of(api_version) == "template.openshift.io":
            self.flaw(pointer, "an OpenShift Template, whose objects stand only when it is processed")
            return
        try:
            self.take_object(value, api_version, kind, pointer)
        except Malformed as malformed:
            named = value.get("metadata")
            name = named.get("name") if isinstance(named, dict) else None
            title = f"{kind} {name}" if isinstance(name, str) and name else kind
            self.flaw(pointer + malformed.path, f"{title}: {malformed.reason}")

    def take_items(self, value: dict[str, Any], kind: str, api_version: str, pointer: Path) -> None:
        """The items of a List; in a typed one (PodList), an item without kind or apiVersion has the list's."""
        items = value.get("items")
        if items is None:
            return
        if type(items) is not list:
            self.flaw((*pointer, "items"), f"{kind}: items must be a list of objects")
            return
        for at, item in enumerate(items):
            here = (*pointer, "items", at)
            if type(item) is not dict:
                self.flaw(here, f"{kind}: an item that is no object")
                continue
            if kind != "List":
                self.take(item, here, api_version, kind[:-4])
            elif isinstance(item.get("kind"), str):
                self.take(item, here, "", "")
            else:
                self.flaw(here, "List: an item without kind")

    def take_object(self, value: dict[str, Any], api_version: str, kind: str, pointer: Path) -> None:
        """Raises Malformed."""
        traits = kinds.traits(kind, api_version)
        template = traits.template
        if template is None and not traits.read:
            template = _template_of_unknown(value)
        matters = template is not None or traits.read
        metadata = value.get("metadata")
        if type(metadata) is not dict:
            if matters:
                raise Malformed((), "metadata is missing")
            if traits.nameless:
                self.objects.append(Object(api_version, kind, "", "", self.document, pointer))
            return
        if self.templated and matters:
            self.refuse_templating(value, kind, template)
        name = metadata.get("name")
        if name is None or name == "":
            name = metadata.get("generateName")
        if kind.endswith("Policy") and type(name) is str and name and not is_name(name):
            # Its meaning is plain, and no endpoint is called by it.
            lines = self.document.lines((*pointer, "metadata", "name"))
            self.oddities.append(Flaw(lines, f"{kind} {shown(name)}: the API server refuses such a name"))
        elif not is_name(name):
            if matters:
                raise Malformed(
                    ("metadata", "name") if "name" in metadata else ("metadata",),
                    "metadata.name is missing" if name in (None, "") else "metadata.name is no name",
                )
            return
        if traits.cluster_scoped:
            namespace = ""
        else:
            found = metadata.get("namespace")
            if found is None or found == "":
                found = self.default_namespace
            elif not is_name(found):
                if matters:
                    raise Malformed(("metadata", "namespace"), "metadata.namespace is no name")
                return
            namespace = found
        if matters:
            if "labels" in metadata:
                metadata["labels"] = labels_of(metadata["labels"], ("metadata", "labels"))
            if "annotations" in metadata:
                refuse_annotations(metadata["annotations"], ("metadata", "annotations"))
        obj = Object(api_version, kind, namespace, name, self.document, pointer)
        if template is None:
            self.objects.append(obj)
            return
        borrowed = workloads.borrowed_template(value, kind, namespace)
        if borrowed is not None:
            self.borrowers.append(Borrower(obj, borrowed))
        else:
            self.workloads.append(workloads.workload(obj, value, template))

    def refuse_templating(self, value: dict[str, Any], kind: str, template: tuple[str, ...] | None) -> None:
        """Raises Malformed where something that is still a template can have a part in reachability."""
        if template is None:
            parts = _strings(value, (), kinds.OUTSIDE_FIELDS if kind in kinds.EXPOSING else frozenset())
        else:
            parts = _strings(workloads.parts_that_matter(value, template), (), frozenset())
        for path, text in parts:
            if _UNRESOLVED.search(text):
                raise Malformed(path, f"unresolved templating in {'.'.join(map(str, path))}")


_UNRESOLVED = re.compile(r"\{\{|\$\{\w+")


def _strings(value: Any, path: Path, outside: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """Every key and string of a value, but for annotations, status, and the fields `outside`."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if (
                key in outside
                or (key == "annotations" and path[-1:] == ("metadata",))
                or (key == "status" and not path)
            ):
                continue
            yield (*path, key), key
            yield from _strings(item, (*path, key), outside)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _strings(item, (*path, at), outside)


def _template_of_unknown(value: dict[str, Any]) -> tuple[str, ...] | None:
    """Where an object of a kind that nobody knows has its pod template: `spec.template` with containers."""
    at: Any = value
    for step in ("spec", "template", "spec"):
        at = at.get(step) if type(at) is dict else None
    if type(at) is dict and type(at.get("containers")) is list:
        return ("spec", "template")
    return None
