{{/* Variables of every pod, as a map. What is empty is not set: the product has defaults of its own. */}}
{{- define "pipeline-processing.settings" -}}
AWS_DEFAULT_REGION: {{ .Values.aws.region | quote }}
{{- with .Values.aws.endpointUrl }}
AWS_ENDPOINT_URL: {{ . | quote }}
{{- end }}
{{- if .Values.contracts.configMap }}
PIPELINE_CONTRACTS_DIR: /etc/pipeline-contracts
{{- end }}
{{- $queues := list }}
{{- range $name, $lane := .Values.lanes }}
{{- with $lane.queueUrl }}{{ $queues = append $queues (printf "%s=%s" $name .) }}{{ end }}
{{- end }}
PIPELINE_QUEUES: {{ join "," $queues | quote }}
{{- range $name, $value := .Values.settings }}
{{- with $value }}
{{ $name | quote }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}
