# deb.sh -- ./dev deb: the Debian package, built by Debian's own tools and looked at by lintian.
#
# packaging/debian is the package's debian/, which its tools want at a source's top: so it is built in a copy.

PACKAGES_DEB='dpkg-dev debhelper help2man lintian'

# ./dev deb [DIRECTORY]: there it is then, .run/deb unless told.
word_deb() {
    local out=${1:-$RUN/deb} work self=$BASHPID began=$SECONDS
    run_open
    state_open
    packages_need $PACKAGES_BUILD $PACKAGES_DEB
    SCRATCH=$(scratch_new "$self")
    trap 'scratch_remove "$SCRATCH"' EXIT
    work=$SCRATCH/deb/sagamesh
    mkdir -p "$work" "$out"
    checkout_copy "$work"
    cp -r "$work/packaging/debian" "$work/debian"
    long_work "building the package" "$RUN/log/deb.log" deb_build "$work" || die "dpkg-buildpackage could not build it."
    (cd "$SCRATCH/deb" && lintian --fail-on error,warning --display-info sagamesh_*.changes) ||
        die "lintian does not like the package."
    mv "$SCRATCH/deb"/*.deb "$out"
    say "  $(ls -d "$out"/sagamesh_*.deb), and lintian has nothing to say"
    say "took $(elapsed "$began")"
}

deb_build() {
    cd "$1" && dpkg-buildpackage -us -uc -b
}
