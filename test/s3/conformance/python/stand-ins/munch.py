"""Stands in for the package of this name where it is not installed: a dict whose items are attributes too.

The conformance suite sets and reads attributes, and needs no more of it.
"""


class Munch(dict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name, value):
        self[name] = value
