{{/* Names end where those of a Service must (RFC 1035), and `-hosts` is to follow. */}}
{{- define "name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "labels" -}}
app.kubernetes.io/name: iiif-sidecar
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* A setting, for a variable. Numbers of a file of values are floats, of which `quote` would write 1.34217728e+08. */}}
{{- define "value" -}}
{{ ternary (toJson .) . (kindIs "float64" .) | quote }}
{{- end }}

{{/* What sidecars and the site have to agree on. */}}
{{- define "addresses" -}}
- { name: SIDECAR_BIND, value: "0.0.0.0:8183" }
- { name: SIDECAR_WORKERS, value: {{ .Values.workers | quote }} }
- { name: SIDECAR_WORKER_BIND, value: {{ ternary "0.0.0.0:8190" "off" (gt (int .Values.workers) 1) | quote }} }
{{- end }}

{{/* The ports of single workers, if there are several: those of SIDECAR_WORKER_BIND. */}}
{{- define "workerPorts" -}}
{{- if gt (int .Values.workers) 1 }}
{{- range $number := untilStep 1 (int (add .Values.workers 1)) 1 }}
- { name: worker-{{ $number }}, {{ $.portKey }}: {{ add 8189 $number }} }
{{- end }}
{{- end }}
{{- end }}

{{- define "podSecurity" -}}
runAsNonRoot: true
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Over zones and nodes as far as there are some. */}}
{{- define "spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: { app.kubernetes.io/name: iiif-sidecar, app.kubernetes.io/instance: {{ $.Release.Name }}, app.kubernetes.io/component: {{ $.component }} }
{{- end }}
{{- end }}
