"""Who may see an image, how much memory and how many threads a response may take, and for how long.

Imports the public API, errors, settings and observability; knows neither images nor HTTP.
"""
