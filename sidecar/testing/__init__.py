"""Shipped for authors of plugins: contract suites to subclass (`contracts`), fakes, and what the suites measure with.

Needs the extra `testing` of the distribution.
"""
