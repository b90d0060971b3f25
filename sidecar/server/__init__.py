"""Processes: gunicorn's configuration and worker class, a worker's lifecycle, and what is known after a crash.

Imports everything but the command line.
"""
