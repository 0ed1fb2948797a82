{{/* What pools and schedules are once their defaults are merged in. */}}

{{/* A pool with all its values, as JSON: (dict "root" $ "pool" POOL) */}}
{{- define "pipeline-processing.pool" -}}
{{- mergeOverwrite (deepCopy .root.Values.poolDefaults) (deepCopy .pool) | toJson -}}
{{- end -}}

{{/* A schedule with all its values, as JSON: (dict "root" $ "schedule" SCHEDULE) */}}
{{- define "pipeline-processing.schedule" -}}
{{- mergeOverwrite (deepCopy .root.Values.scheduleDefaults) (deepCopy .schedule) | toJson -}}
{{- end -}}

{{/* "yes" when KEDA counts messages for at least one pool, else "". */}}
{{- define "pipeline-processing.autoscales" -}}
{{- $kinds := list -}}
{{- range .Values.pools -}}
{{- $pool := include "pipeline-processing.pool" (dict "root" $ "pool" .) | fromJson -}}
{{- $kinds = append $kinds $pool.scaling.kind -}}
{{- end -}}
{{- if or (has "deployment" $kinds) (has "job" $kinds) -}}yes{{- end -}}
{{- end -}}
