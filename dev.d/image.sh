# image.sh -- ./dev image: the container image, made without a container engine.
#
# A Debian 12 is made in a directory by mmdebstrap with IMAGE_PACKAGES. k8s/image/image.py takes from it what our
# programs load, adds the programs, and writes an OCI archive and its SBOM. k8s/Containerfile does the same inside a
# container engine: the same packages, the same flags of CMake, the same image.py.

# What the programs are linked to, psql for the schemas, whom to trust, and clocks of other places.
IMAGE_PACKAGES='ca-certificates libc-ares2 libcjose0 libcurl4 libgrpc29 libjansson4 libpq5 libprotobuf-c1 librdkafka1 libssl3
    postgresql-client-15 zlib1g'
# Without debug information and without the folder in which it was built (a compiler cache names files from the build's),
# so that two checkouts build the same bytes.
IMAGE_FLAGS=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2)
IMAGE_TARGETS='order-svc storage-svc account-svc saga-svc alerts-svc bff sagactl bff-token sandbox-provider'

# ./dev image [DIRECTORY]: there it is then, .run/image unless told.
word_image() {
    local out=${1:-$RUN/image} work self=$BASHPID began=$SECONDS
    ((UID == 0)) || die "./dev image needs root: a root file system is root's to make." "sudo ./dev image"
    run_open
    state_open
    packages_need mmdebstrap binutils $PACKAGES_BUILD $PACKAGES_RUN
    SCRATCH=$(scratch_new "$self")
    trap 'scratch_remove "$SCRATCH"' EXIT
    work=$SCRATCH/image
    mkdir -p "$work" "$out"
    image_build
    DESTDIR=$work/programs cmake --install build-image --prefix /usr --strip >"$RUN/log/image-install.log"
    long_work "making a Debian 12 with what they load" "$RUN/log/image-mmdebstrap.log" \
        image_system "$work/system.tar" || die "mmdebstrap could not make it."
    mkdir -m 0755 "$work/system"
    tar -C "$work/system" -xf "$work/system.tar"
    rm -f "$out"/sagamesh-* "$out/digest"
    python3 -B k8s/image/image.py pack --system "$work/system" --programs "$work/programs" --build build-image \
        --out "$out"
    image_check "$work" "$out"/sagamesh-*.oci.tar
    say "took $(elapsed "$began")"
}

image_build() {
    local BUILD_TARGETS=$IMAGE_TARGETS
    build_tree build-image "${IMAGE_FLAGS[@]}" \
        "-DCMAKE_C_FLAGS=-ffile-prefix-map=$ROOT/= -ffile-prefix-map=../="
}

image_system() {
    local sources packages
    readarray -t sources < <(bare_sources)
    ((${#sources[@]} > 0)) || {
        echo "this machine has no package source of Debian 12 (bookworm)"
        return 1
    }
    packages=$(echo $IMAGE_PACKAGES | tr ' ' ',')
    mmdebstrap --variant=essential --mode=root --include="$packages" bookworm "$1" "${sources[@]}"
}

# image_check DIRECTORY ARCHIVE: its programs are run in it, with a PostgreSQL that goes with us.
image_check() {
    local POSTGRES_FSYNC=off port
    mkdir -m 0755 "$1/root"
    python3 -B k8s/image/image.py unpack "$2" "$1/root"
    postgres_start "$SCRATCH/pg"
    port=$(cat "$SCRATCH/pg/port")
    python3 -B k8s/image/check.py "$1/root" "$1/mesh" \
        "host=127.0.0.1 port=$port user=mesh password=$(cat "$SCRATCH/pg/password")" ||
        die "the image's programs do not work in it."
}
