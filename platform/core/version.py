"""The version of the platform: the distribution's own, also where it runs from a checkout."""

from typing import Final

VERSION: Final = "0.1.0"
