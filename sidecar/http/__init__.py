"""HTTP around the image service: routes, headers, conditional requests, errors, and the way to Cantaloupe.

The only room that knows Falcon. Imports render and everything below it.
"""
