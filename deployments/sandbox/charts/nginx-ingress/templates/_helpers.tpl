{{- define "nginx-ingress.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "nginx-ingress.controller" -}}
{{- printf "%s-%s" (include "nginx-ingress.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "nginx-ingress.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nginx-ingress.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "nginx-ingress.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "nginx-ingress.pod" -}}
metadata:
  labels:
    {{- include "nginx-ingress.selector" . | nindent 4 }}
  {{- if .Values.prometheus.create }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ .Values.prometheus.port | quote }}
    prometheus.io/scheme: http
  {{- end }}
spec:
  serviceAccountName: {{ include "nginx-ingress.fullname" . }}
  automountServiceAccountToken: true
  terminationGracePeriodSeconds: 30
  securityContext:
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: nginx-ingress
      image: {{ printf "%s:%s" .Values.controller.image.repository (.Values.controller.image.tag | default .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.controller.image.pullPolicy }}
      ports:
        - name: http
          containerPort: {{ .Values.controller.containerPort.http }}
          protocol: TCP
        - name: https
          containerPort: {{ .Values.controller.containerPort.https }}
          protocol: TCP
        {{- if .Values.prometheus.create }}
        - name: prometheus
          containerPort: {{ .Values.prometheus.port }}
        {{- end }}
        {{- if .Values.controller.readyStatus.enable }}
        - name: readiness-port
          containerPort: {{ .Values.controller.readyStatus.port }}
        {{- end }}
      {{- if .Values.controller.readyStatus.enable }}
      readinessProbe:
        httpGet:
          path: /nginx-ready
          port: readiness-port
        periodSeconds: 1
      {{- end }}
      resources:
        {{- toYaml .Values.controller.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        runAsUser: 101
        runAsNonRoot: true
        capabilities:
          drop: [ALL]
          add: [NET_BIND_SERVICE]
      env:
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
      args:
        - -nginx-configmaps=$(POD_NAMESPACE)/{{ include "nginx-ingress.fullname" . }}
        - -ingress-class={{ .Values.controller.ingressClass.name }}
        {{- with .Values.controller.defaultTLS.secret }}
        - -default-server-tls-secret={{ . }}
        {{- end }}
        {{- with .Values.controller.wildcardTLS.secret }}
        - -wildcard-tls-secret={{ . }}
        {{- end }}
        {{- with .Values.controller.watchNamespace }}
        - -watch-namespace={{ . }}
        {{- end }}
        - -log-level={{ .Values.controller.logLevel }}
        {{- if .Values.controller.reportIngressStatus.enable }}
        - -report-ingress-status
        {{- if and .Values.controller.service.create (eq .Values.controller.service.type "LoadBalancer") }}
        - -external-service={{ include "nginx-ingress.controller" . }}
        {{- end }}
        {{- end }}
        - -enable-leader-election={{ .Values.controller.reportIngressStatus.enableLeaderElection }}
        - -leader-election-lock-name={{ include "nginx-ingress.fullname" . }}-leader-election
        - -enable-prometheus-metrics={{ .Values.prometheus.create }}
        - -prometheus-metrics-listen-port={{ .Values.prometheus.port }}
        - -enable-custom-resources={{ .Values.controller.enableCustomResources }}
        - -enable-snippets={{ .Values.controller.enableSnippets }}
        - -enable-cert-manager={{ .Values.controller.enableCertManager }}
        - -ready-status={{ .Values.controller.readyStatus.enable }}
        - -ready-status-port={{ .Values.controller.readyStatus.port }}
        - -enable-telemetry-reporting={{ .Values.controller.telemetryReporting.enable }}
{{- end }}
