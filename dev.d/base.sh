# base.sh -- talking to people, processes known by pid and start time, locks, ports.
#
# Two places hold state. .run/ is the user's: logs, ports, data; it may be removed at any time. The
# state directory under /var/tmp holds what must outlive that: the lock, a record of every process
# that was started, and the PostgreSQL sockets, whose paths must be short.

RUN=$ROOT/.run
STATE=/var/tmp/sagamesh-$UID-$(printf %s "$ROOT" | sha256sum | cut -c1-10)

say() {
    printf '%s\n' "$*"
}

# die WHAT NEXT...: what is wrong, then the next move.
die() {
    printf 'dev: %s\n' "$1" >&2
    shift
    (($# == 0)) || printf '     %s\n' "$@" >&2
    exit 1
}

# As root, by sudo when we are not.
as_root() {
    if ((UID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

elapsed() {
    echo "$((SECONDS - $1)) s"
}

# long_work TEXT LOG COMMAND...: runs it with its output in LOG, with a sign of life now and then;
# shows the end of LOG when it fails.
long_work() {
    local text=$1 log=$2 began=$SECONDS pid tick=0 status=0
    shift 2
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if ((++tick % 50 == 0)); then
            say "  $text: $(elapsed "$began") so far; $(tail -n 1 "$log" | cut -c1-80)"
        fi
    done
    wait "$pid" || status=$?
    if ((status != 0)); then
        tail -n 40 "$log" >&2
        say "  $text: FAILED after $(elapsed "$began"); all of its output is in $log" >&2
        return "$status"
    fi
    say "  $text: done in $(elapsed "$began")"
}

# ---- state -------------------------------------------------------------------------------------

# The directory outside of the checkout, ours alone to write.
state_open() {
    mkdir -m 0755 "$STATE" 2>/dev/null || true
    [[ -d $STATE && ! -L $STATE && -O $STATE ]] ||
        die "$STATE is not a directory of yours." "Look at who made it, remove it, and run this again."
    chmod 0755 "$STATE"
    mkdir -p "$STATE/pids" "$STATE/scratch"
    chmod 0700 "$STATE/pids"
    chmod 0711 "$STATE/scratch"
}

# Two runs must not start the same thing: everything that starts or stops holds this lock.
state_lock() {
    state_open
    exec 9>"$STATE/lock"
    if ! flock -n 9; then
        say "waiting for another ./dev in this checkout to finish" >&2 # what is read is standard output
        flock -w 600 9 ||
            die "another ./dev has worked in this checkout for 10 minutes." \
                "See what it does: fuser -v $STATE/lock"
    fi
}

run_open() {
    local path
    for path in "$RUN" "$ROOT/build"; do
        [[ ! -e $path || -O $path ]] ||
            die "$path belongs to $(stat -c %U "$path"), and you are $(id -un)." \
                "Go on as $(stat -c %U "$path"), or as that user: ./dev clean"
    done
    mkdir -p "$RUN/log" "$RUN/ports" "$RUN/ready"
}

# ---- processes ---------------------------------------------------------------------------------
# A process is known by pid, its start time and the boot: a pid alone comes round again.

process_start() {
    local line
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    # The name may hold spaces and brackets; what counts begins after the last bracket.
    set -- ${line##*) }
    [[ $1 != Z && $1 != X ]] || return 1
    echo "${20}"
}

process_identity() {
    local start
    start=$(process_start "$1") || return 1
    echo "$1 $start $(</proc/sys/kernel/random/boot_id)"
}

# record_pid FILE: the pid of the process that FILE records, if that very process is alive.
record_pid() {
    local pid start boot rest
    read -r pid start boot rest 2>/dev/null <"$1" || return 1
    [[ -n ${boot:-} && "$pid $start $boot" == "$(process_identity "$pid")" ]] || return 1
    echo "$pid"
}

# daemon_start RECORD LOG TAG COMMAND...: starts a process that outlives us. It writes its own
# record before it turns into COMMAND, and holds the lock until then: so whoever gets the lock next
# sees it, even if we are killed right here. TAG is kept in the record.
daemon_start() {
    local record=$1 log=$2 tag=$3
    shift 3
    (
        self=$BASHPID # not inside $(...), where it would be another's
        trap '' HUP
        exec </dev/null >>"$log" 2>&1
        printf '%s %s\n' "$(process_identity "$self")" "$tag" >"$record.new"
        mv "$record.new" "$record"
        exec 9>&-
        exec setsid "$@"
    ) &
    disown # its end is nothing for the shell to report
    local waited=0
    while [[ ! -e $record ]] && ((waited++ < 100)); do
        sleep 0.05
    done
}

# process_stop RECORD NAME SIGNAL SECONDS: asks, waits, ends.
process_stop() {
    local record=$1 name=$2 signal=$3 patience=$4 pid tick=0
    if pid=$(record_pid "$record"); then
        process_signal "$signal" "$pid"
        while record_pid "$record" >/dev/null; do
            if ((++tick > patience * 10)); then
                say "  $name did not stop within $patience s: ending it"
                process_signal KILL "$pid"
                patience=1000000
            fi
            sleep 0.1
        done
        say "  $name stopped (process $pid)"
    fi
    rm -f "$record" "$record.new"
}

process_signal() {
    kill -"$1" "$2" 2>/dev/null || true
}

# ---- ports -------------------------------------------------------------------------------------

port_is_taken() {
    local hex
    hex=$(printf '%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE "^ *[0-9]+: [0-9A-F]+:$hex "
}

# port_choose DIRECTORY: a port below the range that the kernel hands out by itself, so that nobody
# gets it by chance, and that no file in DIRECTORY names.
port_choose() {
    local port tries=0
    while ((tries++ < 1000)); do
        port=$((20000 + RANDOM % 12000))
        if ! port_is_taken "$port" && ! grep -qsx -d skip "$port" "$1"/*; then
            echo "$port"
            return
        fi
    done
    die "no free port between 20000 and 32000."
}

# port_keep FILE RECORD: the port in FILE while it is free or its owner runs, else another one.
port_keep() {
    local port
    port=$(cat "$1" 2>/dev/null || true)
    if [[ ! $port =~ ^[0-9]+$ ]] || { port_is_taken "$port" && ! record_pid "$2" >/dev/null; }; then
        port=$(port_choose "$(dirname "$1")")
        echo "$port" >"$1.new"
        mv "$1.new" "$1"
    fi
    echo "$port"
}
