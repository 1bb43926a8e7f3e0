{{- define "gha.name" -}}
{{- .Values.runnerScaleSetName | default .Release.Name }}
{{- end }}

{{- define "gha.fullname" -}}
{{- printf "%s-gha-rs" (include "gha.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "gha.labels" -}}
helm.sh/chart: {{ printf "gha-rs-%s" .Chart.Version }}
app.kubernetes.io/name: {{ include "gha.name" . }}
app.kubernetes.io/instance: {{ include "gha.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: gha-rs
actions.github.com/scale-set-name: {{ include "gha.name" . }}
actions.github.com/scale-set-namespace: {{ .Release.Namespace }}
{{- end }}
