"""stand_in.py -- images that stand in for PostgreSQL's and Kafka's own, for a cluster that reaches no registry.

    stand_in.py postgres ARCHIVE NAME [SOURCE...]           a docker archive of the image NAME; mmdebstrap makes its root
    stand_in.py kafka    ARCHIVE NAME JARS [SOURCE...]      JARS: the folder with Apache Kafka's, as ./dev kafka fetch says

Of the official images' start they do what the chart asks for: POSTGRES_USER, POSTGRES_PASSWORD, PGDATA, and *.sql of
/docker-entrypoint-initdb.d; KAFKA_X_Y=... as x.y of server.properties. Their users are the official ones.
"""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

POSTGRES = r"""#!/bin/bash
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
KAFKA = r"""#!/bin/bash
set -eu
file=/tmp/server.properties
while IFS='=' read -r name value; do
    name=${name#KAFKA_}
    name=${name,,}
    echo "${name//_/.}=$value"
done < <(env | grep ^KAFKA_) >$file
java -cp '/opt/kafka/*' kafka.tools.StorageTool format -t 5L6g3nShT-eMCtK--X86sw -c $file --ignore-formatted
exec java -Xmx384m -XX:+UseSerialGC -cp '/opt/kafka/*' kafka.Kafka $file
"""
KINDS = {  # start, packages, user
    "postgres": (POSTGRES, "postgresql-15", 999),
    "kafka": (KAFKA, "openjdk-17-jre-headless", 1000),
}
PATH = "/usr/lib/postgresql/15/bin:/usr/bin:/bin"


def root(kind, jars, sources):
    """The layer, as a tar."""
    start, packages, user = KINDS[kind]
    with tempfile.TemporaryDirectory() as work:
        entry = pathlib.Path(work) / "entry"
        entry.write_text(start)
        entry.chmod(0o755)
        entry.parent.chmod(0o755)
        made = pathlib.Path(work) / "root.tar"
        hooks = [
            "--essential-hook=mkdir -p $1/etc/postgresql-common",
            # No cluster of PostgreSQL that Debian makes by itself, and the official numbers.
            '--essential-hook=echo "create_main_cluster = false" >$1/etc/postgresql-common/createcluster.conf',
            f"--essential-hook=echo {kind}:x:{user}: >>$1/etc/group",
            f"--essential-hook=echo {kind}:x:{user}:{user}::/nonexistent:/bin/bash >>$1/etc/passwd",
            f"--customize-hook=copy-in {entry} /usr/local/bin",
            "--customize-hook=mkdir -p $1/docker-entrypoint-initdb.d $1/opt/kafka",
            *(f"--customize-hook=copy-in {jar} /opt/kafka" for jar in jars),
        ]
        words = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", f"--include={packages}", *hooks]
        subprocess.run([*words, "bookworm", made, *sources], check=True)
        return made.read_bytes()


def archive(kind, layer, name):
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/usr/local/bin/entry"], "Env": [f"PATH={PATH}"], "User": str(KINDS[kind][2])},
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
    kind, out, name, *sources = sys.argv[1:]
    jars = sorted(pathlib.Path(sources.pop(0)).glob("*.jar")) if kind == "kafka" else []
    pathlib.Path(out).write_bytes(archive(kind, root(kind, jars, sources), name))


if __name__ == "__main__":
    main()
