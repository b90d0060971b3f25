"""The IIIF Image API, 2.1 and 3.0: grammar, geometry and info.json. Pure functions; no HTTP, no pixels.

Imports sizes and rectangles of the public API, and errors.
"""
