"""Reads Python sources without running them: their syntax errors, and which distributions they import.

The sources of strangers are parsed in a process of its own (`python imports_python.py FOLDER ENTRY`, which prints one
JSON document), because a parser that runs out of stack takes its process along. So this module imports the standard
library alone.
"""

import ast
import json
import sys
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

DISTRIBUTIONS: Final = {
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "attr": "attrs",
    "azure.functions": "azure-functions",
    "azure.identity": "azure-identity",
    "azure.storage.blob": "azure-storage-blob",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "discord": "discord.py",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "github": "PyGithub",
    "google.auth": "google-auth",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.firestore": "google-cloud-firestore",
    "google.cloud.pubsub": "google-cloud-pubsub",
    "google.cloud.pubsub_v1": "google-cloud-pubsub",
    "google.cloud.secretmanager": "google-cloud-secret-manager",
    "google.cloud.storage": "google-cloud-storage",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "googleapiclient": "google-api-python-client",
    "grpc": "grpcio",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "ldap3": "ldap3",
    "magic": "python-magic",
    "markdown": "Markdown",
    "multipart": "python-multipart",
    "mysql.connector": "mysql-connector-python",
    "nacl": "PyNaCl",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pythonjsonlogger": "python-json-logger",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "socks": "PySocks",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
"""Modules whose distribution has another name. Any other module is taken for a distribution of its own name."""

MAX_ERRORS: Final = 100

_IMPORT_ERRORS: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """A place where Python can't read a file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The syntax errors, `MAX_ERRORS` at most, and the distributions that the entry and what it imports need."""

    errors: list[SyntaxProblem]
    distributions: list[str]


def inspect(folder: Path, entry: str) -> Report:
    """Reads every Python file of `folder`."""
    errors: list[SyntaxProblem] = []
    trees: dict[Path, ast.Module] = {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        problem = _check(path, name, trees)
        if problem is not None:
            errors.append(problem)
    return Report(errors[:MAX_ERRORS], sorted(_needed(folder, entry, trees)))


def _check(path: Path, name: str, trees: dict[Path, ast.Module]) -> SyntaxProblem | None:
    try:
        with tokenize.open(path) as file:  # decoded as Python does, so that columns count characters
            tree = ast.parse(file.read(), name)
        compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        return SyntaxProblem(name, error.lineno or 1, error.offset or 1, error.msg)
    except ValueError as error:
        return SyntaxProblem(name, 1, 1, str(error))
    except (RecursionError, MemoryError):
        return SyntaxProblem(name, 1, 1, "the code is nested too deeply")
    trees[path] = tree
    return None


def _needed(folder: Path, entry: str, trees: dict[Path, ast.Module]) -> set[str]:
    """Follows imports from the entry through local modules, and returns the distributions that are met."""
    roots = list(dict.fromkeys([folder, (folder / entry).parent]))
    waiting, seen, needed = [folder / entry], {folder / entry}, set()
    while waiting:
        path = waiting.pop()
        if path not in trees:
            continue
        imports = imports_of(trees[path], package=path.relative_to(folder).parent.parts)
        for module in imports.required | imports.optional:
            local = [file for root in roots for file in _local_files(root, module)]
            fresh = [file for file in local if file not in seen]
            seen.update(fresh)
            waiting += fresh
            if module in imports.required and not local and not _is_provided(roots, module):
                needed.add(distribution_of(module))
    return needed


def _local_files(root: Path, module: str) -> Iterator[Path]:
    """Yields the files of a dotted name that are among the sources; each package on the way runs too."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for candidate in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if candidate.is_file():
                yield candidate


def _is_provided(roots: list[Path], module: str) -> bool:
    """Tells whether a dotted name starts in the standard library, or with a folder among the sources."""
    top = module.split(".", maxsplit=1)[0]
    return top in sys.stdlib_module_names or any((root / top).is_dir() for root in roots)


def distribution_of(module: str) -> str:
    """Returns the distribution that a dotted module name comes from, by the longest name that is known."""
    parts = module.split(".")
    for depth in range(len(parts), 0, -1):
        found = DISTRIBUTIONS.get(".".join(parts[:depth]))
        if found is not None:
            return found
    if parts[:2] == ["google", "cloud"] and len(parts) > 2:
        return f"google-cloud-{parts[2]}"
    return parts[0]


@dataclass(frozen=True, slots=True)
class Imports:
    """The dotted names that a module imports. It does without the `optional` ones, or they are relative, so local."""

    required: set[str]
    optional: set[str]


def imports_of(tree: ast.Module, *, package: Sequence[str] = ()) -> Imports:
    """Returns what a module of `package` imports, relative names made absolute.

    `from a import b` imports `a.b`, for b may be a module. Optional is an import in a `try` whose handler for
    ImportError goes on. Left out is what only type checkers read, and what is for other versions of Python.
    """
    visitor = _Visitor(package)
    visitor.visit(tree)
    return Imports(visitor.required, visitor.optional)


class _Visitor(ast.NodeVisitor):
    def __init__(self, package: Sequence[str]) -> None:
        self.required: set[str] = set()
        self.optional: set[str] = set()
        self._package = list(package)
        self._in_optional = False

    def _add(self, module: str, *, relative: bool = False) -> None:
        (self.optional if relative or self._in_optional else self.required).add(module)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module.split(".") if node.module else []
        if node.level:
            base = self._package[: max(0, len(self._package) - node.level + 1)] + base
        for alias in node.names:
            module = ".".join(base if alias.name == "*" else [*base, alias.name])
            if module:
                self._add(module, relative=node.level > 0)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in {"import_module", "__import__"} and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
                self._add(first.value)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        holds = _known_test(node.test)
        for statement in [*(node.body if holds is not False else []), *(node.orelse if holds is not True else [])]:
            self.visit(statement)

    def visit_Try(self, node: ast.Try) -> None:
        optional_before = self._in_optional
        self._in_optional = optional_before or any(_goes_on(handler) for handler in node.handlers)
        # The handlers stand in for what is missing, so what they import is needed no more than that.
        for part in [*node.body, *node.handlers]:
            self.visit(part)
        self._in_optional = optional_before
        for part in [*node.orelse, *node.finalbody]:
            self.visit(part)


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Tells whether a handler catches a missing module and does not raise again."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "") for kind in kinds if kind}
    catches = handler.type is None or not _IMPORT_ERRORS.isdisjoint(names)
    return catches and not any(isinstance(statement, ast.Raise) for statement in handler.body)


def _known_test(test: ast.expr) -> bool | None:
    """Evaluates a test for TYPE_CHECKING or the version of Python; None for any other."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _known_test(test.operand)
        return None if inner is None else not inner
    if getattr(test, "id", None) == "TYPE_CHECKING" or getattr(test, "attr", None) == "TYPE_CHECKING":
        return False
    if (
        isinstance(test, ast.Compare)
        and len(test.ops) == 1
        and getattr(test.left, "attr", None) == "version_info"
        and isinstance(test.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE)
    ):
        try:
            bound = tuple(ast.literal_eval(test.comparators[0]))
            smaller = sys.version_info[: len(bound)] < bound
        except (ValueError, TypeError):
            return None
        return smaller if isinstance(test.ops[0], ast.Lt | ast.LtE) else not smaller
    return None


def main(folder: str, entry: str) -> None:
    """Prints the report on `folder` as JSON."""
    warnings.simplefilter("ignore")  # a SyntaxWarning is the user's to see when the function runs
    json.dump(asdict(inspect(Path(folder), entry)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
