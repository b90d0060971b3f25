"""Codestream extraction: a small codestream that decodes to the same samples in one window.

It imports `index` for what to take and `format` for the syntax to write; it knows neither OpenJPEG nor colours.
"""
