"""Where packet indexes are kept between processes: bytes by name, on the local disk and with the rest of the fleet.

It imports no other folder of the plugin.
"""
