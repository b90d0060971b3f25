"""The syntax of JPEG 2000 files: boxes, markers, headers and the reference grid (ITU-T T.800 Annexes A, B and I).

It parses and describes; it decodes nothing and keeps no cache beyond one opening. It imports nothing else of the
plugin, and every other folder may import it.
"""
