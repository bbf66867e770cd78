"""The Python runtime: a zygote that forks workers, and the worker that loads a function and serves its calls.

Standard library only, because it shares its process with user code; of the platform it knows the wire format alone.
"""
