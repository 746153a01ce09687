"""What mkdocs writes into the reference when it builds the manual: the commands, and the keys of a search-space file.

A page has a marker where they go: `<!-- commands -->` or `<!-- keys -->`.
"""

import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import griffe
import typer

from sweeps.cli.app import app
from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.space.file import StudyTable
from sweeps.space.schema import json_schema
from sweeps.space.space import Budget
from sweeps.verdict import Rules

# Whose docstring says what the keys of a table are.
DESCRIBED: dict[str, type] = {
    "study": StudyTable,
    "budget": Budget,
    "data": DataConfig,
    "model": ModelConfig,
    "verdict": Rules,
    "space": Config,
}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
WORDS: dict[Any, str] = {int: "N", float: "X"}


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page's text with what its markers stand for; called by mkdocs."""
    for marker, text in (("<!-- commands -->", commands), ("<!-- keys -->", keys)):
        if marker in markdown:
            markdown = markdown.replace(marker, text())
    return markdown


def commands() -> str:
    """Every command with its arguments and options."""
    return "\n".join(_commands("sweeps", typer.main.get_command(app)))


def _commands(name: str, command: Any) -> Iterator[str]:
    if inner := getattr(command, "commands", {}):
        for each in sorted(inner):
            yield from _commands(f"{name} {each}", inner[each])
        return
    hints = typing.get_type_hints(command.callback)
    arguments = [each for each in command.params if isinstance(each, typer.core.TyperArgument)]
    options = [each for each in command.params if each not in arguments]
    usage = " ".join([name, "[OPTIONS]", *(_argument(each) for each in arguments)])
    yield f"## {name}\n\n```text\n{usage}\n```\n\n{typing.cast(str, command.help).strip()}\n"
    if command.params:
        yield "| | | default |\n|---|---|---|"
    for each in arguments:
        yield _row(f"`{_argument(each)}`", each.help, "" if each.required else "—")
    for each in options:
        value = _value(each, hints[each.name])
        typed = ", ".join(f"`{option}{value}`" for option in [*each.opts, *each.secondary_opts])
        yield _row(typed, each.help, _default(each))
    yield ""


def _argument(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    return word if argument.required else f"[{word.strip('[]')}]"


def _value(option: Any, hint: object) -> str:
    """What follows an option, with the space before it."""
    if option.is_flag:
        return ""
    if option.metavar:
        return f" {option.metavar}"
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if typing.get_origin(kinds[0]) is Literal:
        return " " + "|".join(typing.get_args(kinds[0]))
    return f" {WORDS.get(kinds[0], 'TEXT')}"


def _default(option: Any) -> str:
    if option.required:
        return "must be given"
    if option.default in (None, False) or not option.show_default:
        return ""
    return f"`{option.default if option.show_default is True else option.show_default}`"


def keys() -> str:
    """Every key of a search-space file, table by table, from the JSON schema and from docstrings."""
    schema = json_schema()
    return "\n".join(line for name in schema["properties"] for line in _table(name, schema["properties"][name]))


def _table(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"## [{name}]\n\n{_first_sentence(name, table)}\n"
    if name == "full":
        return
    described = descriptions(DESCRIBED[name]) if name in DESCRIBED else {}
    values = "values" if name == "space" else "value"
    yield f"| key | {values} | default | |\n|---|---|---|---|"
    for key, each in table["properties"].items():
        if name == "space" and key == "my":
            yield _row("`my.NAME`", "number, text, true or false", "", each["description"])
        elif name == "space":
            for inner, found in each["properties"].items() if key == "model" else [(key, each)]:
                full = f"model.{inner}" if key == "model" else inner
                text = descriptions(ModelConfig).get(inner, "") if key == "model" else described.get(inner, "")
                yield _row(f"`{full}`", _kind(found["anyOf"][0]), _usual(full), text)
        else:
            must = "must be given" if key in table.get("required", ()) else _written(each.get("default"))
            yield _row(f"`{key}`", _kind(each), must, described.get(key, ""))
    yield ""


def _first_sentence(name: str, table: Mapping[str, Any]) -> str:
    if name == "space":
        return (
            "What varies, each key as a value, a list of choices, a range or a list of cases: see "
            "[Search spaces](../search-space.md). What is not named has its default in every trial."
        )
    text = re.sub(r"(; )?see `[^`]+`(; )?", "", table["description"].partition("\n")[0]).removeprefix(f"[{name}]: ")
    return text[:1].upper() + text[1:]


def descriptions(described: type) -> dict[str, str]:
    """What a class says of its attributes, by name; two that share a line share the text."""
    docstring = griffe.Docstring(_together(described.__doc__ or ""), lineno=1)
    found: dict[str, str] = {}
    for section in docstring.parse("google"):
        if section.kind is griffe.DocstringSectionKind.attributes:
            for each in section.value:
                found |= {name.strip(): " ".join(each.description.split()) for name in each.name.split(",")}
    return found


class SharedLines(griffe.Extension):
    """Names that share a line of a docstring, as in `low, high: bounds`, are one name to griffe's parser."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called by griffe for each object that it has read."""
        if obj.docstring:
            obj.docstring.value = _together(obj.docstring.value)


def _together(docstring: str) -> str:
    return re.sub(r"^ +\w+(?:, \w+)+(?=: )", lambda names: names[0].replace(", ", ","), docstring, flags=re.MULTILINE)


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema's values in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"] if each != {"type": "null"}))
    if "enum" in schema:
        return ", ".join(f"`{_plain(each)}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{_plain(schema['const'])}`"
    if "pattern" in schema and schema["pattern"].endswith(r":[A-Za-z_]\w*$"):
        return "`package.module:function`"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
    limits = [f"{word} {schema[key]:.10g}" for key, word in LIMITS.items() if abs(schema.get(key, 2**31)) < 2**31]
    return " ".join([words.get(schema.get("type", ""), "text"), " and ".join(limits)]).strip()


def _usual(name: str) -> str:
    """What a parameter of [space] is where nothing is said."""
    table, _, key = name.rpartition(".")
    field = (ModelConfig if table else Config).model_fields.get(key)
    if key in ("initializer", "tau"):
        return "the activation's"
    return "" if field is None or field.is_required() else _written(field.default)


def _written(value: object) -> str:
    return "" if value in (None, "") else f"`{json.dumps(value)}`" if isinstance(value, bool) else f"`{_plain(value)}`"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(*cells: str | None) -> str:
    """A row of a table, in which signs outside code are no Markdown."""
    texts = (re.sub(r"(`[^`]*`)|([*_<])", _literal, " ".join((cell or "").split())) for cell in cells)
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def _literal(sign: re.Match[str]) -> str:
    return sign[1] or f"\\{sign[2]}"
