# k8s.sh -- ./dev test k8s: the chart on the cluster that KUBECONFIG names.
#
# Where the images come from: MESH_K8S_LOAD is a command that takes an archive's path as its last word and puts the image
# on the nodes ("kind load image-archive", "minikube image load"); then ours is made by ./dev image, and tests/k8s/stand_in.py makes
# PostgreSQL's and Kafka's. Without it the cluster pulls them, and MESH_K8S_IMAGE=[REGISTRY/]REPOSITORY:TAG names ours.

K8S_DIRECTORY=$RUN/k8s

# k8s_images: makes and loads them, and says their names to the test.
k8s_images() {
    local archive version
    (word_image "$K8S_DIRECTORY/image") || return 1
    archive=$(echo "$K8S_DIRECTORY"/image/*.oci.tar)
    k8s_load "$archive" || return 1
    version=${archive##*/sagamesh-}
    export MESH_K8S_IMAGE=sagamesh:${version%-*}
    if [[ -z ${MESH_K8S_POSTGRES:-} ]]; then
        export MESH_K8S_POSTGRES=localhost/sagamesh-test/postgres:15
        k8s_stand_in postgres "$MESH_K8S_POSTGRES" || return 1
    fi
    [[ -z ${MESH_K8S_KAFKA+told} ]] || return 0
    if (kafka_fetch); then
        export MESH_K8S_KAFKA=localhost/sagamesh-test/kafka:4
        k8s_stand_in kafka "$MESH_K8S_KAFKA" "$KAFKA_DIRECTORY/lib"
    else
        say "  Maven Central cannot be reached: the bundled set is tested without Kafka"
        export MESH_K8S_KAFKA=
    fi
}

# k8s_stand_in KIND NAME ARGUMENTS...: an image of another program, made once.
k8s_stand_in() {
    local archive=$K8S_DIRECTORY/$1.tar sources
    if [[ ! -e $archive ]]; then
        readarray -t sources < <(bare_sources)
        long_work "making an image of $1" "$RUN/log/k8s-$1.log" \
            python3 -B tests/k8s/stand_in.py "$1" "$archive.new" "${@:2}" "${sources[@]}" || return 1
        mv "$archive.new" "$archive"
    fi
    k8s_load "$archive"
}

k8s_load() {
    # The command's words are words.
    # shellcheck disable=SC2086
    long_work "loading ${1##*/} into the cluster" "$RUN/log/k8s-load.log" $MESH_K8S_LOAD "$1"
}
