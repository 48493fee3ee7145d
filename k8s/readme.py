"""readme.py -- the table of values in k8s/chart/README.md, made from the comments of values.yaml.

A comment that begins with "-- " describes the key below it, with the key's default. `readme.py` writes the table,
`readme.py --check` says whether it is the one that stands there.
"""

import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parent / "chart"
BEGIN, END = "<!-- values: k8s/readme.py writes this table -->\n", "<!-- end of values -->\n"


def rows(lines):
    """(key, default, text) of each described key. A default of several lines is told as such."""
    path, text = [], None
    for line in lines:
        described = re.match(r" *# -- (.*)$", line)
        key = re.match(r"( *)([A-Za-z]+):(?: (.*))?$", line)
        if described:
            text = described.group(1)
        elif key:
            depth = len(key.group(1)) // 2
            path[depth:] = [key.group(2)]
            if text is not None:
                yield ".".join(path), key.group(3) or "see values.yaml", text
            text = None


def table():
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for key, default, text in rows((CHART / "values.yaml").read_text().splitlines()):
        default = default if default == "see values.yaml" else f"`{default}`"
        lines.append(f"| `{key}` | {default} | {text} |")
    return "\n".join(lines) + "\n"


def main():
    file = CHART / "README.md"
    text = file.read_text()
    head, rest = text.split(BEGIN)
    made = head + BEGIN + table() + END + rest.split(END)[1]
    if "--check" not in sys.argv:
        file.write_text(made)
    elif made != text:
        print("k8s/chart/README.md does not say what values.yaml does; python3 k8s/readme.py mends it")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
