"""Chiliad: a thousand small expert language models on one shared base."""

__version__ = "0.1.0"
