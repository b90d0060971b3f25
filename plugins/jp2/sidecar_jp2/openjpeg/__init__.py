"""OpenJPEG: finding and binding the library, feeding it, decoding, and estimating the memory that decoding takes.

This is the only folder that calls native code. It imports `format`, and nothing else of the plugin.
"""
