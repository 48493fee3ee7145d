# build.sh -- compiling, formatting, linting, cleaning.

# build_tree DIRECTORY CMAKE_FLAG...: configures when it must, builds what has changed.
build_tree() {
    local tree=$ROOT/$1
    shift
    packages_need $PACKAGES_BUILD
    [[ ! -e $tree || -O $tree ]] ||
        die "$tree belongs to $(stat -c %U "$tree"), and you are $(id -un)." "Remove it as that user."
    # CMake remembers where it was; a copied checkout begins anew.
    if [[ -e $tree/CMakeCache.txt ]] &&
        ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$ROOT" "$tree/CMakeCache.txt"; then
        rm -rf "$tree"
    fi
    if [[ ! -e $tree/build.ninja || ! -e $tree/CMakeCache.txt ]]; then
        long_work "configuring ${tree##*/}" "$RUN/log/cmake-${tree##*/}.log" \
            cmake -S "$ROOT" -B "$tree" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "$@" ||
            die "CMake could not configure $tree."
    fi
    # shellcheck disable=SC2086
    long_work "building ${tree##*/}" "$RUN/log/build-${tree##*/}.log" \
        cmake --build "$tree" ${BUILD_TARGETS:+--target $BUILD_TARGETS} ||
        die "it does not compile."
}

word_build() {
    run_open
    build_tree build
}

# Our C files and headers: what git knows, or, in a copy without git, what is there.
c_files() {
    local found
    found=$(git -C "$ROOT" ls-files --cached --others --exclude-standard '*.c' '*.h' 2>/dev/null) ||
        found=$(cd "$ROOT" && find . -name 'build*' -prune -o -name .run -prune -o \
            \( -name '*.c' -o -name '*.h' \) -print | cut -c3-)
    local file
    while read -r file; do
        [[ ! -e $file ]] || echo "$file"
    done <<<"$found"
}

word_format() {
    run_open
    packages_need $PACKAGES_FORMAT
    c_files | xargs clang-format-14 -i
    say "formatted $(c_files | wc -l) files"
}

word_lint() {
    run_open
    command -v npm >/dev/null || packages_need nodejs npm
    if [[ ! -x $RUN/npm/node_modules/.bin/buf ]]; then
        long_work "installing buf" "$RUN/log/npm.log" \
            npm install --no-audit --no-fund --prefix "$RUN/npm" @bufbuild/buf ||
            die "npm could not install @bufbuild/buf." "Its words are above; is the network there?"
    fi
    "$RUN/npm/node_modules/.bin/buf" lint || die "proto/ breaks buf's rules, see above."
    say "proto/ is clean"
}

word_clean() {
    state_lock
    programs_down
    if [[ -e $RUN/pg || -L $RUN/pg ]]; then
        postgres_remove "$RUN/pg"
    fi
    scratch_sweep
    rm -rf "$RUN" "$ROOT"/build "$ROOT"/build-*
    # Another user's leftovers are theirs to remove.
    rm -rf "$STATE"
    say "clean"
}

word_id() {
    [[ -x build/sagactl ]] || word_build >&2
    exec build/sagactl id "$@"
}
