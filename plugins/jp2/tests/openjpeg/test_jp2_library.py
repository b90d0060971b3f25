"""The choice of OpenJPEG, each tried in a fresh process, because glymur binds only once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sidecar_jp2.openjpeg import library

SHOW = """
import sys, warnings
warnings.simplefilter("error")
from sidecar_jp2.openjpeg import library
{before}
try:
    module = library.bind({chosen!r})
    print(".".join(map(str, library.version(module))), module.OPENJP2._name)
except Exception as error:
    print(type(error).__name__, error)
"""


def bound(chosen: str = "", before: str = "") -> str:
    """Bind in a fresh process, where warnings are errors, and return its output."""
    code = SHOW.format(chosen=chosen, before=before)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return run.stdout.strip()


def test_the_newest_is_bound() -> None:
    """The newest library that loads is bound."""
    versions = [found for path in library._candidates() if (found := library._probe(path))]
    assert bound().split()[0] == ".".join(map(str, max(versions)))


def test_a_chosen_library_is_bound() -> None:
    """A path in the settings is used even if it is older than other libraries."""
    chosen = min((found, path) for path in library._candidates() if (found := library._probe(path)))[1]
    assert bound(chosen).split()[1] == chosen


@pytest.mark.parametrize("chosen", ["", "/nowhere/libopenjp2.so"])
def test_without_a_library(chosen: str) -> None:
    """If no library loads, StartError names the package to install, and no warning is shown."""
    text = bound(chosen, "" if chosen else "library._candidates = lambda: iter(['/nowhere/libopenjp2.so'])")
    assert text.startswith("StartError")
    assert "libopenjp2-7" in text
    assert "pip install pillow" in text


def test_too_old_a_library() -> None:
    """A library version without strict mode raises StartError."""
    text = bound(before="library.OLDEST = (99,)")
    assert text.startswith("StartError")


def test_the_environment_is_left_alone() -> None:
    """Binding leaves the environment unchanged, whether XDG_CONFIG_HOME is set or not."""
    for home in (None, "/somewhere"):
        environment = {key: value for key, value in os.environ.items() if key != "XDG_CONFIG_HOME"}
        environment |= {"XDG_CONFIG_HOME": home} if home else {}
        code = (
            "import os\nfrom sidecar_jp2.openjpeg.library import bind\nbind()\nprint(os.environ.get('XDG_CONFIG_HOME'))"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert run.stdout.strip() == str(home)


def test_a_glymur_imported_before_keeps_its_library(tmp_path: Path) -> None:
    """If glymur was imported before, its own glymurrc decides."""
    path = min((found, path) for path in library._candidates() if (found := library._probe(path)))[1]
    (tmp_path / "glymur").mkdir()
    (tmp_path / "glymur" / "glymurrc").write_text(f"[library]\nopenjp2: {path}\n", encoding="utf-8")
    before = f"import os; os.environ['XDG_CONFIG_HOME'] = {str(tmp_path)!r}; import glymur"
    assert bound(before=before).split()[1] == path
