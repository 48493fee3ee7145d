suite_bare() {
    die "not yet"
}
