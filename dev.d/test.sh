# test.sh -- ./dev test: suites in CI's order, their counts summed into one line at the end.
#
# Whole meshes (stories, interop, eyes, kafka, kill) are run on machines that stand still for half a minute. One
# that failed there is run once more, alone, when all suites are over; what passes then is "unsteady", and
# three of those fail the run. Tests without such a mesh are never run again.

UNSTEADY_MAX=2
AGAIN_MAX=10 # a run with so many failures is red anyhow

# word | in ./dev test ("yes", or the arguments of a shorter form) | what it is
SUITES='
runner  | yes | these suites themselves: what fails once, twice, or three times
format  | yes | every C file is as clang-format leaves it
unit    | yes | tables for every rule, no network; then the models, which try all orders of things
tidy    | yes | includes go downward, nothing unused is exported, no new circle of files, no name twice; steps of schemas only add, and are not edited
store   | yes | what needs a PostgreSQL, on one of its own
wire    | yes | servers and clients over loopback
stories | yes | all processes: orders paid, refused, cancelled, undone, services away
interop | yes | a client not written here: Debian'\''s gRPC for Python
eyes    | yes | rules and dashboard: promtool, and a real Prometheus with a mesh behind it
chart   | yes | image, units, and the chart by Helm 3 and 4, where npm and pip reach their registries
kafka   | yes | news on a real Apache Kafka, where Maven Central can be reached: killed, restarted
kill    | --kills 8 --orders 400 --tls=kills | kill -9 in the middle of it all [--kills N] [--orders N] [--seed N]
asan    | yes | unit, store and most stories once more under AddressSanitizer, LeakSanitizer and UBSan
fuzz    | --seconds 15 --others 5  | what strangers send: webhooks and bodies; HTTP, definitions, messages
tsan    | yes | queue, metrics, spans, HTTP server, batch, reader and engine under ThreadSanitizer
k8s     | no  | the chart on the cluster that KUBECONFIG names: upgraded under load, each pod killed
upgrade | no  | programs of the commit before, or --from COMMIT, replaced one by one under orders, with their schemas
bare    | no  | a fresh Debian 12 in a directory: the README there, as root and as a user with sudo
'

# What Apache Seata's own engine makes of its definitions and expressions, recorded. It is no part of
# the repository: it is read where it lies beside the checkout, and what needs it is skipped elsewhere.
CONFORMANCE=../shared/conformance

test_usage() {
    local word included text
    while IFS='|' read -r word included text; do
        [[ -n $word ]] || continue
        [[ $included != *no* ]] || text+=' (only when named)'
        [[ $included != *--* ]] || text+="; among all:$included"
        printf '  ./dev test %-12s   %s\n' "${word// /}" "$text"
    done <<<"$SUITES"
}

word_test() {
    local word=${1:-} suite included text began=$SECONDS
    run_open
    state_open
    PASSED=0 FAILED=0 SKIPPED=0 UNSTEADY=0
    if [[ -z ${MESH_CONFORMANCE:-} && -d $CONFORMANCE/statelang ]]; then
        MESH_CONFORMANCE=$(cd "$CONFORMANCE" && pwd -P)
    fi
    export MESH_CONFORMANCE=${MESH_CONFORMANCE:-}
    export FAILURES=$RUN/failures
    : >"$FAILURES"
    NOTES=$RUN/again
    rm -rf "$NOTES"
    unset AGAIN # who tests the runner runs in one
    export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
    if [[ -n $word ]]; then
        shift
        [[ $SUITES == *$'\n'"$word "* ]] || die "there is no suite '$word'." "./dev --help lists them."
        suite_run "$word" "$@"
    else
        # Read at once: a suite must not eat the list from standard input.
        local list=$SUITES
        while IFS='|' read -r -u 8 suite included text; do
            [[ -n $suite && $included != *no* ]] || continue
            included=${included/yes/}
            # Words of a flag apart: --kills 12.
            # shellcheck disable=SC2086
            suite_run "${suite// /}" $included
        done 8<<<"$list"
    fi
    again_all
    if [[ -s $FAILURES ]]; then
        say "== what failed, once more"
        cat "$FAILURES"
    fi
    say "took $(elapsed "$began")"
    if ((UNSTEADY > UNSTEADY_MAX)); then
        say "$UNSTEADY unsteady ones are too many for chance: they count as failed"
        ((FAILED += UNSTEADY))
    fi
    say "$UNSTEADY unsteady"
    say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
    ((FAILED == 0 && PASSED + UNSTEADY > 0)) || exit 1
}

# suite_run WORD ARGUMENTS...: a suite that cannot even begin counts as one failure, and the next
# ones still run.
suite_run() {
    local suite=$1 began=$SECONDS passed=$PASSED failed=$FAILED skipped=$SKIPPED status=0
    shift
    say "== $suite"
    SUITE=$suite
    COUNTS=$(mktemp "$RUN/counts.XXXXXX")
    # A subshell of its own, with set -e alive in it (in a condition it would not be).
    set +e
    trap - ERR
    (
        set -e
        trap 'suite_cleanup' EXIT
        trap 'exit 130' INT TERM
        "suite_$suite" "$@"
    )
    status=$?
    set -e
    local p f s
    while read -r p f s; do
        ((PASSED += p, FAILED += f, SKIPPED += s)) || true
    done <"$COUNTS"
    rm -f "$COUNTS"
    if ((status != 0 && FAILED == failed)); then
        ((++FAILED))
        say_failed "  $suite did not come to its end (status $status)"
    elif ((PASSED == passed && FAILED == failed && SKIPPED == skipped)); then
        ((++FAILED))
        say_failed "  $suite ran no test at all"
    fi
    say "   $suite: $((PASSED - passed)) passed, $((FAILED - failed)) failed," \
        "$((SKIPPED - skipped)) skipped ($(elapsed "$began"))"
    ((status != 130)) || exit 130
}

suite_cleanup() {
    [[ -z ${SCRATCH:-} ]] || scratch_remove "$SCRATCH"
}

count() {
    echo "$1 $2 $3" >>"$COUNTS"
}

# Said now, and once more at the end of all suites: nobody looks for it in a thousand lines.
say_failed() {
    say "$@" | tee -a "${FAILURES:-/dev/null}"
}

# ---- once more, alone --------------------------------------------------------------------------

# Each note of a failed test (tests/e2e/again.py) that its suite left in NOTES; the suite counted it as failed.
again_all() {
    local note ran=0
    for note in "$NOTES"/*/*; do
        [[ -e $note ]] || continue
        ((++ran > 1)) || say "== once more, alone: what failed among whole meshes"
        if ((ran <= AGAIN_MAX)); then
            again_one "$note"
        else
            say_failed "  ${note##*/}: not run once more, for so many others failed"
            sed 1d "$note" >>"$FAILURES"
        fi
    done
}

again_one() {
    local note=$1 name=${1##*/} out=$RUN/results/again.out command
    IFS= read -r command <"$note"
    # It is quoted for a shell.
    if (eval "env -u FAILURES $command") >"$out" 2>&1 </dev/null; then
        ((FAILED -= 1, ++UNSTEADY))
        say "  unsteady: $name"
        sed 1d "$note"
    else
        say_failed "  $name: FAILED twice. At first:"
        sed 1d "$note" | tee -a "$FAILURES"
        say_failed "  $name, alone:"
        tail -n 200 "$out" | sed 's/^/    /' | tee -a "$FAILURES"
    fi
}

# ---- C programs --------------------------------------------------------------------------------

# checks_run TREE FILTER...: the test programs that ctest lists under FILTER, several at a time.
checks_run() {
    local tree=$1 results program
    shift
    results=.run/results/$tree
    mkdir -p "$results"
    # "1: Test command: /path/test_x" is followed by "  Test #1: test_x".
    ctest --test-dir "$tree" -N -V "$@" | sed -nE 's/^[0-9]+: Test command: "?([^" ]*)"?.*/\1/p' |
        long_first >"$results/list"
    rm -f "$results"/*.out
    export -f check_program check_count count say say_failed
    export COUNTS RESULTS=$results
    xargs -r -P "$((2 * $(nproc)))" -I{} bash -c 'check_program {} 2>/dev/null' <"$results/list" || true
    while read -r program; do
        [[ -e $results/${program##*/}.out ]] || {
            count 0 1 0
            say_failed "  ${program##*/}: FAILED, it was not run"
        }
    done <"$results/list"
}

# Most wait more than they work, so two run for each processor; those that wait for long begin first.
long_first() {
    awk '/alerts_shard|kafka_consumer|provider_(broken|thread)|pg_frozen|batch_lost/ { print; next } { rest = rest $0 ORS } END { printf "%s", rest }'
}

# CHECK_WRAPPER: what to run it under. Check's own 4 seconds for a test are few where a disk stands
# still for some of them.
check_program() {
    local out=$RESULTS/${1##*/}.out status=0
    export CK_DEFAULT_TIMEOUT=120
    # shellcheck disable=SC2086
    (cd "$(dirname "$1")" && timeout --kill-after=10 600 ${CHECK_WRAPPER:-} "$1") \
        >"$PWD/$out" 2>&1 </dev/null || status=$?
    check_count "${1##*/}" "$out" "$status"
}

# One line for a program that passed; its output too when it did not. A test that could not run says
# so by a line "skipped: WHY", and Check counts it as passed.
check_count() {
    local name=$1 out=$2 status=$3 totals checks bad skipped
    totals=$(grep -aoE '[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+' "$out" |
        awk -F'[:, ]+' '{ c += $3; b += $5 + $7 } END { if (NR) print c, b }')
    read -r checks bad <<<"${totals:-0 0}"
    # A program that fails without saying so (a crash, a leak) is one failure more.
    if ((status != 0 && bad == 0 || checks == 0)); then
        ((bad += 1, checks += 1))
    fi
    skipped=$(grep -ac '^skipped: ' "$out") || true
    count $((checks - bad - skipped)) "$bad" "$skipped"
    if ((bad == 0)); then
        say "  $name: $((checks - skipped)) passed ($SECONDS s)"
        grep -a '^skipped: ' "$out" | sed "s/^/  $name: /" || true
    else
        say_failed "  $name: $bad of $checks FAILED, exit status $status ($SECONDS s)
$(tail -n 200 "$out" | sed 's/^/    /')"
    fi
}

suite_runner() {
    python_run ../runner/test_runner.py
}

suite_format() {
    packages_need $PACKAGES_FORMAT
    local file bad=0 total=0
    for file in $(c_files); do
        ((++total))
        if ! clang-format-14 --dry-run --Werror "$file" >/dev/null 2>&1; then
            ((++bad))
            say_failed "  $file is not as clang-format leaves it"
        fi
    done
    count $((total - bad)) "$bad" 0
    ((bad == 0)) || say "  ./dev format mends this"
}

# The tables are many and small: a process for each row would take longer than all of them. A crash
# ends its program, and counts. What must crash to pass has the label "forks".
suite_unit() {
    build_tree build
    local TIMEFORMAT='  -- all tables: %R s, of CPU %U s and %S s of the system'
    { time CK_FORK=no checks_run build -L '^unit$' -LE '^forks$'; } 2>&1
    checks_run build -L '^forks$'
    say "  -- models, which try all orders of things"
    checks_run build -L '^model$'
}

suite_tidy() {
    packages_need python3
    build_tree build
    python_run ../tidy.py build
    python_run ../schema/test_schema.py build
}

suite_wire() {
    build_tree build
    checks_run build -L '^wire$'
}

# A PostgreSQL for one run of tests; they make databases in it. What is killed here is a process and
# not the machine: so nothing waits for the disk, and a slow one fails no test.
test_postgres() {
    packages_need $PACKAGES_RUN
    local self=$BASHPID POSTGRES_FSYNC=off
    SCRATCH=$(scratch_new "$self")
    postgres_start "$SCRATCH/pg"
    MESH_TEST_PG="$(postgres_conninfo "$SCRATCH/pg") dbname=postgres"
    export MESH_TEST_PG
}

suite_store() {
    build_tree build
    test_postgres
    checks_run build -L '^store$'
}

suite_asan() {
    build_tree build-asan -DMESH_SANITIZE=address,undefined
    test_postgres
    export CK_FORK=no CK_TIMEOUT_MULTIPLIER=10
    checks_run build-asan -L '^(unit|model|store)$'
    e2e_prepare
    MESH_BUILD=build-asan python_run run.py stories "${@:---brief}"
}

suite_fuzz() {
    fuzz_run "$@"
}

# libgrpc is built without ThreadSanitizer, so only what does without it.
suite_tsan() {
    build_tree build-tsan -DMESH_LIBRARY_ONLY=ON -DMESH_SANITIZE=thread
    test_postgres
    export CK_FORK=no CK_TIMEOUT_MULTIPLIER=10
    # ThreadSanitizer knows fewer layouts of memory than the kernel makes up.
    if setarch -R true 2>/dev/null; then
        export CHECK_WRAPPER='setarch -R'
    fi
    checks_run build-tsan -R '^test_(base_queue|observe_(metrics|span)|http_server|store_batch|store_reader|engine)'
}

# ---- whole meshes, in Python -------------------------------------------------------------------

# python_run FILE ARGUMENTS...: the last line "N passed, N failed, N skipped" is counted.
python_run() {
    local out=$RUN/results/${1##*/}.out notes=$NOTES/$SUITE status=0 told
    mkdir -p "$(dirname "$out")" "$notes"
    [[ -e tests/e2e/$1 ]] || die "tests/e2e/$1 is missing."
    told=$(stat -c %s "$FAILURES")
    # Debian's own psql is a Perl script before the real one, and meshes are looked at very often.
    AGAIN=$notes PATH=$(postgres_newest):$PATH \
        /usr/bin/python3 -B -u "tests/e2e/$1" "${@:2}" 2>&1 </dev/null | tee "$out" | sed -u 's/^/  /' ||
        status=$?
    # Failures are told test by test, and noted, unless it came to no test.
    if ((status != 0 && told == $(stat -c %s "$FAILURES"))) && [[ -z $(ls "$notes") ]]; then
        tail -n 100 "$out" | sed 's/^/  /' >>"$FAILURES"
    fi
    counts_of "$out" "$status"
}

# counts_of FILE STATUS: counts the last "N passed, N failed, N skipped" in the output of a runner
# that ended with STATUS; a runner without such a line did not come to its end.
counts_of() {
    local totals passed failed skipped
    totals=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$1" | tail -n 1 |
        tr -c '0-9\n' ' ')
    [[ -n $totals ]] || return 1
    read -r passed failed skipped <<<"$totals"
    if (($2 != 0 && failed == 0)); then
        failed=1
    fi
    count "$passed" "$failed" "${skipped:-0}"
}

e2e_prepare() {
    packages_need $PACKAGES_BUILD $PACKAGES_RUN $PACKAGES_E2E
    build_tree build
    python_stubs
}

# Messages and stubs for Python, made by protoc, made again when a proto is newer.
python_stubs() {
    local mark=build/py/made
    if [[ ! -e $mark || -n $(find proto -name '*.proto' -newer "$mark") ]]; then
        rm -rf build/py
        mkdir -p build/py
        find proto -name '*.proto' -not -path 'proto/third_party/*' -printf '%P\n' |
            protoc_python -I proto -I proto/third_party
        find proto/third_party -name '*.proto' -printf '%P\n' | protoc_python -I proto/third_party
        : >"$mark"
    fi
}

protoc_python() {
    xargs protoc "$@" --python_out=build/py --grpc_python_out=build/py \
        --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)"
}

suite_stories() {
    e2e_prepare
    python_run run.py stories "$@"
}

suite_interop() {
    e2e_prepare
    python_run run.py interop "$@"
}

suite_eyes() {
    e2e_prepare
    prometheus_fetch
    python_run run.py eyes "$@"
}

suite_chart() {
    packages_need binutils python3-yaml python3-jsonschema $PACKAGES_BUILD $PACKAGES_RUN
    build_tree build
    python_run ../chart/test_image.py
    python_run ../chart/test_packaging.py
    if (chart_fetch); then
        python_run ../chart/test_chart.py "$CHART_DIRECTORY"
    else
        say "  npm or pip cannot reach its registry: the chart is not tested"
        count 0 0 1
    fi
}

suite_k8s() {
    if [[ -z ${KUBECONFIG:-} ]]; then
        say "  KUBECONFIG names no cluster: the chart is not installed anywhere"
        count 0 0 1
        return
    fi
    if [[ -z ${MESH_K8S_LOAD:-}${MESH_K8S_IMAGE:-} ]]; then
        say "  neither MESH_K8S_LOAD nor MESH_K8S_IMAGE says where the cluster gets sagamesh's image from (dev.d/k8s.sh)"
        count 0 0 1
        return
    fi
    packages_need python3-yaml $PACKAGES_BUILD $PACKAGES_RUN
    if ! command -v kubectl >/dev/null || ! command -v helm >/dev/null; then
        (chart_fetch) || die "there is no kubectl or no helm here, and npm cannot reach its registry."
    fi
    build_tree build
    [[ -z ${MESH_K8S_LOAD:-} ]] || k8s_images || die "the images are not in the cluster."
    python_run ../k8s/test_k8s.py "$CHART_DIRECTORY" build "$@"
}

suite_kafka() {
    e2e_prepare
    if ! (kafka_fetch); then
        say "  Maven Central cannot be reached: the news is tested on sandbox-broker alone, by the stories"
        count 0 0 1
        return
    fi
    build_tree build-crash -DMESH_CRASH_POINTS=ON
    python_run run.py kafka "$@"
}

suite_kill() {
    e2e_prepare
    build_tree build-crash -DMESH_CRASH_POINTS=ON
    python_run kill.py "$@"
}

# ---- benchmark ---------------------------------------------------------------------------------

word_bench() {
    local what=${1:-}
    [[ $what == orders || $what == http || $what == alerts ]] ||
        die "what to measure?" "./dev bench orders|http [--seconds N] [--json]; ./dev bench orders --traces: what traces cost; --replicas, --tls: what replicas and TLS do" \
            "./dev bench alerts [--orders N] [--json]"
    shift
    if [[ $what == orders && ${1:-} == --traces ]]; then
        exec python3 -B "$ROOT/dev.d/bench_traces.py" "${@:2}"
    fi
    if [[ $what == orders && ${1:-} == --replicas ]]; then
        exec python3 -B "$ROOT/dev.d/bench_replicas.py" "${@:2}"
    fi
    if [[ $what == orders && ${1:-} == --tls ]]; then
        exec python3 -B "$ROOT/dev.d/bench_tls.py" "${@:2}"
    fi
    run_open
    state_open
    packages_need $PACKAGES_BUILD $PACKAGES_RUN >&2
    build_tree build >&2
    [[ -x build/bench-$what ]] || die "build/bench-$what was not built."
    # A thousand connections for bff, where the usual limit is about that many files.
    [[ $(ulimit -S -n) =~ ^[0-9]{1,3}$|^[1-3][0-9]{3}$ ]] && ulimit -S -n 4096 2>/dev/null || true
    trap suite_cleanup EXIT
    trap 'exit 130' INT TERM
    SCRATCH=$(scratch_new)
    if [[ $what == alerts ]]; then
        bench_alerts "$@"
        return
    fi
    mesh_use "$SCRATCH" "$SCRATCH/pids"
    # Orders are measured without alerts-svc, which has a benchmark of its own.
    export MESH_WITHOUT=alerts
    # Orders that are paid at the provider are measured, not how often it may be asked.
    mesh_start 5000 >&2
    local arguments
    readarray -t arguments < <(programs services)
    "bench_$what"
    "build/bench-$what" "${arguments[@]}" --programs="$(programs processes)" \
        --postgres="$(postgres_conninfo "$SCRATCH/pg")" \
        --postgres-pid="$(record_pid "$(postgres_record "$SCRATCH/pg")")" "$@"
}

# No mesh: a database, and a broker: sandbox-broker, or an empty Apache Kafka that MESH_KAFKA names.
bench_alerts() {
    local kafka=${MESH_KAFKA:-}
    mkdir -p "$SCRATCH/pids"
    postgres_start "$SCRATCH/pg" >&2
    psql -X -q -d "$(postgres_conninfo "$SCRATCH/pg") dbname=postgres" -c 'CREATE DATABASE alerts'
    build/alerts-svc --migrate=expand --database="$(postgres_conninfo "$SCRATCH/pg") dbname=alerts" 2>/dev/null
    if [[ -z $kafka ]]; then
        daemon_start "$SCRATCH/pids/broker" "$SCRATCH/broker.log" broker build/sandbox-broker \
            --ready-file="$SCRATCH/broker.port"
        until [[ -e $SCRATCH/broker.port ]]; do
            record_pid "$SCRATCH/pids/broker" >/dev/null || die "the broker ended as it started."
            sleep 0.1
        done
        kafka=127.0.0.1:$(cat "$SCRATCH/broker.port")
    fi
    build/bench-alerts --postgres="$(postgres_conninfo "$SCRATCH/pg") dbname=alerts" \
        --kafka="$kafka" "$@"
}

# What a benchmark needs besides a mesh; they add to the caller's arguments.
bench_orders() {
    # The floor writes the same rows into databases of its own.
    programs databases "$(postgres_conninfo "$SCRATCH/pg")" floor_ >&2
}

bench_http() {
    (umask 077 && build/bff-token --jwks="$SCRATCH/secrets/jwks.json" --operator >"$SCRATCH/token")
    arguments+=(--bff="$(program_address bff)" --webhook="$(program_address webhook)"
        --token-file="$SCRATCH/token" --webhook-secret="$SCRATCH/secrets/webhook-secret")
}
