"""The packet index: where the tile-parts and packets of a codestream lie, and which of them a window needs.

It also keeps indexes, in memory and on disk. It imports `format`; it builds no codestream and decodes nothing.
"""
