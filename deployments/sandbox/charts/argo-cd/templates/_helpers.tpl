{{- define "argo-cd.fullname" -}}
{{- if contains .Values.nameOverride .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* (dict "root" $ "component" "server") */}}
{{- define "argo-cd.selector" -}}
app.kubernetes.io/name: {{ printf "%s-%s" .root.Values.nameOverride .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "argo-cd.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{ include "argo-cd.selector" . }}
app.kubernetes.io/component: {{ .label | default .component }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: argocd
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}
