{{/* What pools, schedules and roles are once their defaults are merged in. */}}

{{/* A pool with all its values, as JSON: (dict "root" $ "pool" POOL) */}}
{{- define "pipeline-processing.pool" -}}
{{- mergeOverwrite (deepCopy .root.Values.poolDefaults) (deepCopy .pool) | toJson -}}
{{- end -}}

{{/* A schedule with all its values, as JSON: (dict "root" $ "schedule" SCHEDULE) */}}
{{- define "pipeline-processing.schedule" -}}
{{- mergeOverwrite (deepCopy .root.Values.scheduleDefaults) (deepCopy .schedule) | toJson -}}
{{- end -}}

{{/* Every role with all its values, as JSON, but a monitor's where there is none; takes the root context. */}}
{{- define "pipeline-processing.roles" -}}
{{- $roles := dict -}}
{{- range $name, $own := omit .Values.identity "kind" "keda" -}}
{{- if or (ne $name "monitor") $.Values.monitor.enabled -}}
{{- $_ := set $roles $name (mergeOverwrite (dict "create" true "serviceAccount" "" "roleArn" "") (deepCopy ($own | default dict))) -}}
{{- end -}}
{{- end -}}
{{- $roles | toJson -}}
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

{{/* The seconds that a lane's messages may wait before an alert: (dict "root" $ "lane" LANE) */}}
{{- define "pipeline-processing.queueAgeSeconds" -}}
{{- $thresholds := .root.Values.prometheusRule.thresholds -}}
{{- get $thresholds.queueAgeSecondsByLane .lane | default $thresholds.queueAgeSeconds | int64 -}}
{{- end -}}
