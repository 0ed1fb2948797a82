{{/* A pool's pod, for a Deployment as for a ScaledJob: (dict "root" $ "pool" EFFECTIVE-POOL) */}}

{{- define "pipeline-processing.poolLabels" -}}
app.kubernetes.io/component: worker
pipeline-processing/pool: {{ .pool.name | quote }}
{{- end -}}

{{- define "pipeline-processing.workerSelector" -}}
{{ include "pipeline-processing.selectorLabels" .root }}
{{ include "pipeline-processing.poolLabels" . }}
{{- end -}}

{{/* A pool's own variables. PIPELINE_GRACE follows the pod's grace period, unless somebody has set it. */}}
{{- define "pipeline-processing.workerVariables" -}}
{{- $grace := sub (int .pool.terminationGracePeriodSeconds) (int .pool.preStopSeconds) -}}
{{- $own := dict "PIPELINE_DEPLOYMENT" "/etc/pipeline-processing/deployment.yaml" "PIPELINE_POOL" .pool.name "PIPELINE_WORKER_CONCURRENCY" (.pool.concurrency | int | toString) -}}
{{- if not (index .root.Values.settings "PIPELINE_GRACE") -}}
{{- $_ := set $own "PIPELINE_GRACE" (printf "%ds" $grace) -}}
{{- end -}}
{{- mergeOverwrite $own .pool.settings | toJson -}}
{{- end -}}

{{/* Settings that change roll the pods. The deployment's ConfigMap does not: another pool's values would drain this one. */}}
{{- define "pipeline-processing.workerAnnotations" -}}
{{- $own := dict "checksum/settings" (include "pipeline-processing.settings" .root | sha256sum) -}}
{{- if eq .pool.scaling.kind "job" -}}
{{- /* An hour's work is not moved to save a node. */ -}}
{{- $_ := set $own "cluster-autoscaler.kubernetes.io/safe-to-evict" "false" -}}
{{- $_ := set $own "karpenter.sh/do-not-disrupt" "true" -}}
{{- end -}}
{{- mergeOverwrite $own .pool.podAnnotations | toYaml -}}
{{- end -}}

{{- define "pipeline-processing.workerPod" -}}
metadata:
  labels:
    {{- include "pipeline-processing.podLabels" .root | nindent 4 }}
    {{- include "pipeline-processing.poolLabels" . | nindent 4 }}
    pipeline-processing/lane: {{ .pool.lane | quote }}
  annotations:
    {{- include "pipeline-processing.workerAnnotations" . | nindent 4 }}
spec:
  {{- include "pipeline-processing.podHead" (dict "root" .root "role" .pool.role "own" .pool) | nindent 2 }}
  terminationGracePeriodSeconds: {{ .pool.terminationGracePeriodSeconds | int }}
  {{- if eq .pool.scaling.kind "job" }}
  restartPolicy: Never
  {{- end }}
  {{- if .pool.topologySpread.enabled }}
  topologySpreadConstraints:
    - topologyKey: topology.kubernetes.io/zone
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "pipeline-processing.workerSelector" . | nindent 10 }}
      {{- if ne .pool.scaling.kind "job" }}
      matchLabelKeys: [pod-template-hash]
      {{- end }}
  {{- end }}
  containers:
    - name: worker
      {{- include "pipeline-processing.containerHead" .root | nindent 6 }}
      args:
        - worker
        - --lane
        - {{ .pool.lane | quote }}
        {{- range $name, $limit := .pool.processors }}
        - --processor-concurrency
        - {{ printf "%s=%d" $name (int $limit) | quote }}
        {{- end }}
        {{- if eq .pool.scaling.kind "job" }}
        # A pod takes what it was started for, and ends: no item is begun that its deadline would cut off.
        - --max-items
        - {{ .pool.scaling.queueLength | int | quote }}
        {{- end }}
      envFrom:
        {{- include "pipeline-processing.envFrom" .root | nindent 8 }}
      env:
        # KEDA reads it here; the worker has it from PIPELINE_QUEUES.
        - name: QUEUE_URL
          value: {{ (index .root.Values.lanes .pool.lane | default dict).queueUrl | quote }}
        {{- include "pipeline-processing.env" (include "pipeline-processing.workerVariables" . | fromJson) | trim | nindent 8 }}
      ports:
        - name: http
          containerPort: 8080
      {{- include "pipeline-processing.probes" . | nindent 6 }}
      {{- if .pool.preStopSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .pool.preStopSeconds | int }}
      {{- end }}
      resources:
        {{- toYaml .pool.resources | nindent 8 }}
      volumeMounts:
        {{- include "pipeline-processing.volumeMounts" .root | nindent 8 }}
        - name: deployment
          mountPath: /etc/pipeline-processing
          readOnly: true
  volumes:
    {{- include "pipeline-processing.volumes" (dict "root" .root "scratch" .pool.scratch) | nindent 4 }}
    - name: deployment
      configMap:
        name: {{ include "pipeline-processing.fullname" .root }}-deployment
{{- end -}}

{{/* What KEDA counts by: messages, and their age where that is asked for. Its metadata are strings, all of them. */}}
{{- define "pipeline-processing.triggers" -}}
{{- $scaling := .pool.scaling -}}
{{- $lane := index .root.Values.lanes .pool.lane | default dict -}}
- type: aws-sqs-queue
  # KEDA keeps its scaler until this object's spec changes, and the variable is not in it: so the name changes with the URL.
  name: {{ printf "messages-%s" ($lane.queueUrl | default "" | sha256sum | trunc 8) }}
  metadata:
    queueURLFromEnv: QUEUE_URL
    queueLength: {{ $scaling.queueLength | int | quote }}
    activationQueueLength: {{ $scaling.activationQueueLength | int | quote }}
    scaleOnInFlight: {{ $scaling.scaleOnInFlight | quote }}
    awsRegion: {{ .root.Values.aws.region | quote }}
    {{- with .root.Values.aws.endpointUrl }}
    awsEndpoint: {{ . | quote }}
    {{- end }}
  authenticationRef:
    name: {{ include "pipeline-processing.fullname" .root }}-keda
{{- if $scaling.queueAge.enabled }}
- type: prometheus
  name: age
  metadata:
    serverAddress: {{ $scaling.queueAge.serverAddress | quote }}
    # The labels are those that the PodMonitor gives.
    # Only of workers that receive: a busy one's gauge stands still until its next receive.
    query: {{ printf "max(pipeline_queue_oldest_message_age_seconds{%[1]s} and on (namespace, pod) rate(pipeline_received_total{%[1]s}[2m]) > 0)" (printf "namespace=%q,lane=%q" .root.Release.Namespace .pool.lane) | quote }}
    threshold: {{ $scaling.queueAge.threshold | int | quote }}
    activationThreshold: {{ $scaling.queueAge.threshold | int | quote }}
    # Nothing measured is no age, not a failure: messages are counted all the same.
    ignoreNullValues: "true"
{{- end }}
{{- end -}}
