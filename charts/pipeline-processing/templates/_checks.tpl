{{/* What no schema can say. All faults at once, each with its way out. */}}

{{- define "pipeline-processing.faults" -}}
{{- include "pipeline-processing.settingsFaults" . -}}
{{- include "pipeline-processing.poolFaults" . -}}
{{- include "pipeline-processing.scheduleFaults" . -}}
{{- include "pipeline-processing.identityFaults" . -}}
{{- include "pipeline-processing.togetherFaults" . -}}
{{- end -}}

{{- define "pipeline-processing.settingsFaults" -}}
{{- if not .Values.settings.PIPELINE_CONTROL_BUCKET }}
- settings.PIPELINE_CONTROL_BUCKET is empty: name the bucket of run records (docs/aws.md)
{{- end }}
{{- $secret := "is a secret: put it into a Secret and name that in secrets" -}}
{{- $lanes := "is the lanes': set lanes.LANE.queueUrl" -}}
{{- $own := "is the chart's: leave it out" -}}
{{- $taken := dict
  "AWS_ACCESS_KEY_ID" $secret
  "AWS_SECRET_ACCESS_KEY" $secret
  "PIPELINE_DATABASE_URL" $secret
  "PIPELINE_TOKEN_KEY" $secret
  "PIPELINE_BACKFILL_QUEUE" $lanes
  "PIPELINE_LIVE_QUEUE" $lanes
  "PIPELINE_QUEUES" $lanes
  "JOB_NAME" $own
  "JOB_UID" $own
  "PIPELINE_DEPLOYMENT" $own
  "PIPELINE_HEALTH_PORT" "is the chart's, whose probes ask at 8080: leave it out"
  "PIPELINE_POOL" $own
  "QUEUE_URL" $own
  "AWS_DEFAULT_REGION" "is the chart's: set aws.region"
  "AWS_ENDPOINT_URL" "is the chart's: set aws.endpointUrl"
  "PIPELINE_CONTRACTS_DIR" "is the chart's: set contracts.configMap"
  "PIPELINE_WORKER_CONCURRENCY" "is the pool's: set its concurrency"
-}}
{{- $places := dict
  "settings" .Values.settings
  "poolDefaults.settings" .Values.poolDefaults.settings
  "scheduleDefaults.settings" .Values.scheduleDefaults.settings
-}}
{{- range .Values.pools -}}{{- $_ := set $places (printf "pool %s: settings" .name) (.settings | default dict) -}}{{- end -}}
{{- range .Values.schedules -}}{{- $_ := set $places (printf "schedule %s: settings" .name) (.settings | default dict) -}}{{- end -}}
{{- range $place, $settings := $places -}}
{{- range $name, $why := $taken -}}
{{- if hasKey $settings $name }}
- {{ $place }}.{{ $name }} {{ $why }}
{{- end -}}
{{- end -}}
{{- range $name, $value := $settings -}}
{{- if and (not (hasKey $taken $name)) (or (include "pipeline-processing.namesSecret" $name) (include "pipeline-processing.holdsPassword" $value)) }}
- {{ $place }}.{{ $name }} {{ $secret }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $texts := dict "aws.endpointUrl" .Values.aws.endpointUrl -}}
{{- range $lane, $own := .Values.lanes -}}{{- $_ := set $texts (printf "lanes.%s.queueUrl" $lane) $own.queueUrl -}}{{- end -}}
{{- range .Values.pools -}}
{{- $pool := include "pipeline-processing.pool" (dict "root" $ "pool" .) | fromJson -}}
{{- $_ := set $texts (printf "pool %s: scaling.queueAge.serverAddress" .name) $pool.scaling.queueAge.serverAddress -}}
{{- end -}}
{{- range .Values.schedules -}}
{{- $words := concat (.command | default list) (.options | default list) (.args | default list) -}}
{{- $_ := set $texts (printf "schedule %s: what it is given" .name) ($words | join "\n") -}}
{{- end -}}
{{- range $place, $text := $texts -}}
{{- if include "pipeline-processing.holdsPassword" $text }}
- {{ $place }} holds a password, which many can read there: put it into a Secret and name that in secrets
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "yes" for a variable that is a secret by its name, else ""; these two are check_secrets' of `manifest`. */}}
{{- define "pipeline-processing.namesSecret" -}}
{{- if and (regexMatch "PASSWORD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|ACCESS_KEY" .) (not (regexMatch "_(FILE|ID)$" .)) -}}yes{{- end -}}
{{- end -}}

{{/* "yes" for a URL or a DSN with a password, else "". */}}
{{- define "pipeline-processing.holdsPassword" -}}
{{- if regexMatch "://[^/\\s:@]*:[^/\\s@]+@|(?i:\\b(ssl)?(password|passwd|pwd)\\s*=\\s*\\S)" (. | default "" | toString) -}}yes{{- end -}}
{{- end -}}

{{/* (dict "root" $ "what" "pool live" "lane" LANE) */}}
{{- define "pipeline-processing.laneFaults" -}}
{{- if not (hasKey .root.Values.lanes .lane) }}
- {{ .what }}: there is no lane {{ .lane | quote }}: name one of {{ keys .root.Values.lanes | sortAlpha | join ", " }}, or add it to lanes
{{- else if not (index .root.Values.lanes .lane).queueUrl }}
- {{ .what }}: lane {{ .lane }} has no queue: set lanes.{{ .lane }}.queueUrl (docs/aws.md)
{{- end }}
{{- end -}}

{{/* (dict "root" $ "what" "pool live" "role" ROLE) */}}
{{- define "pipeline-processing.roleFaults" -}}
{{- $roles := include "pipeline-processing.roles" .root | fromJson -}}
{{- if not (hasKey $roles .role) }}
- {{ .what }}: there is no role {{ .role | quote }}: name one of {{ keys $roles | sortAlpha | join ", " }}, or add it to identity
{{- end }}
{{- end -}}

{{/* (dict "what" "pool live" "name" NAME "limit" 54 "kind" "ScaledObject") */}}
{{- define "pipeline-processing.nameFaults" -}}
{{- if gt (len .name) (int .limit) }}
- {{ .what }}: its {{ .kind }} would be called {{ .name }}, {{ len .name }} characters where {{ .limit }} are allowed: shorten its name, or set fullnameOverride
{{- end }}
{{- end -}}

{{- define "pipeline-processing.poolFaults" -}}
{{- $names := list -}}
{{- range .Values.pools -}}
{{- $pool := include "pipeline-processing.pool" (dict "root" $ "pool" .) | fromJson -}}
{{- $what := printf "pool %s" $pool.name -}}
{{- if has $pool.name $names }}
- two pools are called {{ $pool.name }}: give one of them another name
{{- end -}}
{{- $names = append $names $pool.name -}}
{{- include "pipeline-processing.laneFaults" (dict "root" $ "what" $what "lane" $pool.lane) -}}
{{- include "pipeline-processing.roleFaults" (dict "root" $ "what" $what "role" $pool.role) -}}
{{- include "pipeline-processing.nameFaults" (dict "what" $what "name" (include "pipeline-processing.workerName" (dict "root" $ "name" $pool.name)) "limit" 54 "kind" "ScaledObject") -}}
{{- with $pool.scaling -}}
{{- if and (eq .kind "fixed") (lt (int .min) 1) }}
- {{ $what }}: a fixed pool has scaling.min pods, which is {{ int .min }}: set it to 1 or more
{{- end -}}
{{- if and (eq .kind "job") (gt (int .min) 0) }}
- {{ $what }}: jobs end when there is nothing to do, and KEDA would start scaling.min ({{ int .min }}) of them again and again: set it to 0
{{- end -}}
{{- if and (ne .kind "fixed") (gt (int .min) (int .max)) }}
- {{ $what }}: scaling.min ({{ int .min }}) is more than scaling.max ({{ int .max }}): raise max, or lower min
{{- end -}}
{{- if and (ne .kind "fixed") .queueAge.enabled (not .queueAge.serverAddress) }}
- {{ $what }}: scaling.queueAge has no serverAddress: set it to the URL of Prometheus
{{- end -}}
{{- if and (ne .kind "fixed") .queueAge.enabled (not $.Values.podMonitor.enabled) (not $.Values.podMonitor.scrapedOtherwise) }}
- {{ $what }}: scaling.queueAge asks by the labels that the PodMonitor gives: set podMonitor.enabled to true, or podMonitor.scrapedOtherwise where there are targets with the labels of docs/metrics.md
{{- end -}}
{{- end -}}
{{- if ge (int $pool.preStopSeconds) (int $pool.terminationGracePeriodSeconds) }}
- {{ $what }}: preStopSeconds ({{ int $pool.preStopSeconds }}) leaves nothing of terminationGracePeriodSeconds ({{ int $pool.terminationGracePeriodSeconds }}): lower the first, or raise the second
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pipeline-processing.scheduleFaults" -}}
{{- if .Values.operator.enabled -}}
{{- include "pipeline-processing.nameFaults" (dict "what" "operator" "name" (include "pipeline-processing.scheduleName" (dict "root" . "name" "operator")) "limit" 52 "kind" "CronJob") -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.schedules -}}
{{- $schedule := include "pipeline-processing.schedule" (dict "root" $ "schedule" .) | fromJson -}}
{{- $what := printf "schedule %s" $schedule.name -}}
{{- if has $schedule.name $names }}
- two schedules are called {{ $schedule.name }}: give one of them another name
{{- end -}}
{{- $names = append $names $schedule.name -}}
{{- if and $.Values.operator.enabled (eq $schedule.name "operator") }}
- {{ $what }}: the CronJob of operators' pods is called so: give it another name
{{- end }}
{{- if regexMatch "^(worker|monitor)(-|$)" $schedule.name }}
- {{ $what }}: its jobs and pods would be called as those of pools or the monitor are, and alerts tell them by that: give it another name
{{- end }}
{{- include "pipeline-processing.nameFaults" (dict "what" $what "name" (include "pipeline-processing.scheduleName" (dict "root" $ "name" $schedule.name)) "limit" 52 "kind" "CronJob") -}}
{{- include "pipeline-processing.roleFaults" (dict "root" $ "what" $what "role" $schedule.role) -}}
{{- if eq (empty $schedule.job) (empty $schedule.command) }}
- {{ $what }}: say either job, for `controller run`, or command, for any other
{{- end -}}
{{- if hasPrefix "controller run " (printf "%s " (concat ($schedule.command | default list) ($schedule.args | default list) | join " ")) }}
- {{ $what }}: command may not be controller run: say job, and the chart gives each Job a run of its own
{{- end -}}
{{- range $option := $schedule.options -}}
{{- $name := splitList "=" $option | first -}}
{{- range $given, $why := dict "--run-id" "the chart gives each Job its own" "--lane" "set the schedule's lane" "--mode" "its items are the fleet's" -}}
{{- /* A controller takes a beginning of an option for the option. */ -}}
{{- if and (gt (len $name) 2) (hasPrefix $name $given) }}
- {{ $what }}: options may not hold {{ $given }}: {{ $why }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $schedule.command -}}
{{- include "pipeline-processing.laneFaults" (dict "root" $ "what" $what "lane" $schedule.lane) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pipeline-processing.identityFaults" -}}
{{- $identity := .Values.identity -}}
{{- /* The migration's hook makes its own, which has no role. */ -}}
{{- $made := list (printf "%s-migration" (include "pipeline-processing.fullname" .)) -}}
{{- range $role, $own := include "pipeline-processing.roles" . | fromJson -}}
{{- $account := include "pipeline-processing.serviceAccount" (dict "root" $ "role" $role) -}}
{{- if and $own.create (has $account $made) }}
- identity.{{ $role }}.serviceAccount is made twice ({{ $account }}): give each role one of its own, or set create to false
{{- end -}}
{{- if $own.create -}}{{- $made = append $made $account -}}{{- end -}}
{{- if and (eq $identity.kind "irsa") $own.create (not $own.roleArn) }}
- identity.{{ $role }}.roleArn is empty: set the role of docs/aws.md, or create to false where the ServiceAccount exists, or identity.kind to podIdentity or none
{{- end -}}
{{- if and (not $own.create) (not $own.serviceAccount) }}
- identity.{{ $role }}.create is false: name the existing ServiceAccount in identity.{{ $role }}.serviceAccount
{{- end -}}
{{- include "pipeline-processing.nameFaults" (dict "what" (printf "identity.%s" $role) "name" $account "limit" 63 "kind" "ServiceAccount") -}}
{{- end -}}
{{- if and (eq $identity.kind "none") (not .Values.secrets) (include "pipeline-processing.autoscales" .) }}
- identity.kind is none, and KEDA has no keys to count messages with: name the Secret that holds them in secrets, or set scaling.kind to fixed
{{- end -}}
{{- end -}}

{{- define "pipeline-processing.togetherFaults" -}}
{{- range $label, $_ := .Values.commonLabels -}}
{{- if regexMatch "^(app\\.kubernetes\\.io|helm\\.sh|pipeline-processing)/" $label }}
- commonLabels.{{ $label }} is the chart's own: leave it out
{{- end -}}
{{- end -}}
{{- if and (eq .Values.image.tag "latest") (not .Values.image.digest) }}
- image.tag is latest, which is whatever was pushed last: a pod that replaces another may run other code: set a version, or digest
{{- end -}}
{{- if and .Values.migrations.enabled (not .Values.secrets) }}
- migrations.enabled, but no Secret holds PIPELINE_DATABASE_URL: name it in secrets
{{- end -}}
{{- if .Values.migrations.enabled -}}
{{- include "pipeline-processing.nameFaults" (dict "what" "migrations" "name" (printf "%s-migration" (include "pipeline-processing.fullname" .)) "limit" 63 "kind" "Job") -}}
{{- end -}}
{{- if .Values.prometheusRule.enabled -}}
{{- include "pipeline-processing.alertFaults" . -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.podMonitor.scrapedOtherwise }}
- podMonitor.enabled and podMonitor.scrapedOtherwise: what is scraped twice counts twice: set one of them to false
{{- end -}}
{{- end -}}

{{/* Alerts that could never be raised, or always would. */}}
{{- define "pipeline-processing.alertFaults" -}}
{{- if not .Values.monitor.enabled }}
- prometheusRule.enabled, but nothing measures what its alerts are about: set monitor.enabled to true
{{- end -}}
{{- if gt (int .Values.monitor.intervalSeconds) 300 }}
- monitor.intervalSeconds ({{ int .Values.monitor.intervalSeconds }}) is longer than what alerts look back for: set it to 300 or less
{{- end -}}
{{- with .Values.podMonitor -}}
{{- if not (or .enabled .scrapedOtherwise) }}
- prometheusRule.enabled, but nothing scrapes what its alerts are about: set podMonitor.enabled to true, or podMonitor.scrapedOtherwise where there are targets with the labels of docs/metrics.md
{{- end -}}
{{- if gt (include "pipeline-processing.seconds" .interval | float64) 120.0 }}
- podMonitor.interval ({{ .interval }}) leaves less than the two scrapes in five minutes that alerts compare: set it to 2m or less
{{- end -}}
{{- end -}}
{{- range $lane, $own := .Values.lanes -}}
{{- $seconds := include "pipeline-processing.queueAgeSeconds" (dict "root" $ "lane" $lane) -}}
{{- $retention := $own.retention | default "4d" -}}
{{- if ge (float64 $seconds) (include "pipeline-processing.seconds" $retention | float64) }}
- lane {{ $lane }}: PipelineQueueAgeHigh would wait for messages {{ $seconds }} seconds old, and its queue drops them before, after {{ $retention }}: lower prometheusRule.thresholds.queueAgeSecondsByLane.{{ $lane }}
{{- end -}}
{{- $retention = $own.deadLetterRetention | default "14d" -}}
{{- $hours := int $.Values.prometheusRule.thresholds.retentionWarningHours -}}
{{- if ge (mulf $hours 3600) (include "pipeline-processing.seconds" $retention | float64) }}
- lane {{ $lane }}: each dead letter would raise PipelineDeadLettersExpireSoon at once, as its queue keeps it for {{ $retention }}: lengthen its deadLetterRetention, or lower prometheusRule.thresholds.retentionWarningHours ({{ $hours }})
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A duration such as 90s or 14d in seconds. */}}
{{- define "pipeline-processing.seconds" -}}
{{- mulf (regexFind "^[0-9.]+" .) (get (dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[a-z]+$" .)) -}}
{{- end -}}
