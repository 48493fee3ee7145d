# fuzz.sh -- libFuzzer on everything that strangers send. A finding becomes a row in a test.

fuzz_targets() {
    sed -n 's/^  mesh_fuzz(\([a-z0-9_]*\) .*/\1/p' "$ROOT/CMakeLists.txt"
}

# fuzz_seeds TARGET: a folder of good inputs to begin with, if there is one.
fuzz_seeds() {
    case $1 in
    definition) echo "$ROOT/saga/definitions" ;;
    news) echo "$ROOT/tests/fuzz/seeds/news" ;;
    esac
}

# What comes from the Internet, and not from a program or an operator of ours: the long ones in CI.
FUZZ_OUTSIDE='webhook body'

# fuzz_run [TARGET] [--seconds N] [--others N]: one target, or all of them, N seconds each; with
# --others so many for those that are not of FUZZ_OUTSIDE.
fuzz_run() {
    local seconds=60 others='' wanted='' target
    while (($# > 0)); do
        case $1 in
        --seconds)
            seconds=${2:?--seconds needs a number}
            shift 2
            ;;
        --others)
            others=${2:?--others needs a number}
            shift 2
            ;;
        *)
            wanted=$1
            shift
            ;;
        esac
    done
    others=${others:-$seconds}
    [[ $seconds =~ ^[0-9]+$ ]] || die "--seconds must be a whole number, not '$seconds'."
    [[ $others =~ ^[0-9]+$ ]] || die "--others must be a whole number, not '$others'."
    packages_need $PACKAGES_BUILD $PACKAGES_FUZZ
    local targets=()
    # The long ones first: so the two at a time end together.
    for target in $FUZZ_OUTSIDE $(fuzz_targets | grep -vxF "${FUZZ_OUTSIDE// /$'\n'}"); do
        [[ -z $wanted || $wanted == "$target" ]] && targets+=("$target")
    done
    ((${#targets[@]} > 0)) || die "there is no target '$wanted'." "There are: $(fuzz_targets | tr '\n' ' ')"
    BUILD_TARGETS="${targets[*]/#/fuzz_}" CC=clang build_tree build-fuzz -DMESH_FUZZ=ON
    # Two at a time: a fuzzer uses one core.
    local failed=0 running=0
    for target in "${targets[@]}"; do
        if [[ " $FUZZ_OUTSIDE " == *" $target "* ]]; then
            fuzz_one "$target" "$seconds" &
        else
            fuzz_one "$target" "$others" &
        fi
        if ((++running == 2)); then
            wait -n || ((++failed))
            ((--running)) || true
        fi
    done
    while ((running > 0)); do
        wait -n || ((++failed))
        ((--running)) || true
    done
    ((failed == 0))
}

fuzz_one() {
    local target=$1 seconds=$2
    mkdir -p "$RUN/fuzz/$target"
    if long_work "fuzzing $target for $seconds s" "$RUN/log/fuzz-$target.log" \
        build-fuzz/fuzz_"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$RUN/fuzz/$target-" "$RUN/fuzz/$target" $(fuzz_seeds "$target"); then
        count 1 0 0
        return
    fi
    count 0 1 0
    say_failed "  fuzz_$target failed: the input that did it is $RUN/fuzz/$target-*: make it a row of a test"
    return 1
}

word_fuzz() {
    run_open
    COUNTS=/dev/null
    fuzz_run "$@"
}
