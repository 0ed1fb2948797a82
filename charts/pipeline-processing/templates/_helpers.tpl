{{/* Names and labels. Each takes the root context, unless it says otherwise. */}}

{{- define "pipeline-processing.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* The prefix of every object's name. Never cut: a name that is too long is refused where it is made. */}}
{{- define "pipeline-processing.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "pipeline-processing.name" .) .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "pipeline-processing.name" .) -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change in an object's life; add `app.kubernetes.io/component` and what tells objects apart. */}}
{{- define "pipeline-processing.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pipeline-processing.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object; add `app.kubernetes.io/component`. */}}
{{- define "pipeline-processing.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "pipeline-processing.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: pipeline-processing
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A name that fits, or a failure: (dict "name" NAME "limit" 52 "what" "CronJob") */}}
{{- define "pipeline-processing.fitting" -}}
{{- if gt (len .name) (int .limit) -}}
{{- fail (printf "%s name %q has %d characters; the limit is %d: shorten its name, the release's, or set fullnameOverride" .what .name (len .name) (int .limit)) -}}
{{- end -}}
{{- .name -}}
{{- end -}}

{{- define "pipeline-processing.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of a role's ServiceAccount: (dict "root" $ "role" "worker") */}}
{{- define "pipeline-processing.serviceAccount" -}}
{{- $name := (index .root.Values.identity .role).serviceAccount | default (printf "%s-%s" (include "pipeline-processing.fullname" .root) .role) -}}
{{- include "pipeline-processing.fitting" (dict "name" $name "limit" 63 "what" "ServiceAccount") -}}
{{- end -}}
