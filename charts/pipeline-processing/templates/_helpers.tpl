{{/* Names and labels. Each takes the root context, unless it says otherwise. Names are quoted where they stand: 123 and on are names, too. */}}

{{- define "pipeline-processing.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* The prefix of every object's name. Never cut: names that are too long are refused (_checks.tpl). */}}
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
app.kubernetes.io/name: {{ include "pipeline-processing.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of every object; add `app.kubernetes.io/component`. */}}
{{- define "pipeline-processing.labels" -}}
{{ include "pipeline-processing.ownLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pipeline-processing.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "pipeline-processing.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: pipeline-processing
{{- end -}}

{{/* Labels of pods; add `app.kubernetes.io/component`. No version of the chart: its next one shall not drain every worker. */}}
{{- define "pipeline-processing.podLabels" -}}
{{ include "pipeline-processing.selectorLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An object's metadata: (dict "root" $ "name" NAME "component" COMPONENT "labels" ITS-OWN). Of a label that stands twice the chart's wins, then its own. */}}
{{- define "pipeline-processing.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- $own := include "pipeline-processing.ownLabels" .root | fromYaml }}
  {{- $_ := set $own "app.kubernetes.io/component" .component }}
  {{- mergeOverwrite dict .root.Values.commonLabels (.labels | default dict) $own | toYaml | nindent 2 }}
{{- end -}}

{{/* The image, by digest where there is one. */}}
{{- define "pipeline-processing.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Name of a role's ServiceAccount: (dict "root" $ "role" "worker"). A role that is none has one too: _checks.tpl refuses it. */}}
{{- define "pipeline-processing.serviceAccount" -}}
{{- with (index .root.Values.identity .role | default dict).serviceAccount -}}
{{- . -}}
{{- else -}}
{{- include "pipeline-processing.fullname" .root }}-{{ .role }}
{{- end -}}
{{- end -}}

{{/* Name of a pool's objects: (dict "root" $ "name" POOL) */}}
{{- define "pipeline-processing.workerName" -}}
{{- include "pipeline-processing.fullname" .root }}-worker-{{ .name }}
{{- end -}}

{{/* Name of a schedule's CronJob: (dict "root" $ "name" SCHEDULE) */}}
{{- define "pipeline-processing.scheduleName" -}}
{{- include "pipeline-processing.fullname" .root }}-{{ .name }}
{{- end -}}
