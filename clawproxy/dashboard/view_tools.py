"""Tool calls as people read them: an edit as a difference, a plan as a list, a command as a command.

What a call is, is told by the members of its arguments and not by the tool's name: Claude Code,
Codex, OpenClaw and the editors' own tools use the same few shapes under many names.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clawproxy.dashboard import diff
from clawproxy.dashboard.diff import Line
from clawproxy.dashboard.view import Call
from clawproxy.dashboard.view_json import items, members, pretty, text, words
from clawproxy.dashboard.view_pane import Code, Fields, Pane, Prose, Shown, Todo, difference

LONG = 80
"""Characters from which on an argument stands on its own."""

Compare = Callable[[str, str], list[Line]]

_PATHS = ("file_path", "path", "notebook_path", "filename", "file", "target_file", "filePath")
_OLD = ("old_string", "old_str", "oldText", "old_text", "search")
_NEW = ("new_string", "new_str", "newText", "new_text", "replace")
_WHOLE = ("content", "file_text", "contents", "new_source")
_DONE = {
    "completed": "done",
    "complete": "done",
    "done": "done",
    "in_progress": "doing",
    "in-progress": "doing",
    "doing": "doing",
    "cancelled": "dropped",
    "canceled": "dropped",
}
_PATCH = re.compile(r"^\*\*\* Begin Patch$.*?(?:^\*\*\* End Patch|\Z)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {"command": "bash", "cmd": "bash", "script": "bash", "code": "python"}
_PROSE = frozenset({"prompt", "plan", "description", "message", "question", "task", "instructions"})


def shown(call: Call, *, quick: bool = False) -> Shown:
    """Say what a call does.

    :param quick: leave out what takes long: edits are shown whole, without looking for what stayed.
    """
    arguments = call.arguments
    if not isinstance(arguments, dict):
        if not call.raw and arguments is not None:
            return Shown("", (Code(text=pretty(arguments), language="json"),))
        return _freeform(call.raw)
    rest = dict(arguments)
    panes: list[Pane] = []
    path = _path(arguments)
    _take_edits(rest, panes, diff.replaced if quick else diff.compare)
    _take_patch(rest, panes)
    _take_whole(rest, path, panes)
    _take_todos(rest, panes)
    gist = about(call)
    fields, long = _others(rest, gist)
    found = ([Fields(entries=tuple(fields))] if fields else []) + panes + long
    return Shown(gist, tuple(found))


def about(call: Call) -> str:
    """Give the one argument of a call that says most, on a line; nothing where there are none by name."""
    arguments = call.arguments
    if not isinstance(arguments, dict):
        return ""
    return _line(_gist(arguments) or _path(arguments) or _values(arguments))


def _path(arguments: dict[str, object]) -> str:
    return next((text(arguments[name]) for name in _PATHS if text(arguments.get(name))), "")


def _line(gist: str) -> str:
    line = next((line.strip() for line in gist.splitlines() if line.strip()), "")
    return line if len(line) <= 160 else line[:159] + "…"


def _freeform(raw: str) -> Shown:
    if not raw:
        return Shown()
    match = _PATCH.search(raw)
    if match is not None:
        pane = difference(diff.read_patch(match[0]))
        first = next((line.text for line in pane.lines if line.sign == "@"), "")
        return Shown(_line(first), (pane,))
    return Shown(_line(raw), (Code(text=raw),))


def _pair(edit: dict[str, object]) -> tuple[str, str, str, str] | None:
    for old, new in zip(_OLD, _NEW, strict=True):
        if isinstance(edit.get(old), str) and isinstance(edit.get(new, ""), str):
            return old, new, text(edit[old]), text(edit.get(new))
    return None


def _take_edits(rest: dict[str, object], panes: list[Pane], compare: Compare) -> None:
    pair = _pair(rest)
    if pair is not None:
        old, new, before, after = pair
        panes.append(difference(compare(before, after)))
        rest.pop(old, None)
        rest.pop(new, None)
    edits = items(rest.get("edits"))
    found = [_pair(members(edit)) for edit in edits]
    if edits and all(found):
        for number, each in enumerate(found):
            assert each is not None
            more = " every time" if members(edits[number]).get("replace_all") is True else ""
            title = f"edit {number + 1} of {len(found)}{more}"
            panes.append(difference(compare(each[2], each[3]), title))
        del rest["edits"]


def _take_patch(rest: dict[str, object], panes: list[Pane]) -> None:
    for name, value in list(rest.items()):
        if name == "diff" and isinstance(value, str) and value:
            panes.append(difference(diff.read_patch(value)))
            del rest[name]
            continue
        source = value if isinstance(value, str) else " ".join(map(text, items(value)))
        match = _PATCH.search(source) if "*** Begin Patch" in source else None
        if match is not None:
            panes.append(difference(diff.read_patch(match[0])))
            around = (source[: match.start()] + source[match.end() :]).strip()
            if name in ("patch", "input") or around in ("", "apply_patch"):
                del rest[name]
            else:
                rest[name] = around


def _take_whole(rest: dict[str, object], path: str, panes: list[Pane]) -> None:
    if not path:
        return
    for name in _WHOLE:
        value = rest.get(name)
        if isinstance(value, str) and value:
            panes.append(difference(diff.all_added(value)))
            del rest[name]
            return


def _take_todos(rest: dict[str, object], panes: list[Pane]) -> None:
    for name in ("todos", "plan", "items", "tasks"):
        entries = items(rest.get(name))
        found = [_todo(members(entry)) for entry in entries]
        if entries and all(found):
            panes.append(Todo(entries=tuple(each for each in found if each)))
            del rest[name]
            return


def _todo(entry: dict[str, object]) -> tuple[str, str] | None:
    words = next(
        (text(entry[name]) for name in ("content", "step", "text", "title") if entry.get(name)), ""
    )
    status = text(entry.get("status")) or text(entry.get("state"))
    if not words or not status:
        return None
    return _DONE.get(status, "open"), words


def _gist(arguments: dict[str, object]) -> str:
    for name in ("description", "command", "cmd", "pattern", "query", "url"):
        value = _command(arguments.get(name))
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _command(value: object) -> object:
    """Give a command that came as a list of words as one text, without the shell around it."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        if len(value) == 3 and value[1] in ("-c", "-lc"):
            return value[2]
        return " ".join(map(text, value))
    return value


def _values(arguments: dict[str, object]) -> str:
    values = [words(value) for value in arguments.values() if isinstance(value, str | int | float)]
    return ", ".join(value for value in values[:3] if value)


def _others(rest: dict[str, object], gist: str) -> tuple[list[tuple[str, str]], list[Pane]]:
    fields: list[tuple[str, str]] = []
    panes: list[Pane] = []
    for name, value in rest.items():
        if name in _LANGUAGES:
            value = _command(value)
        if value == gist:  # it stands in the head already
            continue
        if isinstance(value, str):
            if name in _LANGUAGES:
                panes.append(Code(title=name, text=value, language=_LANGUAGES[name]))
            elif len(value) <= LONG and "\n" not in value:
                fields.append((name, value))
            elif name in _PROSE:
                panes.append(Prose(title=name, text=value))
            else:
                panes.append(Code(title=name, text=value))
        elif isinstance(value, dict | list) and value:
            written = words(value)
            if len(written) <= LONG:
                fields.append((name, written))
            else:
                panes.append(Code(title=name, text=pretty(value), language="json"))
        else:
            fields.append((name, words(value) or "null"))
    return fields, panes
