"""How the program's HTML pages are filled in."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment(package: str) -> Environment:
    """Returns what fills in the pages of a package; text from users is escaped, and a value that is missing an error.

    Args:
        package: name of the package that the pages lie in.
    """
    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
