"""Moves a platform's rows and objects between any two stores and object stores, through one file (docs/export.md)."""
