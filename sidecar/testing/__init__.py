"""Shipped for authors of plugins: contract suites to subclass, and fakes."""
