# upgrade.sh -- ./dev test upgrade [--from COMMIT]: programs of an earlier commit, replaced one by one under orders.
#
# What is earlier: the commit that is checked out while files differ from it, else the one before it. Its tree and its
# programs lie in .run/upgrade, for as long as it is the same commit.

UPGRADE_TARGETS='storage-svc account-svc saga-svc order-svc alerts-svc bff sagactl'

suite_upgrade() {
    local from=${2:-} directory=$RUN/upgrade
    [[ $# -eq 0 || $# -eq 2 && $1 == --from ]] || die "upgrade takes --from COMMIT, and not '$*'."
    from=$(upgrade_commit "$from") || {
        [[ $# -eq 0 ]] || die "there is no commit '$2' here."
        say "  this copy has no history, or that of one commit: there is nothing to upgrade from"
        count 0 0 1
        return
    }
    e2e_prepare
    upgrade_tree "$directory" "$from"
    upgrade_build "$directory"
    say "  from $(git -C "$ROOT" log -1 --format='%h "%s"' "$from")"
    export MESH_UPGRADE_FROM=$directory/tree
    python_run run.py upgrade
}

# upgrade_commit [WHICH]: its name, in full.
upgrade_commit() {
    local which=${1:-HEAD^1}
    if [[ -z ${1:-} && -n $(git -C "$ROOT" status --porcelain --untracked-files=no 2>/dev/null) ]]; then
        which=HEAD
    fi
    git -C "$ROOT" rev-parse --verify --quiet "$which^{commit}" 2>/dev/null
}

# The files alone: a work tree of git would be known to the checkout. Their time is the commit's, by which ninja could not
# tell a change from another commit: so what was built goes too.
upgrade_tree() {
    [[ $(cat "$1/commit" 2>/dev/null) != "$2" ]] || return 0
    rm -rf "$1"
    mkdir -p "$1/tree"
    git -C "$ROOT" archive "$2" | tar -x -C "$1/tree"
    echo "$2" >"$1/commit"
}

# By its own CMakeLists.txt; through ccache where that is there, for most files are those of this tree.
upgrade_build() {
    local tree=$1/tree launcher=()
    ! command -v ccache >/dev/null || launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
    export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$ROOT} CCACHE_NOHASHDIR=1
    if [[ ! -e $tree/build/build.ninja ]]; then
        long_work "configuring the earlier tree" "$RUN/log/cmake-upgrade.log" \
            cmake -S "$tree" -B "$tree/build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "${launcher[@]}" ||
            die "CMake could not configure $tree."
    fi
    # shellcheck disable=SC2086
    long_work "building the earlier programs" "$RUN/log/build-upgrade.log" \
        cmake --build "$tree/build" --target $UPGRADE_TARGETS || die "the earlier programs do not compile."
}
