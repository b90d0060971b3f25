"""README.md says what the code says. `python tests/unit/test_readme.py` writes its tables anew."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from sidecar_filesystem import FilesystemSettings

from sidecar import hookspecs, telemetry
from sidecar.config import Config, Section, Settings
from sidecar.errors import Elsewhere, Refusal, SidecarError
from sidecar.native import NativePool
from sidecar.registry import Plugins
from sidecar.resources import ClientGone
from sidecar.testing.sources import SourceContract, Store

README: Final = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def paragraph(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((docstring or "").partition("\n\n")[0].split())


def settings() -> str:
    """Every setting of the core and the plugins; one row for what two plugins have in common."""
    variables: dict[tuple[type, str], list[str]] = {}
    rows: dict[tuple[type, str], Sequence[str]] = {}
    for kind in sections():
        for name, field in kind.model_fields.items():
            key = owner(kind, name), name
            variables.setdefault(key, []).append(f"`{kind.variable(name)}`")
            rows[key] = written(field.default), paragraph(field.description)
    return table(["variable", "default", ""], [[" ".join(variables[key]), *row] for key, row in rows.items()])


def sections() -> Sequence[type[Section]]:
    """The kinds of settings there are: the core's, then the plugins' by name."""
    return [Settings, *sorted(Plugins().sections(), key=lambda kind: kind.table)]


def owner(kind: type[Section], name: str) -> type:
    """The class that declares a field."""
    return next(base for base in kind.__mro__ if name in inspect.get_annotations(base))


def written(default: object) -> str:
    """A default as it is written in a variable."""
    if isinstance(default, tuple):
        text = ", ".join(map(str, default))
    elif isinstance(default, bool):
        text = str(default).lower()
    else:
        text = "" if default is None or isinstance(default, SecretStr) else str(default)
    return f"`{text}`" if text else ""


def metrics() -> str:
    """Every metric that is exposed."""
    rows: list[Sequence[str]] = []
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            name = f"{metric._name}_total" if isinstance(metric, Counter) else metric._name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append([f"`{name}`", metric._type or "", labels, metric._documentation])
    return table(["metric", "kind", "labels", ""], rows)


def reasons() -> str:
    """Every word that `sidecar_handovers_total` and the log may give for a reason."""
    rows = []
    kinds: list[type[SidecarError]] = [*descent(SidecarError), ClientGone]
    for kind in kinds:
        says = str(kind.status) if issubclass(kind, Elsewhere | Refusal) else ""
        who = "Cantaloupe" if issubclass(kind, Elsewhere) else "the sidecar" if says else ""
        rows.append([f"`{kind.reason}`", who, says, paragraph(kind.__doc__)])
    return table(["reason", "answered by", "the sidecar's own status", ""], rows)


def descent(kind: type[SidecarError]) -> Iterator[type[SidecarError]]:
    """A class of `sidecar.errors` and those below it."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == SidecarError.__module__:
            yield from descent(below)


def hooks() -> str:
    """Every hook with its arguments."""
    functions = inspect.getmembers(hookspecs, lambda member: hasattr(member, "sidecar_spec"))
    signatures = [f"`{name}{str(inspect.signature(hook)).replace(chr(39), '')}`" for name, hook in functions]
    return table(
        ["hook", ""],
        [[signature, paragraph(hook.__doc__)] for signature, (_, hook) in zip(signatures, functions, strict=True)],
    )


TABLES: Final = {"settings": settings, "metrics": metrics, "reasons": reasons, "hooks": hooks}


def marked(name: str) -> re.Pattern[str]:
    """Where a table stands in the README."""
    return re.compile(f"(?<=<!-- {name} -->\n).*?(?=\n?<!-- /{name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_table(name: str) -> None:
    """A table of the README is what the code says: every setting, metric, reason and hook, and none that is gone."""
    found = marked(name).findall(TEXT)
    assert found == [TABLES[name]()], "write the tables anew: python tests/unit/test_readme.py"


def test_words_are_there() -> None:
    """The tables hold what they are for: a setting of the core and of a plugin, a metric, a reason, a hook."""
    for word in (
        "SIDECAR_MAX_PIXELS",
        "SIDECAR_HTTP_TIMEOUT",
        "SIDECAR_S3_TIMEOUT",
        "sidecar_handovers_total",
        "source-changed",
        "register_sources(config: Config, native: Native) -> Iterable[Source]",
    ):
        assert word in "".join(make() for make in TABLES.values())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http|#)([^)#]+)", TEXT))))
def test_links_lead_somewhere(path: str) -> None:
    """A relative link of the README leads to a file or folder of this repository."""
    assert (README.parent / path).exists()


def test_variables_exist() -> None:
    """Every variable that the README speaks of anywhere is one."""
    known = {kind.variable(name) for kind in sections() for name in kind.model_fields}
    spoken = set(re.findall(r"SIDECAR_[A-Z0-9_]*[A-Z0-9]", TEXT))
    assert spoken - known == {"SIDECAR_CONFIG", "SIDECAR_CANTALOUPE_CONFIG"}


class TestExample(SourceContract):
    """The README's example of a plugin, under the contract of every source."""

    # A name that begins with two dots has no shelf.
    identifiers = tuple(name for name in SourceContract.identifiers if not name.startswith(".."))

    @pytest.fixture
    def store(self, tmp_path: Path, native: NativePool) -> Store:
        """The plugin as the README has it, registered as plugins are."""
        root = tmp_path / "images"
        root.mkdir()
        (tmp_path / "secret.jp2").write_bytes(b"secret")
        file = tmp_path / "my_shelves.py"
        file.write_text(example(), encoding="utf-8")
        config = Config.of(FilesystemSettings(root=str(root)))
        (source,) = Plugins([module(file)], installed=False).load(config, native).sources

        def put(identifier: str, content: bytes) -> None:
            path = root / identifier
            shelf = path.parent / path.name[:2]
            shelf.mkdir(parents=True, exist_ok=True)
            (shelf / "new").write_bytes(content)
            (shelf / "new").replace(shelf / path.name)

        return Store(source, put, outside=("../secret.jp2", str(tmp_path / "secret.jp2")))

    def test_where_files_lie(self, store: Store, tmp_path: Path) -> None:
        """The file that the README names is what its identifier leads to."""
        (tmp_path / "images" / "sc").mkdir()
        (tmp_path / "images" / "sc" / "scan42.jp2").write_bytes(b"scan")
        blob = store.source.find("scan42.jp2")
        assert blob is not None
        assert blob.size == 4


def module(file: Path) -> ModuleType:
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def example() -> str:
    """The one plugin in Python that the README shows."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    return str(code)


if __name__ == "__main__":
    for title, make in TABLES.items():
        place = marked(title).search(TEXT)
        assert place is not None, f"README.md has no place for {title}"
        TEXT = TEXT[: place.start()] + make() + TEXT[place.end() :]
    README.write_text(TEXT, encoding="utf-8")
