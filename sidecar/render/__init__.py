"""From a parsed request to the bytes of the response: find, plan, render. Knows no HTTP.

Imports limits, iiif, the registry, the public API and observability.
"""
