# programs.sh -- up, down, status, logs, psql, demo. What they know of the programs, programs.py knows.

# A mesh lives in a directory: .run/, or a scratch directory of the benchmark. Set by mesh_use.
mesh_use() {
    MESH_DIRECTORY=$1
    MESH_PIDS=$2
    if [[ $1 == "$RUN" ]]; then
        [[ ! -e $RUN/with-replicas ]] || MESH_REPLICAS=$(cat "$RUN/with-replicas")
        export MESH_REPLICAS=${MESH_REPLICAS:-1}
        [[ ! -e $RUN/with-tls ]] || MESH_TLS=1
    fi
    [[ ${MESH_TLS:-} == 1 ]] || return 0
    # The last three are sagactl's and the benchmark's; programs have flags.
    export MESH_TLS MESH_TLS_CERT=$1/tls/sagactl.crt MESH_TLS_KEY=$1/tls/sagactl.key MESH_TLS_CA=$1/tls/ca.crt
    export CURL_CA_BUNDLE=$1/tls/ca.crt # the demos'
}

# certs [DIRECTORY] [--rotate]
word_certs() {
    local directory=$RUN/tls
    if [[ ${1:---} != --* ]]; then
        directory=$1
        shift
    fi
    run_open
    packages_need openssl
    python3 -B "$ROOT/dev.d/certificates.py" "$directory" "$@"
}
# programs WORD ARGUMENTS...
programs() {
    command -v python3 >/dev/null || die "there is no python3." "./dev up installs it."
    python3 -B "$ROOT/dev.d/programs.py" "$1" "$MESH_DIRECTORY" "$MESH_PIDS" "${@:2}"
}
program_address() {
    echo "127.0.0.1:$(cat "$MESH_DIRECTORY/ports/$1")"
}
# Of bff and provider.
program_url() {
    if [[ ${MESH_TLS:-} == 1 ]]; then
        echo "https://$(program_address "$1")"
    else
        echo "http://$(program_address "$1")"
    fi
}

# Everything of the mesh in MESH_DIRECTORY, up and ready. The argument: how often the sandbox's provider
# may be asked in a second.
mesh_start() {
    # Programs of an earlier .run/ that was removed: their databases are gone.
    [[ -e $MESH_DIRECTORY/pg/initialized ]] || programs stop
    postgres_start "$MESH_DIRECTORY/pg"
    programs start "$(postgres_conninfo "$MESH_DIRECTORY/pg")" "$@" || exit 1
}

# up [--tls] [--replicas N]. What is up with TLS, or N times, is so for the other words too.
word_up() {
    local began=$SECONDS with_tls='' replicas=1
    while [[ $# -gt 0 ]]; do
        case $1 in
        --tls) with_tls=yes ;;
        --replicas)
            [[ ${2:-} =~ ^[1-8]$ ]] || die "--replicas is a number of 1 to 8, and not '${2:-}'." "./dev up --replicas 3"
            replicas=$2
            shift
            ;;
        *) die "up takes --tls and --replicas N, and not '$1'." "./dev --help lists the words." ;;
        esac
        shift
    done
    run_open
    rm -f "$RUN/with-tls"
    [[ -z $with_tls ]] || : >"$RUN/with-tls"
    echo "$replicas" >"$RUN/with-replicas"
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
    say "addresses (gRPC, with health and reflection; bff and provider speak HTTP, broker Kafka; ops: /livez /readyz /metrics /info):"
    programs addresses
    if [[ ${MESH_TLS:-} == 1 ]]; then
        printf '  %-9s 127.0.0.1:%s, user mesh, by TLS with a certificate in .run/tls\n' postgres "$(cat "$RUN/pg/port")"
    else
        printf '  %-9s 127.0.0.1:%s, user mesh, password in %s\n' postgres "$(cat "$RUN/pg/port")" \
            ".run/pg/password"
    fi
    say "next: ./dev demo, ./dev status, ./dev logs order, ./dev psql order, ./dev down"
}

place_demo() {
    local arguments
    readarray -t arguments < <(programs services)
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
    ! command -v python3 >/dev/null || programs stop
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
    local state='not answering'
    state_open
    mesh_use "$RUN" "$STATE/pids"
    ! postgres_is_up "$RUN/pg" || state=ready
    programs status "$(postgres_record "$RUN/pg")" "$state" "127.0.0.1:$(cat "$RUN/pg/port" 2>/dev/null)"
}

word_logs() {
    local name=${1:-} log=$RUN/log
    mesh_use "$RUN" "$STATE/pids"
    [[ -n $name ]] || die "which one?" "./dev logs $(programs names)|postgres"
    log=$RUN/log/${name%-svc}.log
    [[ $name != postgres ]] || log=$RUN/pg/log
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
    database=$(programs database "${name/%orders/order}")
    [[ -n $database ]] || die "which service?" "./dev psql $(programs names)"
    postgres_is_up "$RUN/pg" || die "PostgreSQL does not run." "./dev up starts it."
    shift
    exec psql -X -d "$(postgres_conninfo "$RUN/pg") dbname=$database" "$@"
}

# ./dev token [CUSTOMER | --operator]
word_token() {
    [[ -x $ROOT/build/bff-token ]] || word_build >&2
    [[ -s $RUN/secrets/jwks.json ]] || die "there is no key to sign with yet." "./dev up makes one."
    exec "$ROOT/build/bff-token" --jwks="$RUN/secrets/jwks.json" "$@"
}
