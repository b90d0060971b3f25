"""Bits that nobody sees: which bit planes of which subbands the JPEG hides, measured once for each image and level.

It imports `format`. What it decides is done by `extract`.
"""
