"""A slide that OpenSlide reads by paths, held to the files that were found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from sidecar.plugin import LocalFile, SourceChanged
from sidecar_openslide.companions import SlideFiles
from sidecar_openslide.library import Library, Slide


class GuardedSlide:
    """An open slide, its files, and their folder.

    OpenSlide opens files again and again while it reads. It is given a path that begins at a descriptor of the folder,
    so that nothing above it can be swapped, and the files are compared with what was found before and after each use.
    """

    def __init__(self, library: Library, file: LocalFile, known: SlideFiles | None = None) -> None:
        """Open a slide, or open it again: `known` are the files that it had. Blocks.

        Raises as SlideFiles.find and Library.open, and SourceChanged.
        """
        self.files = SlideFiles.find(file)
        if known not in (None, self.files):
            raise SourceChanged(f"files beside {file.name!r} have changed")
        with ExitStack() as held:
            self._folder = held.enter_context(closing(file.held()))
            self.slide: Slide = library.open(self._folder.path / file.name)
            held.callback(self.slide.close)
            # Found anew: a companion that was not there might be by now.
            if SlideFiles.find(file) != self.files:
                raise SourceChanged(f"{file.name!r} changed while it was opened")
            self._held = held.pop_all()

    @contextmanager
    def used(self) -> Iterator[Slide]:
        """Read from the slide. Blocks. Raises SourceChanged if one of its files is not what it was, before or after."""
        self._check()
        yield self.slide
        self._check()

    def _check(self) -> None:
        self._folder.check((self.files.main, *self.files.others))

    def close(self) -> None:
        """Close the slide's files, then the folder. Once only."""
        self._held.close()
