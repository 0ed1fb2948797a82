{{/* What every pod has: restricted Pod Security, no writable root, no token for the API server. */}}

{{- define "pipeline-processing.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "pipeline-processing.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The head of a pod's spec: (dict "root" $ "role" "worker" "own" POOL). IRSA and Pod Identity inject a volume of their own. */}}
{{- define "pipeline-processing.podHead" -}}
serviceAccountName: {{ include "pipeline-processing.serviceAccount" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "pipeline-processing.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .own.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Image and security of a container, whose last words `kubectl describe` shows; takes the root context. */}}
{{- define "pipeline-processing.containerHead" -}}
image: {{ include "pipeline-processing.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- include "pipeline-processing.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* The shared settings, then secrets, which win; takes the root context. */}}
{{- define "pipeline-processing.envFrom" -}}
- configMapRef:
    name: {{ include "pipeline-processing.fullname" . }}-settings
{{- include "pipeline-processing.envFromSecrets" . }}
{{- end -}}

{{- define "pipeline-processing.envFromSecrets" -}}
{{- range .Values.secrets }}
- secretRef:
    name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Variables of one workload alone; takes a map of strings. They win over envFrom. Kubernetes halves each `$$`, and expands $(…). */}}
{{- define "pipeline-processing.env" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
  value: {{ $value | replace "$" "$$" | quote }}
{{- end }}
{{- end -}}

{{/* takes the root context */}}
{{- define "pipeline-processing.volumeMounts" -}}
- name: scratch
  mountPath: /tmp
{{- if .Values.contracts.configMap }}
- name: contracts
  mountPath: /etc/pipeline-contracts
  readOnly: true
{{- end }}
{{- end -}}

{{/* (dict "root" $ "scratch" SIZE) */}}
{{- define "pipeline-processing.volumes" -}}
- name: scratch
  emptyDir:
    sizeLimit: {{ .scratch }}
{{- with .root.Values.contracts.configMap }}
- name: contracts
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Probes of what serves /healthz and /readyz on its port `http`. */}}
{{- define "pipeline-processing.probes" -}}
# It listens only once queue and control bucket have answered: two minutes for that.
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  timeoutSeconds: 6
  failureThreshold: 60
# The server itself waits 5 s for a busy event loop, so the probe waits longer.
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 6
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 10
  timeoutSeconds: 6
  failureThreshold: 3
{{- end -}}

{{/* What a Job makes of a pod's end: (dict "container" NAME). Exit codes: 2 configuration, 3 partly done; neither gets better by itself. */}}
{{- define "pipeline-processing.podFailurePolicy" -}}
rules:
  # The node went, not the work. This must stand first: such a pod has an exit code, too.
  - action: Ignore
    onPodConditions:
      - type: DisruptionTarget
        status: "True"
  - action: FailJob
    onExitCodes:
      containerName: {{ .container }}
      operator: In
      values: [2]
  - action: FailJob
    onExitCodes:
      containerName: {{ .container }}
      operator: In
      values: [3]
  # Killed, for memory or by its node: the next pod resumes; activeDeadlineSeconds bounds how often.
  - action: Ignore
    onExitCodes:
      containerName: {{ .container }}
      operator: In
      values: [137]
{{- end -}}
