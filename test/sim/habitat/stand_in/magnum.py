"""The one class of magnum that habitat/server.py uses."""


class Vector3(tuple):
    """Three numbers."""

    def __new__(cls, x, y, z):
        """As magnum's, single precision is left to whoever stores it."""
        return super().__new__(cls, (float(x), float(y), float(z)))
