"""Completion in bash, zsh and fish: their scripts, and the answers to them.

Typer finds the candidates. Reading the line and quoting the answers is done here:
Typer's own scripts break names with spaces, quotes, colons and the like.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

VARIABLE = "_AFX_COMPLETE"
"""Set by a shell that wants to complete a line, to ``complete_SHELL``."""
_LINE = "_AFX_LINE"
"""The line up to the cursor."""
_BREAKS = "_AFX_BREAKS"
"""Bash's COMP_WORDBREAKS: at these characters it begins another word."""

SCRIPTS = {
    "bash": f"""\
_afx_completion() {{
    mapfile -t COMPREPLY < <(
        env {VARIABLE}=complete_bash {_LINE}="${{COMP_LINE:0:COMP_POINT}}" \\
            {_BREAKS}="$COMP_WORDBREAKS" "$1" 2>/dev/null
    )
}}
complete -o default -F _afx_completion afx
""",
    "zsh": f"""\
#compdef afx
_afx_completion() {{
    local -a candidates
    candidates=("${{(@f)$(
        env {VARIABLE}=complete_zsh {_LINE}="${{words[1,CURRENT]}}" "${{words[1]}}" 2>/dev/null
    )}}")
    if [[ -n "${{candidates[1]}}" ]]; then
        _describe afx candidates
    else
        _files
    fi
}}
if [[ "${{funcstack[1]}}" == _afx ]]; then
    _afx_completion "$@"
else
    compdef _afx_completion afx
fi
""",
    "fish": f"""\
function __afx_completion
    set -l line (commandline -cp | string collect)
    set -l candidates (env {VARIABLE}=complete_fish {_LINE}="$line" afx 2>/dev/null)
    if test (count $candidates) -gt 0
        printf '%s\\n' $candidates
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command afx --no-files --arguments '(__afx_completion)'
""",
}


@dataclass(slots=True, frozen=True)
class Line:
    """A line that is typed, up to the cursor."""

    words: tuple[str, ...]
    """The words before the one to complete, without quotes."""
    word: str
    """The word to complete, without quotes."""
    typed: str
    """The same as it was typed."""
    quote: str
    """The quote that is open at the cursor; empty: none."""


def complete(command: Any, instruction: str) -> int:
    """Print the candidates for the line in the environment; returns the exit code."""
    from typer._completion_classes import BashComplete

    shell = instruction.removeprefix("complete_")
    if shell not in SCRIPTS:
        return 1
    line = parse(os.environ.get(_LINE, ""))
    # Bash's class stands for all: only the reading and the writing of lines differ.
    finder = BashComplete(command, {}, "afx", VARIABLE)
    for item in finder.get_completions(list(line.words[1:]), line.word):
        print(_answer(shell, line, item.value, item.help or ""))
    return 0


def parse(text: str) -> Line:
    """Split a line as a shell does; its last word may end inside quotes."""
    words: list[str] = []
    word, quote, begin, inside = "", "", 0, False
    at = 0
    while at < len(text):
        char = text[at]
        if quote == "'" or (quote == '"' and char != "\\"):
            quote, word = ("", word) if char == quote else (quote, word + char)
        elif char == "\\":
            inside = True
            at += 1
            following = text[at : at + 1]
            word += f"\\{following}" if quote and following not in '"\\$`' else following
        elif char in "'\"":
            quote, inside = char, True
        elif char.isspace():
            if inside:
                words.append(word)
            word, inside, begin = "", False, at + 1
        else:
            word, inside = word + char, True
        at += 1
    return Line(tuple(words), word, text[begin:], quote)


def _answer(shell: str, line: Line, value: str, about: str) -> str:
    """Return one candidate as its shell takes it."""
    if line.word.startswith("-") and "=" in line.word:
        # Of ``--option=value``, Typer completes the value alone.
        value = f"{line.word.partition('=')[0]}={value}"
    about = " ".join(about.split())
    if shell == "fish":
        return f"{value}\t{about}" if about else value
    if shell == "zsh":
        name = value.replace("\\", "\\\\").replace(":", "\\:")
        return f"{name}:{about}" if about else name
    return _for_bash(line, value, os.environ.get(_BREAKS, ""))


def _for_bash(line: Line, value: str, breaks: str) -> str:
    """Return a candidate that readline puts in place of the word at the cursor."""
    if line.quote and line.typed.startswith(line.quote):
        # Readline replaces what follows the open quote, and closes it.
        if line.quote == "'":
            return value.replace("'", "'\\''")
        return re.sub(r'(["\\$`])', r"\\\1", value)
    quoted = re.sub(r"([^\w./@%+,:=-])", r"\\\1", value)
    # Bash takes what follows the last break for the word.
    ends = [it.end() for it in re.finditer(r"(?<!\\)[:=@]", line.typed) if it[0] in breaks]
    typed = line.typed[: ends[-1]] if ends else ""
    return quoted.removeprefix(typed)
