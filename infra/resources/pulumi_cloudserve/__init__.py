"""CloudServe as Pulumi resources."""
