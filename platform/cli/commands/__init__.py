"""One module a verb: each has an `app`, a Typer application of one command, or of a family of them."""
