{{/* A controller's pod: (dict "root" $ "schedule" EFFECTIVE-SCHEDULE) */}}

{{- define "pipeline-processing.controllerPod" -}}
metadata:
  labels:
    {{- include "pipeline-processing.podLabels" .root | nindent 4 }}
    app.kubernetes.io/component: controller
    pipeline-processing/schedule: {{ .schedule.name | quote }}
  {{- with .schedule.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "pipeline-processing.podHead" (dict "root" .root "role" .schedule.role "own" .schedule) | nindent 2 }}
  restartPolicy: Never
  terminationGracePeriodSeconds: 60
  containers:
    - name: controller
      {{- include "pipeline-processing.containerHead" .root | nindent 6 }}
      args:
        {{- include "pipeline-processing.controllerArgs" .schedule | trim | nindent 8 }}
      envFrom:
        {{- include "pipeline-processing.envFrom" .root | nindent 8 }}
      env:
        # Both stay the same when a Job starts its pod again, and no two Jobs have both: the run's id.
        - name: JOB_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['batch.kubernetes.io/job-name']
        - name: JOB_UID
          valueFrom:
            fieldRef:
              fieldPath: metadata.labels['batch.kubernetes.io/controller-uid']
        {{- with .schedule.settings }}
        {{- include "pipeline-processing.env" . | trim | nindent 8 }}
        {{- end }}
      resources:
        {{- toYaml .schedule.resources | nindent 8 }}
      volumeMounts:
        {{- include "pipeline-processing.volumeMounts" .root | nindent 8 }}
  volumes:
    {{- include "pipeline-processing.volumes" (dict "root" .root "scratch" .schedule.scratch) | nindent 4 }}
{{- end -}}

{{/* Arguments of the image. A `$` of the user's is doubled: Kubernetes would take $(…) for a variable. */}}
{{- define "pipeline-processing.controllerArgs" -}}
{{- if .command -}}
{{- range concat .command (.args | default list) }}
- {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- else -}}
- controller
- run
- {{ .job | quote }}
- --lane
- {{ .lane | quote }}
- --run-id
- $(JOB_NAME)-$(JOB_UID)
{{- range .options }}
- {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- with .args }}
- --
{{- range . }}
- {{ . | replace "$" "$$" | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
