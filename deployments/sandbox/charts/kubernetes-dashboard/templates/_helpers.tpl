{{/* (dict "root" $ "component" "web") */}}
{{- define "dashboard.selector" -}}
app.kubernetes.io/name: {{ printf "%s-%s" .root.Chart.Name .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "dashboard.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{ include "dashboard.selector" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
{{- end }}
