"""Configs for a user's own data, what ``mmwsol new`` writes: the folder, the network, and the text."""

from mmwsol.new_config.folder import look_at
from mmwsol.new_config.methods import METHODS
from mmwsol.new_config.networks import NAMED, Network, find_network
from mmwsol.new_config.parts import Found, Part
from mmwsol.new_config.text import describe, write_config

__all__ = ["METHODS", "NAMED", "Found", "Network", "Part", "describe", "find_network", "look_at", "write_config"]
