"""The Pulumi program: hands over to the program of the stack's target."""

from importlib import import_module

from settings import Settings

settings = Settings.of_stack()
import_module(f"stacks.{settings.target}").deploy(settings)
