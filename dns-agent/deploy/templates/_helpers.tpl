{{- define "crossmesh-dns-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "crossmesh-dns-agent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "crossmesh-dns-agent.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "crossmesh-dns-agent.selector" -}}
app.kubernetes.io/name: {{ include "crossmesh-dns-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "crossmesh-dns-agent.labels" -}}
{{ include "crossmesh-dns-agent.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "crossmesh-dns-agent.account" -}}
{{- default (include "crossmesh-dns-agent.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "crossmesh-dns-agent.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Another content is another ConfigMap: a running agent keeps the file that it began with. */}}
{{- define "crossmesh-dns-agent.configName" -}}
{{- printf "%s-%s" (include "crossmesh-dns-agent.fullname" .) (include "crossmesh-dns-agent.config" . | sha256sum | trunc 10) -}}
{{- end -}}

{{/* An address and a port; an IPv6 address in brackets. */}}
{{- define "crossmesh-dns-agent.socket" -}}
{{- if contains ":" .address -}}
[{{ .address }}]:{{ .port }}
{{- else -}}
{{ .address }}:{{ .port }}
{{- end -}}
{{- end -}}

{{- define "crossmesh-dns-agent.secretsNamespace" -}}
{{- default .Release.Namespace .Values.remoteSecrets.namespace -}}
{{- end -}}

{{/* The agent's configuration. */}}
{{- define "crossmesh-dns-agent.config" -}}
{{- $listen := list -}}
{{- range .Values.listen.addresses -}}
{{- $listen = append $listen (include "crossmesh-dns-agent.socket" (dict "address" . "port" $.Values.listen.port)) -}}
{{- end -}}
{{- $cluster := dict -}}
{{- range $field, $value := .Values.cluster -}}
{{- if $value -}}
{{- $_ := set $cluster $field $value -}}
{{- end -}}
{{- end -}}
{{- $catalogs := list (dict "cluster" .Values.cluster.id "inCluster" true) -}}
{{- if .Values.remoteSecrets.enabled -}}
{{- $secrets := dict "namespace" (include "crossmesh-dns-agent.secretsNamespace" .) -}}
{{- with .Values.remoteSecrets.clusters -}}
{{- $_ := set $secrets "clusters" . -}}
{{- end -}}
{{- $catalogs = append $catalogs (dict "remoteSecrets" $secrets) -}}
{{- end -}}
{{- $config := dict
      "schema" "crossmesh-dns/v1"
      "listen" $listen
      "admin" (include "crossmesh-dns-agent.socket" .Values.admin)
      "adminSocket" .Values.admin.socket
      "cluster" $cluster
      "catalogs" (concat $catalogs .Values.catalogs)
      "istioNamespace" .Values.istioNamespace
      "upstreams" .Values.upstreams -}}
{{- if .Values.snapshot.enabled -}}
{{- $_ := set $config "snapshot" (dict "directory" "/var/lib/crossmesh") -}}
{{- end -}}
{{- toYaml (merge $config .Values.config) -}}
{{- end -}}

{{/* The capabilities that it needs. Ports below 1024 of the node's network, and its interfaces, are only for processes with
one, and only root's keep them. */}}
{{- define "crossmesh-dns-agent.capabilities" -}}
{{- $needed := list -}}
{{- if lt (int .Values.listen.port) 1024 -}}
{{- $needed = append $needed "NET_BIND_SERVICE" -}}
{{- end -}}
{{- if .Values.interface.name -}}
{{- $needed = append $needed "NET_ADMIN" -}}
{{- end -}}
{{- join "," $needed -}}
{{- end -}}
