"""One module a verb: each has an `app`, made by `new_app`, of one command or of a family of them."""

import typer


def new_app(*, description: str | None = None, example: str | None = None) -> typer.Typer:
    """Returns an empty application. A family of commands has a description and an example of its own."""
    family = description is not None
    return typer.Typer(
        help=description,
        epilog=f"Example: {example}" if example else None,
        no_args_is_help=family,
        add_completion=False,
        rich_markup_mode="markdown",
    )
