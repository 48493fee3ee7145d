"""What an expand step may do: only what programs that do not know it never notice.

unfit(sql) says which statements of a step do more than that, and why; such a step is a contract step, or waits for one. What
these rules cannot see (a CHECK that is replaced by a wider one) is said in the step, in the comment before the statement:

    -- only adds: state 5 is one that older programs never write
"""

import re

ONLY_ADDS = re.compile(r"--\s*only adds: \S+")
SPACE = r"\s+"
NAME = r'(?:"[^"]+"|[a-z_][a-z0-9_.]*)'
NEW_OBJECT = re.compile(rf"CREATE (?:TABLE|SEQUENCE|VIEW|SCHEMA|TYPE)\b", re.I)
MADE_TABLE = re.compile(rf"CREATE TABLE (?:IF NOT EXISTS )?({NAME})", re.I)
HARMLESS = re.compile(
    r"(?:CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|TRIGGER)|INSERT INTO|SELECT|COMMENT ON|GRANT|ANALYZE|SET)\b", re.I
)
INDEX = re.compile(rf"CREATE (UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?{NAME} ON (?:ONLY )?({NAME})", re.I)
ALTER_TABLE = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?({NAME}) (.*)", re.I | re.S)
ADD_COLUMN = re.compile(rf"ADD (?:COLUMN )?(?!CONSTRAINT\b|CHECK\b|UNIQUE\b|PRIMARY\b|FOREIGN\b|EXCLUDE\b)(?:IF NOT EXISTS )?{NAME} ", re.I)
RELAX = re.compile(rf"(?:ALTER (?:COLUMN )?{NAME} (?:SET DEFAULT|DROP NOT NULL|SET STATISTICS|SET STORAGE)|SET \(|DROP CONSTRAINT)\b", re.I)
AT_RUN_TIME = re.compile(r"\b(?:nextval|random|clock_timestamp|timeofday|gen_random_uuid|GENERATED|serial|bigserial)\b", re.I)


def statements(sql):
    """The statements, each with the comments before it."""
    word = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|;|[^-'\"$;]+|.", re.S)
    text, comment = "", ""
    for found in word.finditer(sql):
        piece = found.group()
        if piece.startswith("--"):
            comment += piece + "\n"
        elif piece == ";":
            if text.strip():
                yield re.sub(SPACE, " ", text.strip()), comment
            text, comment = "", ""
        else:
            text += piece
    if text.strip():
        yield re.sub(SPACE, " ", text.strip()), comment


def parts(actions):
    """Of ALTER TABLE: what stands between commas that are in no bracket and no text."""
    depth, begin, in_text = 0, 0, False
    for i, sign in enumerate(actions):
        if sign == "'":
            in_text = not in_text
        elif not in_text:
            depth += (sign in "([") - (sign in ")]")
            if sign == "," and depth == 0:
                yield actions[begin:i].strip()
                begin = i + 1
    yield actions[begin:].strip()


def alter_trouble(action):
    if ADD_COLUMN.match(action):
        if AT_RUN_TIME.search(action):
            return "a default that differs by row rewrites the table under a lock: add the column without, then fill it in portions"
        if re.search(r"\bNOT NULL\b", action, re.I) and not re.search(r"\bDEFAULT\b", action, re.I):
            return "NOT NULL without a DEFAULT refuses the INSERTs of older programs"
        if re.search(r"\b(?:UNIQUE|PRIMARY KEY|REFERENCES)\b", action, re.I):
            return "a new constraint may refuse what older programs write"
        return None
    if RELAX.match(action):
        return None
    return "it is not one that only adds"


def trouble(statement, made):
    """Why an expand step may not do that; None: it may. made: tables that the step has made before."""
    if NEW_OBJECT.match(statement):
        if table := MADE_TABLE.match(statement):
            made.add(table.group(1).lower())
        return None
    if index := INDEX.match(statement):
        unique, concurrently, table = index.groups()
        if table.lower() in made:
            return None
        if unique:
            return "a new UNIQUE index may refuse what older programs write"
        return None if concurrently else "CREATE INDEX without CONCURRENTLY stops all writers of the table"
    if table := ALTER_TABLE.match(statement):
        if table.group(1).lower() in made:
            return None
        found = [why for why in map(alter_trouble, parts(table.group(2))) if why]
        return found[0] if found else None
    return None if HARMLESS.match(statement) else "it is not one that only adds"


def unfit(sql):
    """(statement, why) of each that an expand step may not have."""
    made, found = set(), []
    for statement, comment in statements(sql):
        why = trouble(statement, made)
        if why and not ONLY_ADDS.search(comment):
            found.append((statement, why))
    return found


def is_alone(sql):
    """A step with CONCURRENTLY is that one statement: PostgreSQL does it outside of transactions."""
    all_of_it = [statement for statement, _ in statements(sql)]
    return len(all_of_it) == 1 or not any(" CONCURRENTLY " in statement for statement in all_of_it)
