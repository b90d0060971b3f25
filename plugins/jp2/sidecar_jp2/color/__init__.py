"""Colours: what each component means, and the conversion of decoded samples to 8-bit grey or RGB pixels.

It imports `format`, NumPy and Pillow, and knows neither OpenJPEG nor packet indexes.
"""
