"""The generated tables of README, docs and the plugins' READMEs. Run as a script, this rewrites them all."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr

from sidecar.config import Settings, settable
from sidecar.errors import HandOver, Refusal, SidecarError, StartError
from sidecar.http.access_line import FIELDS
from sidecar.http.trace_report import ATTRIBUTES
from sidecar.observability import counted, metrics
from sidecar.observability.work import STAGES
from sidecar.plugin import RemoteSettings, Section
from sidecar.registry import Plugins
from sidecar.remote import lookup, objects
from sidecar.server import application
from tests.benchmarks.encoding import pages, results
from tests.unit.docs import cantaloupe_sections

PARTS: Final = (application, lookup, objects, Plugins())
"""Imported, all that is counted has been declared."""
ROOT: Final = Path(__file__).parents[3]
PAGES: Final = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("plugins/*/README.md"),
    *ROOT.glob("examples/*/README.md"),
]
ABSTRACT: Final = (SidecarError, HandOver, Refusal, StartError)
"""Errors that no request ends with: bases, and what happens at start only."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def paragraph(docstring: str | None) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((docstring or "").partition("\n\n")[0].split())


def sections() -> Sequence[type[Section]]:
    """Return the kinds of settings: the core's, then the plugins' by name."""
    return [Settings, *sorted(Plugins().sections(), key=lambda kind: kind.table)]


def all_settings() -> str:
    """Return every setting: the core's, those that sources over a network share, then each plugin's own."""
    kinds = sections()
    remote = [kind for kind in kinds if issubclass(kind, RemoteSettings)]
    groups: dict[str, str] = {"The core": settings_table([Settings], settable(Settings))}
    if remote:
        shared = [name for name in remote[0].model_fields if name in RemoteSettings.model_fields]
        groups[f"Sources over a network: {tables(remote)}"] = settings_table(remote, shared)
    for kind in kinds[1:]:
        own = [name for name in kind.model_fields if name not in RemoteSettings.model_fields or kind not in remote]
        groups[tables([kind])] = settings_table([kind], own)
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in groups.items())


def tables(kinds: Iterable[type[Section]]) -> str:
    return ", ".join(f"`[{kind.table}]`" for kind in kinds)


def settings_table(kinds: Sequence[type[Section]], names: Iterable[str]) -> str:
    rows = []
    for name in names:
        field = kinds[0].model_fields[name]
        variables = " ".join(f"`{kind.variable(name)}`" for kind in kinds)
        rows.append([variables, written(field.default), kinds[0].meaning(name).replace("|", "\\|")])
    return table(["variable", "default", "meaning"], rows)


def written(default: object) -> str:
    """Return a default as it is written in a variable; of large round numbers of bytes, in KiB or MiB too."""
    if default is None or isinstance(default, SecretStr) or default in ("", ()):
        return ""
    if isinstance(default, tuple):
        return f"`{', '.join(map(str, default))}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`{binary(default) if isinstance(default, int) else ''}"


def binary(number: int) -> str:
    for size, unit in ((2**20, "MiB"), (2**10, "KiB")):
        if number >= 4 * size and not number % size:
            return f" ({number // size} {unit})"
    return ""


def renamed() -> str:
    """Return the former names of settings."""
    rows = [
        [f"`{kind.variable(old)}`", f"`{kind.variable(new)}`"]
        for kind in sections()
        for old, new in kind.renamed.items()
    ]
    return table(["former name", "name"], rows)


def metrics_table() -> str:
    """Return every metric that is exposed."""
    rows: list[Sequence[str]] = []
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            name = f"{metric._name}_total" if isinstance(metric, Counter) else metric._name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append([f"`{name}`", metric._type or "", labels, metric._documentation])
    return table(["metric", "type", "labels", "meaning"], rows)


def labels() -> str:
    """Return every label of metrics, and what bounds its values."""
    return table(["label", "values"], [[f"`{name}`", values] for name, values in metrics.LABELS.items()])


def fields() -> str:
    """Return every field of a line of the log about a request."""
    return table(["field", "meaning"], [[f"`{name}`", meaning] for name, meaning in FIELDS.items()])


def caches() -> str:
    """Return every cache whose hits are counted."""
    return table(["cache", "what it keeps"], [[f"`{name}`", what] for name, what in sorted(counted.CACHES.items())])


def tallies() -> str:
    """Return everything that plugins count of their work."""
    return table(
        ["tally", "what is counted"], [[f"`{name}`", what] for name, what in sorted(counted.TALLY_NAMES.items())]
    )


def attributes() -> str:
    """Return every attribute of the span of a request."""
    return table(["attribute", "meaning"], [[f"`{name}`", meaning] for name, meaning in ATTRIBUTES.items()])


def stages() -> str:
    """Return every stage: a span, a label of metrics and a field of the log."""
    return table(["stage", "meaning"], [[f"`{stage}`", meaning] for stage, meaning in STAGES.items()])


def reasons() -> str:
    """Return every word that metrics and log have for a reason."""
    kinds = [kind for kind in descent(SidecarError) if kind not in ABSTRACT]
    rows = [
        [
            f"`{kind.reason}`",
            "Cantaloupe" if issubclass(kind, HandOver) else "the sidecar",
            str(kind.status),
            paragraph(kind.__doc__),
        ]
        for kind in kinds
    ]
    return table(["reason", "answered by", "status", "meaning"], rows)


def descent(kind: type[SidecarError]) -> Iterator[type[SidecarError]]:
    """Return a class of `sidecar.errors` and those below it."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == SidecarError.__module__:
            yield from descent(below)


def modules() -> str:
    """Return each folder of the core with its modules, described by the first lines of their docstrings."""
    folders: dict[Path, list[Path]] = {}
    for file in sorted((ROOT / "sidecar").rglob("*.py")):
        folders.setdefault(file.parent, []).append(file)
    return "\n\n".join(folder_text(folder, files) for folder, files in folders.items())


def folder_text(folder: Path, files: Iterable[Path]) -> str:
    rows = [
        [f"[{file.name}](../{file.relative_to(ROOT).as_posix()})", first_lines(file)]
        for file in files
        if file.name != "__init__.py"
    ]
    heading = f"### {folder.relative_to(ROOT).as_posix()}\n\n{first_lines(folder / '__init__.py')}"
    return f"{heading}\n\n{table(['module', ''], rows)}" if rows else heading


def first_lines(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return paragraph(docstring).replace("|", "\\|")


def own_settings(page: Path) -> str:
    """Return the settings of the plugin that a README belongs to."""
    package = {path.parent.name for path in page.parent.glob("sidecar_*/__init__.py")}
    kinds = [kind for kind in sections() if kind.__module__.partition(".")[0] in package]
    return "\n\n".join(settings_table([kind], own_first(kind)) for kind in kinds)


def own_first(kind: type[Section]) -> Sequence[str]:
    return sorted(kind.model_fields, key=lambda name: name in RemoteSettings.model_fields)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "attributes": attributes,
    "caches": caches,
    "cantaloupe-sections": lambda: table(
        ("section", "keys", "what becomes of them"), cantaloupe_sections.rows(sections())
    ),
    "encoding-commands": lambda: table(*pages.commands()),
    "encoding-far": lambda: table(*pages.far(results.kept())),
    "encoding-machine": lambda: pages.machine(results.kept()),
    "encoding-work": lambda: table(*pages.work(results.kept())),
    "fields": fields,
    "labels": labels,
    "metrics": metrics_table,
    "modules": modules,
    "reasons": reasons,
    "renamed": renamed,
    "settings": all_settings,
    "stages": stages,
    "tallies": tallies,
}


def generated(page: Path, name: str) -> str:
    return own_settings(page) if page.name == "README.md" and name == "settings" else TABLES[name]()


def regenerated(page: Path) -> str:
    """Return a page with all its tables made anew."""
    text = page.read_text(encoding="utf-8")
    for name in TABLES:
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        if start in text:
            before, _, rest = text.partition(start)
            text = f"{before}{start}{generated(page, name)}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for each in PAGES:
        if (text := regenerated(each)) != each.read_text(encoding="utf-8"):
            each.write_text(text, encoding="utf-8")
