"""Options from a TOML file: `option = value` by their long names. The command line overrides it; nothing else stands in it."""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Final, get_args, get_origin

import typer

from superserve_cli.errors import BadFile, BadOption, Unknown

HINT: Final = 'a line is `option = value`, as in `policy = "slackfit"`'
GIVEN: Final = ("COMMANDLINE", "ENVIRONMENT")
NEVER: Final = ("config", "help", "check")
"""What no file can say, since it is about the file or ends the command."""
KINDS: Final[dict[Any, tuple[Any, str]]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "text in quotation marks"),
    Path: (str, "text in quotation marks"),
}
READ: Final = "superserve_cli.commands.config"


def option(*naming_files: str) -> Any:
    """The option --config; what stands for the options `naming_files` may name a file that lies beside the configuration."""

    def take(context: typer.Context, path: Path | None) -> Path | None:
        if path is not None:
            context.meta[READ] = lambda: read(path, context, naming_files)
            context.default_map = context.meta[READ]()
        return path

    help = "A TOML file of options by their long names; the command line overrides it."
    return typer.Option("--config", help=help, is_eager=True, callback=take, show_default=False)


def again(context: typer.Context) -> dict[str, Any]:
    """The values of all options, were the command given anew: its file is read again, what stood on the command line stays.

    Raises what is wrong with the file.
    """
    reread: Callable[[], dict[str, Any]] = context.meta.get(READ, dict)
    given = {name: value for name, value in context.params.items() if _source(context, name) in GIVEN}
    try:
        fresh = context.command.make_context(context.info_name, [], parent=context.parent, default_map=reread())
    except typer.BadParameter as error:
        raise BadOption(error.format_message(), hint=HINT) from error
    return {**fresh.params, **given}


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return "" if source is None else source.name


def read(path: Path, context: typer.Context, naming_files: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values that a file gives to the parameters of a command; raises BadFile, BadOption or Unknown.

    No message repeats a value, for it may be a secret.
    """
    known = _slots(context)
    values = {}
    for key, value in _said(path).items():
        if key not in known:
            raise Unknown(f"option in {path} named", key, known)
        slot = known[key]
        values[slot.name] = slot.checked(value, f"{key} in {path}", path.parent, key in naming_files)
    return values


def _said(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}", hint="name a TOML file of options") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not text", hint="name a TOML file of options") from error
    except tomllib.TOMLDecodeError as error:
        raise BadFile(f"{path} is not TOML: {error}", hint=HINT) from error


@dataclass(frozen=True)
class _Slot:
    """A parameter of a command: its name, what it takes, and whether several of that."""

    name: str
    kind: Any
    several: bool

    def checked(self, value: object, where: str, folder: Path, names_file: bool) -> Any:
        """A value of the file, as the command line would have had it."""
        values = value if self.several and isinstance(value, list) else [value]
        taken = [self._one(one, where, folder, names_file) for one in values]
        return taken if self.several else taken[0]

    def _one(self, value: object, where: str, folder: Path, names_file: bool) -> Any:
        kind, called = KINDS[self.kind]
        if not isinstance(value, kind) or (isinstance(value, bool) and self.kind is not bool):
            raise BadOption(f"{where} must be {called}{', or a list of such' if self.several else ''}", hint=HINT)
        if self.kind is Path:
            return str(folder / str(value))
        return _beside(str(value), folder) if names_file else value


def _slots(context: typer.Context) -> dict[str, _Slot]:
    """A command's parameters by their long names, with the types that its function declares."""
    assert context.command.callback is not None
    declared = inspect.signature(inspect.unwrap(context.command.callback)).parameters
    slots = {}
    for parameter in context.command.params:
        name = str(parameter.name)
        long = next((option for option in parameter.opts if option.startswith("--")), name).removeprefix("--")
        if name in declared and long not in NEVER:
            kind = _plain(get_args(declared[name].annotation)[0])
            several = get_origin(kind) is list
            slots[long] = _Slot(name, get_args(kind)[0] if several else kind, several)
    return slots


def _plain(annotation: Any) -> Any:
    """A type, without the None that an option which is not given has."""
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return annotation if get_origin(annotation) is list or not kinds else kinds[0]


def _beside(text: str, folder: Path) -> str:
    """A file beside the configuration, perhaps with a name in it (`FILE.py:NAME`); what is none stays as it is."""
    file, suffix, name = text.partition(".py:")
    path = folder / (file + suffix.removesuffix(":"))
    return f"{path}{suffix[-1:]}{name}" if file and path.exists() else text
