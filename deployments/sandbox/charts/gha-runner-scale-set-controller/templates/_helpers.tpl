{{- define "arc.name" -}}
{{- .Values.nameOverride | default "gha-rs-controller" }}
{{- end }}

{{- define "arc.fullname" -}}
{{- $name := include "arc.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride }}{{ else if contains $name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "arc.selector" -}}
app.kubernetes.io/name: {{ include "arc.name" . }}
app.kubernetes.io/namespace: {{ .Release.Namespace }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "arc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" (include "arc.name" .) .Chart.Version }}
{{ include "arc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gha-rs-controller
app.kubernetes.io/component: controller-manager
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "arc.account" -}}
{{- .Values.serviceAccount.name | default (include "arc.fullname" .) }}
{{- end }}
