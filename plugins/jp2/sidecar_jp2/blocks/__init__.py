"""Packet headers: what they say of the code blocks of a precinct, read and written anew (ITU-T T.800 B.9, B.10).

It imports `format`. It decodes no code block, and knows nothing of files and windows.
"""
