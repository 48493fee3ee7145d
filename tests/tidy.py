"""tidy.py BUILD [--write] -- is the house in order? By the objects that were built, not by guessing.

    includes   go downward only (ORDER; other folders are on top), and no program includes another
    exports    are used outside of their file; by tests alone only what its file uses too, or is listed
    circles    no file stands in a circle of files that call each other
    names      no global name stands twice
    comments   of a folder's .c files have no smaller share than before

What is not so today is in tests/tidy.list. The list only shrinks: --write takes out what was mended.
"""
import collections, pathlib, re, subprocess, sys

ORDER = '''mesh/base mesh/ask mesh/observe mesh/store mesh/pb mesh/http mesh/rpc mesh/kafka mesh saga/engine saga
    account-svc/ledger account-svc/chart account-svc/payment account-svc/provider account-svc/edge account-svc
    order-svc storage-svc bff/token bff sagactl sandbox/broker sandbox/provider'''.split()
LIST = pathlib.Path('tests/tidy.list')


def folder(path):
    return str(pathlib.Path(path).parent)


def rank(place):
    return ORDER.index(place) if place in ORDER else len(ORDER)


def includes(texts):
    for path, text in texts.items():
        for other in re.findall(r'^#include "([^"]+/[^"/]+\.h)"', text, re.M):
            at, to = folder(path), folder(other)
            if other in texts and (rank(to) > rank(at)
                                   or to.split('/')[0] not in ('mesh', at.split('/')[0])):
                yield f'{path} {other}'


def objects(build, texts):
    """What each file defines for others, and what it takes from others."""
    defined, taken = collections.defaultdict(set), collections.defaultdict(set)
    for path in pathlib.Path(build).glob('CMakeFiles/*.dir/**/*.c.o'):
        source = str(path.relative_to(build)).split('.dir/', 1)[1][:-2]
        if source in texts or source.startswith('tests/') and pathlib.Path(source).exists():
            for line in subprocess.check_output(['nm', '-P', path], text=True).splitlines():
                name, kind = line.split()[:2]
                if kind in 'UTDBR' and name != 'main':
                    (taken if kind == 'U' else defined)[source].add(name)
    return defined, taken


def exports(texts, defined, taken):
    ours = set().union(*(names for file, names in taken.items() if file in texts))
    tests = set().union(*(names for file, names in taken.items() if file not in texts))
    for file in texts.keys() & defined.keys():
        for name in sorted(defined[file] - ours):
            if not (name in tests and len(re.findall(rf'\b{name}\b', texts[file])) > 1):
                yield f'{file} {name}'


def circles(texts, defined, taken):
    homes = collections.defaultdict(set)
    for file in texts:
        for name in defined.get(file, ()):
            homes[name].add(file)

    def home(name, file):
        """Of a name that stands twice, the caller's own program's."""
        own = {at for at in homes[name] if at.split('/')[0] == file.split('/')[0]}
        return own or homes[name]
    calls = {file: set().union(*(home(name, file) for name in taken[file] if name in homes)) - {file}
             for file in texts}

    def reach(file, seen):
        for other in calls[file] - seen:
            seen.add(other)
            reach(other, seen)
        return seen
    for file in sorted(texts):
        if file in reach(file, set()):
            yield file
        yield from (f'{file} {other}' for other in sorted(calls[file])
                    if file in calls[other] and file < other)


def names(texts, defined):
    homes = collections.defaultdict(set)
    for file, text in texts.items():
        for name in defined.get(file, ()):
            homes[name].add(file)
        if file.endswith('.h'):
            for kind, tag in re.findall(r'^(?:typedef )?(struct|enum|union) (\w+) \{', text, re.M):
                homes[f'{kind} {tag}'].add(file)
    return (name for name, files in homes.items() if len(files) > 1)


def comments(texts):
    share = collections.defaultdict(lambda: [0, 0])
    for file, text in texts.items():
        if file.endswith('.c'):
            lines = sum(len(c.splitlines()) for c in re.findall(r'/\*.*?\*/', text, re.S))
            share[folder(file)][0] += lines
            share[folder(file)][1] += sum(line.strip() != '' for line in text.splitlines())
    return {place: 1000 * part // whole for place, (part, whole) in share.items()}


def main():
    texts = {str(path): path.read_text() for path in pathlib.Path().glob('[!.]*/**/*.[ch]')
             if not re.match('tests|build', path.parts[0])}
    defined, taken = objects(sys.argv[1], texts)
    found = {'includes': includes(texts), 'exports': exports(texts, defined, taken),
             'circles': circles(texts, defined, taken), 'names': names(texts, defined)}
    shares = comments(texts)
    listed = [tuple(line.split(None, 1)) for line in LIST.read_text().splitlines()
              if line and line[0] != '#']
    failed, left = 0, []
    for rule, bad in found.items():
        bad, known = set(bad), {what for name, what in listed if name == rule}
        left += [(rule, what) for what in sorted(bad & known)]
        for what in sorted(bad - known):
            print(f'{rule}: {what}')
        if known - bad and '--write' not in sys.argv:
            print(f'{rule}: {len(known - bad)} of tests/tidy.list are mended: --write takes them out')
        failed += bad - known != set() or (known - bad != set() and '--write' not in sys.argv)
    floors = {place: int(share) for name, what in listed if name == 'comments'
              for place, share in [what.split()]}
    fallen = [place for place, share in shares.items() if share < floors.get(place, 0)]
    for place in fallen:
        print(f'comments: {place} has {shares[place]} in 1000 lines, and had {floors[place]}')
    if '--write' in sys.argv:
        left += [('comments', f'{p} {max(s, floors.get(p, 0))}') for p, s in sorted(shares.items())]
        head = ''.join(f'{line}\n' for line in LIST.read_text().splitlines() if line[:1] == '#')
        LIST.write_text(head + ''.join(f'{rule} {what}\n' for rule, what in left))
    failed += fallen != []
    print(f'{5 - failed} passed, {failed} failed, 0 skipped')
    return failed != 0


sys.exit(main())
