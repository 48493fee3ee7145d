{{- define "sagamesh.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "sagamesh.fullname" -}}
{{- $name := include "sagamesh.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* (list $ COMPONENT): the labels by which a Service, a policy or a budget finds its pods; they never change. */}}
{{- define "sagamesh.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ include "sagamesh.name" $top }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* (list $ COMPONENT): the labels of an object. */}}
{{- define "sagamesh.labels" -}}
{{- $top := index . 0 -}}
{{ include "sagamesh.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sagamesh
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" }}
{{- with $top.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sagamesh.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "sagamesh.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "sagamesh.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "sagamesh.brokers" -}}
{{- if not .Values.bundled.enabled -}}
{{ .Values.kafka.brokers }}
{{- else if .Values.bundled.kafka.enabled -}}
{{ include "sagamesh.fullname" . }}-kafka:9092
{{- end }}
{{- end }}

{{/* The programs that are enabled, by name, each with its name and all its flags: what all templates go by. */}}
{{- define "sagamesh.programs" -}}
{{- $programs := dict -}}
{{- range $name, $program := .Values.programs -}}
{{- if dig "enabled" true $program -}}
{{- $flags := concat $program.flags $.Values.extraFlags (default list $program.extraFlags) -}}
{{- $_ := set $programs $name (merge (dict "name" $name "flags" $flags) $program) -}}
{{- end -}}
{{- end -}}
{{- /* The sandbox's provider keeps its books in the one pod of account-svc, which speaks plain HTTP on loopback alone: the
books go with the pod, but orders that wallets pay find the next pod before this one ends. */ -}}
{{- if .Values.bundled.enabled -}}
{{- $_ := set $programs "account" (mergeOverwrite $programs.account (dict "replicas" 1 "autoscaling" false)) -}}
{{- end -}}
{{ toJson $programs }}
{{- end }}

{{/* (list $ TEXT): a flag with its places filled in. */}}
{{- define "sagamesh.flag" -}}
{{- $top := index . 0 -}}
{{- $flag := index . 1 -}}
{{- /* A client looks up all replicas of a headless Service by itself; clocks are compared with any of them. */ -}}
{{- $dns := ternary "" "dns:///" (hasPrefix "--peers=" $flag) -}}
{{- range $name, $program := include "sagamesh.programs" $top | fromJson -}}
{{- $address := printf "%s%s-%s:%v" $dns (include "sagamesh.fullname" $top) $name $top.Values.ports.grpc -}}
{{- $flag = replace (printf "{%s}" $name) $address $flag -}}
{{- $inner := printf "%s%s-%s:%v" $dns (include "sagamesh.fullname" $top) $name $top.Values.ports.inner -}}
{{- $flag = replace (printf "{%s-inner}" $name) $inner $flag -}}
{{- end -}}
{{- $flag = replace "{kafka}" (include "sagamesh.brokers" $top) $flag -}}
{{- $flag = replace "{secrets}" "/etc/sagamesh/secrets" $flag -}}
{{- $flag = replace "{share}" "/usr/share/sagamesh" $flag -}}
{{ $flag }}
{{- end }}

{{/* PROGRAM: the names in the braces of its flags, as JSON. */}}
{{- define "sagamesh.called" -}}
{{ regexFindAll "\\{[a-z-]+\\}" (join " " .flags) -1 | uniq | toJson }}
{{- end }}

{{/* (list $ PROGRAM): where its database is: what it says itself of `postgresql`, else the chart's value. */}}
{{- define "sagamesh.postgresql" -}}
{{- $top := index . 0 -}}
{{- $program := index . 1 -}}
{{- $found := mergeOverwrite (deepCopy $top.Values.postgresql) (default dict $program.postgresql) -}}
{{- if $top.Values.bundled.enabled -}}
{{- $name := include "sagamesh.fullname" $top -}}
{{- $found = dict "host" (printf "%s-postgresql" $name) "port" 5432 "user" "sagamesh" "sslMode" "disable" "existingSecret" (printf "%s-sandbox" $name) "passwordKey" "postgresql-password" "caSecret" "" -}}
{{- end -}}
{{ toJson $found }}
{{- end }}

{{- define "sagamesh.conninfo" -}}
{{- $found := include "sagamesh.postgresql" . | fromJson -}}
host={{ $found.host }} port={{ $found.port }} user={{ $found.user }} dbname={{ (index . 1).database }} sslmode={{ $found.sslMode }}
{{- if $found.caSecret }} sslrootcert=/etc/sagamesh/postgresql/ca.crt
{{- else if hasPrefix "verify" $found.sslMode }} sslrootcert=/etc/ssl/certs/ca-certificates.crt
{{- end }}
{{- end }}

{{- define "sagamesh.password" -}}
{{- $found := include "sagamesh.postgresql" . | fromJson -}}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ $found.existingSecret }}, key: {{ $found.passwordKey }}}}
{{- end }}

{{/* (list $ PROGRAM): the name of the secret at {secrets}; empty: it has none. */}}
{{- define "sagamesh.secret" -}}
{{- $top := index . 0 -}}
{{- $program := index . 1 -}}
{{- if $program.secret -}}
{{ $program.secret }}
{{- else if and $top.Values.bundled.enabled (contains "{secrets}" (join " " $program.flags)) -}}
{{ include "sagamesh.fullname" $top }}-sandbox
{{- end }}
{{- end }}

{{/* (list $ BINARY): the Secret with its certificate. */}}
{{- define "sagamesh.certificate" -}}
{{- $top := index . 0 -}}
{{ default (printf "%s-tls" (include "sagamesh.fullname" $top)) $top.Values.tls.existingSecrets }}-{{ index . 1 }}
{{- end }}

{{/* Where it is, for a program and for a sagactl that is run beside it: flags that are not given are read from here. */}}
{{- define "sagamesh.tlsEnv" -}}
{{- range $flag, $file := dict "CERT" "tls.crt" "KEY" "tls.key" "CA" "ca.crt" }}
- {name: MESH_TLS_{{ $flag }}, value: /etc/sagamesh/tls/{{ $file }}}
{{- end }}
{{- end }}

{{/* (list $ PROGRAM): how it gets into Kafka: its flags, and the files that these name as sources of a volume, as JSON. */}}
{{- define "sagamesh.kafkaAccess" -}}
{{- $top := index . 0 -}}
{{- $kafka := $top.Values.kafka -}}
{{- $flags := list -}}
{{- $sources := list -}}
{{- if and (not $top.Values.bundled.enabled) $kafka.brokers (has "{kafka}" (include "sagamesh.called" (index . 1) | fromJsonArray)) -}}
{{- if $kafka.tls.enabled -}}
{{- $flags = append $flags (printf "--kafka-tls-ca=%s" (ternary "/etc/sagamesh/kafka/ca.crt" "system" (ne $kafka.tls.caSecret ""))) -}}
{{- end -}}
{{- with $kafka.tls.caSecret -}}
{{- $sources = append $sources (dict "secret" (dict "name" . "items" (list (dict "key" "ca.crt" "path" "ca.crt")))) -}}
{{- end -}}
{{- with $kafka.tls.certSecret -}}
{{- $flags = concat $flags (list "--kafka-tls-cert=/etc/sagamesh/kafka/tls.crt" "--kafka-tls-key=/etc/sagamesh/kafka/tls.key") -}}
{{- $items := list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key") -}}
{{- $sources = append $sources (dict "secret" (dict "name" . "items" $items)) -}}
{{- end -}}
{{- with $kafka.sasl.mechanism -}}
{{- $flags = concat $flags (list (printf "--kafka-sasl-mechanism=%s" .) (printf "--kafka-user=%s" $kafka.sasl.user) "--kafka-password-file=/etc/sagamesh/kafka/password") -}}
{{- $items := list (dict "key" $kafka.sasl.passwordKey "path" "password") -}}
{{- $sources = append $sources (dict "secret" (dict "name" $kafka.sasl.existingSecret "items" $items)) -}}
{{- end -}}
{{- end -}}
{{ dict "flags" $flags "sources" $sources | toJson }}
{{- end }}

{{/* What the `restricted` Pod Security Standard asks of a pod, and of a container. */}}
{{- define "sagamesh.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "sagamesh.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "sagamesh.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What would not work is refused before anything is installed, all of it at once. */}}
{{- define "sagamesh.refuse" -}}
{{- $wrong := list -}}
{{- range $name, $program := include "sagamesh.programs" . | fromJson -}}
{{- range include "sagamesh.called" $program | fromJsonArray -}}
{{- $called := trimAll "{}" . | trimSuffix "-inner" -}}
{{- if has $called (list "kafka" "secrets" "share") -}}
{{- else if not (hasKey $.Values.programs $called) -}}
{{- $wrong = append $wrong (printf "programs.%s.flags: {%s} is no place that there is" $name $called) -}}
{{- else if and (hasSuffix "-inner}" .) (not (dig $called "inner" false $.Values.programs)) -}}
{{- $wrong = append $wrong (printf "programs.%s.flags: %s, and programs.%s has no inner port" $name . $called) -}}
{{- else if not (dig $called "enabled" true $.Values.programs) -}}
{{- $wrong = append $wrong (printf "programs.%s.enabled: false, and a flag of programs.%s names it" $called $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $kafka := .Values.kafka -}}
{{- if and $kafka.sasl.mechanism (or (not $kafka.sasl.user) (not $kafka.sasl.existingSecret)) -}}
{{- $wrong = append $wrong "kafka.sasl: a mechanism needs user and existingSecret" -}}
{{- end -}}
{{- if and (or (eq $kafka.sasl.mechanism "PLAIN") $kafka.tls.caSecret $kafka.tls.certSecret) (not $kafka.tls.enabled) -}}
{{- $wrong = append $wrong "kafka.tls.enabled: false, and PLAIN or a Secret of kafka.tls needs it" -}}
{{- end -}}
{{- if and .Values.bundled.enabled .Values.bff.httpsSecret -}}
{{- $wrong = append $wrong "bff.httpsSecret: the provider of bundled.enabled sends its webhooks over plain HTTP" -}}
{{- end -}}
{{- if not .Values.bundled.enabled -}}
{{- range $name, $program := include "sagamesh.programs" . | fromJson -}}
{{- if $program.database -}}
{{- $found := include "sagamesh.postgresql" (list $ $program) | fromJson -}}
{{- if not $found.host -}}
{{- $wrong = append $wrong (printf "postgresql.host: empty, and programs.%s needs a database" $name) -}}
{{- end -}}
{{- if not $found.existingSecret -}}
{{- $wrong = append $wrong (printf "postgresql.existingSecret: empty, and programs.%s needs a password" $name) -}}
{{- end -}}
{{- end -}}
{{- if and (contains "{secrets}" (join " " $program.flags)) (not $program.secret) -}}
{{- $wrong = append $wrong (printf "programs.%s.secret: empty, and a flag names a file of it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nsagamesh cannot be installed so:\n  %s\nTo try it out: --set bundled.enabled=true\n" (join "\n  " $wrong)) -}}
{{- end -}}
{{- end }}
