"""embodied_nav: follow a sentence through an unseen building and remember it in 3D.

The Python package shares its name with the interfaces that rosidl generates. Extending the path lets
``embodied_nav.msg`` (generated, installed) and ``embodied_nav.memory`` (this source) live side by side.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
