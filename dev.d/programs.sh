# programs.sh -- the programs of programs.table: up, down, status, logs, psql, demo.
#
# What runs is found out, never assumed: a program is current when its recorded process is alive,
# was started with the very command line and binary that we would start now, and has written its
# ready file. Anything else is stopped and started.

programs_rows() {
    grep -vE '^(#|$)' "$ROOT/dev.d/programs.table"
}
programs_names() {
    programs_rows | awk '{print $1}'
}
# Those with a database: what sagactl and the benchmark know by name.
services_names() {
    programs_rows | awk '$3 != "-" {print $1}'
}
# program_column NAME NUMBER
program_column() {
    programs_rows | awk -v name="$1" -v number="$2" '$1 == name { print $number }'
}
program_flags() {
    programs_rows | awk -v name="$1" '$1 == name { for (i = 5; i <= NF; i++) if ($i != "-") print $i }'
}

# A mesh lives in a directory: .run/, or a scratch directory of the benchmark. Set by mesh_use.
mesh_use() {
    MESH_DIRECTORY=$1
    MESH_PIDS=$2
    mkdir -p "$MESH_DIRECTORY"/{log,ports,ready} "$MESH_PIDS"
}
program_record() {
    echo "$MESH_PIDS/$1"
}
program_address() {
    echo "127.0.0.1:$(cat "$MESH_DIRECTORY/ports/$1")"
}
program_log() {
    if [[ $1 == postgres ]]; then
        echo "$MESH_DIRECTORY/pg/log"
    else
        echo "$MESH_DIRECTORY/log/$1.log"
    fi
}

# program_command NAME: its command line, a word a line.
program_command() {
    local name=$1 database flag other
    database=$(program_column "$name" 3)
    echo "$ROOT/build/$(program_column "$name" 2)"
    echo "--listen=$(program_address "$name")"
    echo "--ready-file=$MESH_DIRECTORY/ready/$name"
    [[ $database == - ]] ||
        echo "--database=$(postgres_conninfo "$MESH_DIRECTORY/pg") dbname=$database"
    program_flags "$name" | while read -r flag; do
        flag=${flag//\{root\}/$ROOT}
        flag=${flag//\{run\}/$MESH_DIRECTORY}
        flag=${flag//\{webhook\}/$(program_address webhook)}
        flag=${flag//\{kafka\}/${MESH_KAFKA:-$(program_address broker)}}
        for other in $(programs_names); do
            flag=${flag//\{$other\}/$(program_address "$other")}
        done
        echo "$flag"
    done
}

program_is_ready() {
    record_pid "$(program_record "$1")" >/dev/null && [[ -s $MESH_DIRECTORY/ready/$1 ]]
}

# program_start NAME: without waiting for it.
program_start() {
    local name=$1 record command tag binary
    record=$(program_record "$name")
    readarray -t command < <(program_command "$name")
    binary=${command[0]}
    [[ -x $binary ]] || die "the program ${binary#"$ROOT"/} was not built." "See what ./dev build says."
    tag=$(
        {
            printf '%s\n' "${command[@]}"
            stat -c '%Y %s %i' "$binary"
            [[ "${command[*]}" != *--definitions=* ]] || cat "$ROOT"/saga/definitions/*
            [[ "${command[*]}" != *=$MESH_DIRECTORY/secrets/* ]] || cat "$MESH_DIRECTORY"/secrets/*
        } | sha256sum | cut -c1-16
    )
    if program_is_ready "$name" && [[ $(awk '{print $4}' "$record") == "$tag" ]]; then
        return
    fi
    process_stop "$record" "$name" TERM 15
    rm -f "$MESH_DIRECTORY/ready/$name"
    daemon_start "$record" "$(program_log "$name")" "$tag" "${command[@]}"
    say "  $name started on $(program_address "$name")"
}

program_wait() {
    local name=$1 began=$SECONDS
    while ! program_is_ready "$name"; do
        record_pid "$(program_record "$name")" >/dev/null || program_has_failed "$name" "ended as it started"
        ((SECONDS - began < 60)) || program_has_failed "$name" "has not become ready in 60 s"
        sleep 0.05
    done
}

program_has_failed() {
    local log
    log=$(program_log "$1")
    printf -- '---- the end of %s\n' "$log" >&2
    tail -n 20 "$log" >&2
    printf -- '----\n' >&2
    die "$1 $2." "Its last words are above. Once that is mended: ./dev up again."
}

# Everything of the mesh in MESH_DIRECTORY, up and ready.
mesh_start() {
    local name schema database
    if [[ ! -e $MESH_DIRECTORY/pg/initialized ]]; then
        # Programs of an earlier .run/ that was removed: their databases are gone.
        mesh_stop_programs
    fi
    postgres_start "$MESH_DIRECTORY/pg"
    for name in $(programs_names); do
        port_keep "$MESH_DIRECTORY/ports/$name" "$(program_record "$name")" >/dev/null
    done
    # bff listens to providers on a port of its own.
    port_keep "$MESH_DIRECTORY/ports/webhook" "$(program_record bff)" >/dev/null
    secrets_make "$MESH_DIRECTORY/secrets" "$(program_address provider)" "$(program_address webhook)"
    for name in $(programs_names); do
        database=$(program_column "$name" 3)
        schema=$(program_column "$name" 4)
        [[ $database == - ]] || postgres_database "$MESH_DIRECTORY/pg" "$database" "$schema"
    done
    for name in $(programs_names); do
        program_start "$name"
    done
    for name in $(programs_names); do
        program_wait "$name"
    done
}

mesh_stop_programs() {
    local name
    # The reverse of the table; then what has a record but no row any more.
    for name in $(programs_names | tac) $(cd "$MESH_PIDS" && echo *); do
        [[ $name != postgres-* && $name != *.new && $name != '*' ]] || continue
        process_stop "$MESH_PIDS/$name" "$name" TERM 15
        rm -f "$MESH_DIRECTORY/ready/$name"
    done
}

addresses() {
    local name
    say "addresses (gRPC, with health and reflection; bff and provider speak HTTP, broker Kafka):"
    for name in $(programs_names); do
        printf '  %-9s %s\n' "$name" "$(program_address "$name")"
    done
    printf '  %-9s 127.0.0.1:%s, user mesh, password in %s\n' postgres "$(cat "$RUN/pg/port")" \
        ".run/pg/password"
}

word_up() {
    local began=$SECONDS
    run_open
    state_lock
    packages_need $PACKAGES_BUILD $PACKAGES_RUN $PACKAGES_DEMO
    build_tree build
    mesh_use "$RUN" "$STATE/pids"
    mesh_start
    say "everything runs ($(elapsed "$began"))"
    # The mark lies with the data: new databases get new demo orders.
    if [[ ! -e $RUN/pg/demo ]]; then
        place_demo
        place_demo_http
        : >"$RUN/pg/demo"
    fi
    addresses
    say "next: ./dev demo, ./dev status, ./dev logs order, ./dev psql order, ./dev down"
}

place_demo() {
    local name arguments=()
    for name in $(services_names); do
        arguments+=("--$name=$(program_address "$name")")
    done
    "$ROOT/build/sagactl" demo "${arguments[@]}" ||
        die "the demo orders did not come out as they should." "What the programs say: ./dev logs saga"
}

word_demo() {
    mesh_use "$RUN" "$STATE/pids"
    mesh_status >/dev/null || die "not everything runs." "./dev up starts it, ./dev status shows what is missing."
    place_demo
    place_demo_http
}

programs_down() {
    mesh_use "$RUN" "$STATE/pids"
    mesh_stop_programs
    # Also the server of a .run/ that was removed: what counts is the record.
    postgres_stop "$RUN/pg"
}

word_down() {
    run_open
    state_lock
    programs_down
    scratch_sweep
    say "all is stopped; the data stays in .run/ for the next ./dev up"
}

# Ends with 0 when everything runs, with 3 when something does not.
word_status() {
    mesh_status || exit 3
}

mesh_status() {
    local name pid state status=0 record
    state_open
    mesh_use "$RUN" "$STATE/pids"
    for name in postgres $(programs_names); do
        record=$(program_record "$name")
        [[ $name != postgres ]] || record=$(postgres_record "$RUN/pg")
        if ! pid=$(record_pid "$record"); then
            printf '%-9s is not running\n' "$name"
            status=3
            continue
        fi
        state=ready
        if [[ $name == postgres ]]; then
            postgres_is_up "$RUN/pg" || state='not answering'
        else
            program_is_ready "$name" || state='starting'
        fi
        [[ $state == ready ]] || status=3
        printf '%-9s %-13s process %-8s for %s, %s\n' "$name" "$state" "$pid" \
            "$(ps_age "$pid")" "$(status_address "$name")"
    done
    ((status == 0))
}

status_address() {
    if [[ $1 == postgres ]]; then
        echo "127.0.0.1:$(cat "$RUN/pg/port" 2>/dev/null)"
    else
        program_address "$1" 2>/dev/null
    fi
}

# How long a process has run, from the kernel's own figures (ps need not be installed).
ps_age() {
    local start up seconds
    start=$(process_start "$1") || return 0
    read -r up _ </proc/uptime
    seconds=$((${up%.*} - start / $(getconf CLK_TCK)))
    printf '%d:%02d:%02d' $((seconds / 3600)) $((seconds % 3600 / 60)) $((seconds % 60))
}

word_logs() {
    local name=${1:-} log
    mesh_use "$RUN" "$STATE/pids"
    [[ -n $name ]] || die "which one?" "./dev logs $(programs_names | tr '\n' '|')postgres"
    log=$(program_log "${name%-svc}")
    [[ -e $log ]] || die "there is no log of '$name'." "Logs there are: $(
        cd "$RUN/log" && echo *.log
    ) and postgres"
    shift
    exec tail -n 200 "$@" "$log"
}

word_psql() {
    local name=${1:-} database
    name=${name%-svc}
    mesh_use "$RUN" "$STATE/pids"
    database=$(program_column "${name/%orders/order}" 3)
    [[ -n $database && $database != - ]] ||
        die "which service?" "./dev psql $(programs_names | tr '\n' '|' | sed 's/|$//')"
    postgres_is_up "$RUN/pg" || die "PostgreSQL does not run." "./dev up starts it."
    shift
    exec psql -X -d "$(postgres_conninfo "$RUN/pg") dbname=$database" "$@"
}
