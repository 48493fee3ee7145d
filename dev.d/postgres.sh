# postgres.sh -- a private PostgreSQL under a directory.
#
# DIRECTORY/data is the cluster, DIRECTORY/log its log, DIRECTORY/port, DIRECTORY/password. Its
# superuser is "mesh": without a password through the unix socket, which lies in a directory that
# only its owner can enter; with the password over loopback TCP. It fsyncs like a real one.
#
# The server refuses to run as root. There it runs as user postgres, and where that user cannot
# enter DIRECTORY (a closed home), DIRECTORY becomes a link to one under the state directory.
#
# Tests give it POSTGRES_ENVIRONMENT, words NAME=VALUE (a clock of its own: tests/e2e/clock.py).

# Of the newest version; it may not be there.
postgres_newest() {
    printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1
}

postgres_bin() {
    local bin
    bin=$(postgres_newest)
    [[ -x $bin/postgres ]] || die "there is no PostgreSQL server." "./dev up installs it."
    echo "$bin"
}

# As the user that owns the cluster. It never forks: the pid stays.
as_postgres() {
    if ((UID == 0)); then
        setpriv --reuid=postgres --regid=postgres --init-groups --reset-env -- "$@"
    else
        "$@"
    fi
}

# The names that go with a directory, the same in every run.
postgres_name() {
    printf %s "$1" | sha256sum | cut -c1-8
}
postgres_record() {
    echo "$STATE/pids/postgres-$(postgres_name "$1")"
}
postgres_socket_directory() {
    echo "$STATE/pg-$(postgres_name "$1")"
}

postgres_conninfo() {
    echo "host=$(postgres_socket_directory "$1") port=$(cat "$1/port") user=mesh"
}

postgres_is_up() {
    [[ -e $1/port ]] &&
        psql -X -q -Atc 'SELECT 1' -d "$(postgres_conninfo "$1") dbname=postgres" >/dev/null 2>&1
}

# postgres_start DIRECTORY: nothing to do when it runs; makes what is missing otherwise.
postgres_start() {
    local directory=$1 record
    record=$(postgres_record "$directory")
    if [[ ! -e $directory/initialized ]]; then
        # The data was removed, or never finished: whatever still runs on it has lost its ground.
        process_stop "$record" "a server without its data" QUIT 5
        postgres_initialize "$directory"
    fi
    if ! record_pid "$record" >/dev/null; then
        postgres_launch "$directory" "$record"
    fi
    postgres_wait "$directory" "$record"
}

postgres_initialize() {
    local directory=$1 socket real
    socket=$(postgres_socket_directory "$directory")
    rm -rf "$directory" "$socket" "$socket-home"
    mkdir -p "$(dirname "$directory")"
    mkdir -m 0700 "$socket"
    if ((UID == 0)); then
        chown postgres:postgres "$socket"
    fi
    if as_postgres test -x "$(dirname "$directory")"; then
        mkdir -m 0700 "$directory"
    else
        mkdir -m 0700 "$socket-home"
        ln -s "$socket-home" "$directory"
    fi
    real=$(readlink -f "$directory")
    (umask 077 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"$real/password")
    if ((UID == 0)); then
        chown -R postgres:postgres "$real"
    fi
    (cd "$real" && as_postgres "$(postgres_bin)/initdb" --pgdata="$real/data" --username=mesh \
        --pwfile="$real/password" --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 \
        --locale=C --no-instructions) >"$real/initdb.log" 2>&1 || {
        tail -n 20 "$real/initdb.log" >&2
        die "a PostgreSQL cluster could not be made in $real." "Its words are above; is the disk full?"
    }
    : >"$real/log"
    : >"$real/initialized"
    if ((UID == 0)); then
        chown postgres:postgres "$real/log"
    fi
}

postgres_launch() {
    local directory=$1 record=$2 real socket port
    real=$(readlink -f "$directory")
    socket=$(postgres_socket_directory "$directory")
    port=$(port_keep "$real/port" "$record")
    mkdir -p "$socket"
    chmod 0700 "$socket"
    if ((UID == 0)); then
        chown postgres:postgres "$socket"
    fi
    postgres_forget_reused_pid "$real/data/postmaster.pid"
    rm -f "$record" "$socket"/.s.PGSQL.*
    # shellcheck disable=SC2086
    (cd "$real" && daemon_start "$record" "$real/log" postgres "${AS_POSTGRES[@]}" \
        env ${POSTGRES_ENVIRONMENT:-} "$(postgres_bin)/postgres" -D "$real/data" -p "$port" -k "$socket" \
        -c listen_addresses=127.0.0.1 -c fsync="${POSTGRES_FSYNC:-on}" -c synchronous_commit=on \
        -c recovery_init_sync_method=syncfs \
        -c shared_buffers=256MB -c max_wal_size=4GB -c max_connections=200 \
        -c max_prepared_transactions=4 \
        -c log_min_messages=warning -c logging_collector=off)
}

# A killed server leaves its lock file, and PostgreSQL trusts the pid in it. After a reboot that pid
# may be anybody's. (While it is a postgres process the file stays: it guards against two servers.)
postgres_forget_reused_pid() {
    local pid
    read -r pid 2>/dev/null <"$1" || return 0
    [[ $(cat "/proc/$pid/comm" 2>/dev/null || echo postgres) == postgres ]] || rm -f "$1"
}

if ((UID == 0)); then
    AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups --reset-env --)
else
    AS_POSTGRES=(env)
fi

# The children of a killed server end a moment after it, and a new one does not start before that:
# so it is tried for some seconds.
postgres_wait() {
    local directory=$1 record=$2 tick=0 tries=0
    while ! postgres_is_up "$directory"; do
        if ! record_pid "$record" >/dev/null; then
            if ((++tries < 10)); then
                sleep 0.5
                postgres_leave_port "$directory"
                postgres_launch "$directory" "$record"
                continue
            fi
            tail -n 20 "$directory/log" >&2
            die "PostgreSQL ended as it started." "Its words are above, all of them in $directory/log."
        fi
        ((++tick < 1200)) ||
            die "PostgreSQL has not answered for 2 minutes." "Its log: $directory/log"
        sleep 0.1
    done
    : >"$directory/was-up"
}

# A port that is bound, and not listened on, stands in no list of /proc: a new server learns of it when it cannot have the port,
# and gets another. One that was up keeps its port, which others were told.
postgres_leave_port() {
    if [[ ! -e $1/was-up ]] && grep -qs "could not create any TCP/IP sockets" "$1/log"; then
        rm -f "$1/port"
    fi
}

postgres_stop() {
    process_stop "$(postgres_record "$1")" "PostgreSQL" INT 30
}

# postgres_remove DIRECTORY: with everything in it.
postgres_remove() {
    local directory=$1 socket
    socket=$(postgres_socket_directory "$directory")
    process_stop "$(postgres_record "$directory")" "PostgreSQL" QUIT 5 >/dev/null
    rm -rf "$directory" "$socket" "$socket-home"
}

# Servers made by tests are below the state directory, each beside the identity of the process that
# asked for it. Those whose owner is gone (it was killed) are ended and removed. One at a time: a
# directory that has no owner yet must not be taken for one that has lost it.
scratch_new() {
    (
        flock -w 60 8 || die "another ./dev has made a scratch directory for a minute." \
            "See what it does: fuser -v $STATE/scratch.lock"
        scratch_sweep >&2
        scratch_make "${1:-$$}"
    ) 8>"$STATE/scratch.lock"
}

scratch_make() {
    local directory
    directory=$(mktemp -d "$STATE/scratch/XXXXXXXX")
    chmod 0711 "$directory"
    mkdir -m 0700 "$directory/pids"
    process_identity "$1" >"$directory/owner"
    echo "$directory"
}

scratch_sweep() {
    local directory
    for directory in "$STATE"/scratch/*/; do
        directory=${directory%/}
        [[ -d $directory ]] || continue
        record_pid "$directory/owner" >/dev/null || scratch_remove "$directory"
    done
}

scratch_remove() {
    local record # of a program, then the directory of a server: one in pg, restored ones in pg-NAME
    for record in "$1"/pids/*; do
        [[ ! -e $record ]] || process_stop "$record" "a test's program" KILL 5 >/dev/null
    done
    for record in "$1"/pg "$1"/pg-*; do
        [[ ! -e $record ]] || postgres_remove "$record"
    done
    rm -rf "$1"
}

# For a test harness: a directory that goes with a process. What is recorded in its pids/ and the
# server in its pg/ end when the harness removes it, or after that process is gone.
word_scratch() {
    state_open
    case ${1:-} in
    new) scratch_new "${2:?the process that it goes with}" ;;
    remove)
        [[ ${2:-} == "$STATE"/scratch/* ]] || die "${2:-} is not a scratch directory."
        scratch_remove "$2"
        ;;
    *) die "usage: ./dev scratch new PROCESS | remove DIRECTORY" ;;
    esac
}

word_postgres() {
    local verb=${1:-} directory=${2:-}
    [[ $verb =~ ^(start|stop)$ && -n $directory ]] || die "usage: ./dev postgres start|stop DIRECTORY"
    packages_need postgresql
    state_open
    directory=$(readlink -m "$directory")
    if [[ $verb == start ]]; then
        postgres_start "$directory" >&2
        postgres_conninfo "$directory"
    else
        postgres_stop "$directory"
    fi
}
