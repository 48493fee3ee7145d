# k8s.sh -- ./dev test k8s: the chart on the cluster that KUBECONFIG names.
#
# Where the images come from: MESH_K8S_LOAD is a command that takes an archive's path as its last word and puts the image
# on the nodes ("kind load image-archive", "minikube image load"); then ours is made by ./dev image, and PostgreSQL's by
# tests/k8s/postgres_image.py. Without it the cluster pulls them, and MESH_K8S_IMAGE=[REGISTRY/]REPOSITORY:TAG names ours.

K8S_DIRECTORY=$RUN/k8s

# k8s_images: makes and loads them, and says their names to the test.
k8s_images() {
    local archive version sources
    (word_image "$K8S_DIRECTORY/image") || return 1
    archive=$(echo "$K8S_DIRECTORY"/image/*.oci.tar)
    k8s_load "$archive" || return 1
    version=${archive##*/sagamesh-}
    export MESH_K8S_IMAGE=sagamesh:${version%-*}
    [[ -z ${MESH_K8S_POSTGRES:-} ]] || return 0
    export MESH_K8S_POSTGRES=localhost/sagamesh-test/postgres:15
    archive=$K8S_DIRECTORY/postgres.tar
    if [[ ! -e $archive ]]; then
        readarray -t sources < <(bare_sources)
        long_work "making an image of PostgreSQL" "$RUN/log/k8s-postgres.log" \
            python3 -B tests/k8s/postgres_image.py "$archive.new" "$MESH_K8S_POSTGRES" "${sources[@]}" || return 1
        mv "$archive.new" "$archive"
    fi
    k8s_load "$archive"
}

k8s_load() {
    # The command's words are words.
    # shellcheck disable=SC2086
    long_work "loading ${1##*/} into the cluster" "$RUN/log/k8s-load.log" $MESH_K8S_LOAD "$1"
}
