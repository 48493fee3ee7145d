"""postgres_image.py -- an image that stands in for PostgreSQL's own, for a cluster that reaches no registry.

    postgres_image.py ARCHIVE NAME [SOURCE...]       a docker archive of the image NAME; mmdebstrap makes its root file system

Of the official image's start it does what the chart asks for: POSTGRES_USER, POSTGRES_PASSWORD, PGDATA, and *.sql of
/docker-entrypoint-initdb.d. Its user and group 999 are the official ones.
"""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGES = "postgresql-15"
ENTRY = r"""#!/bin/bash
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust \
        --auth-host=scram-sha-256 -E UTF8 >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses= -c unix_socket_directories=/var/run/postgresql" -w start
    for file in /docker-entrypoint-initdb.d/*.sql; do
        psql -v ON_ERROR_STOP=1 -h /var/run/postgresql -U "$POSTGRES_USER" -d postgres -f "$file"
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
"""
PATH = "/usr/lib/postgresql/15/bin:/usr/bin:/bin"


def root(sources):
    """The layer, as a tar."""
    with tempfile.TemporaryDirectory() as work:
        entry = pathlib.Path(work) / "entry"
        entry.write_text(ENTRY)
        entry.chmod(0o755)
        entry.parent.chmod(0o755)
        made = pathlib.Path(work) / "root.tar"
        hooks = [
            "--essential-hook=mkdir -p $1/etc/postgresql-common",
            # No cluster of Debian's own, and the official numbers.
            '--essential-hook=echo "create_main_cluster = false" >$1/etc/postgresql-common/createcluster.conf',
            "--essential-hook=echo postgres:x:999: >>$1/etc/group",
            "--essential-hook=echo postgres:x:999:999::/var/lib/postgresql:/bin/bash >>$1/etc/passwd",
            f"--customize-hook=copy-in {entry} /usr/local/bin",
            "--customize-hook=mkdir -p $1/docker-entrypoint-initdb.d",
        ]
        words = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={PACKAGES}", *hooks]
        subprocess.run([*words, "bookworm", made, *sources], check=True)
        return made.read_bytes()


def archive(layer, name):
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/usr/local/bin/entry"], "Env": [f"PATH={PATH}"], "User": "999"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    files = {
        "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode(),
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def main():
    out, name, *sources = sys.argv[1:]
    pathlib.Path(out).write_bytes(archive(root(sources), name))


if __name__ == "__main__":
    main()
