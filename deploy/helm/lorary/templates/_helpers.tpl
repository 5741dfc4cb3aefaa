{{- define "lorary.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "lorary.labels" -}}
app.kubernetes.io/name: lorary
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lorary.host" -}}
{{ (urlParse .Values.baseUrl).hostname }}
{{- end }}

{{- define "lorary.secret" -}}
{{ .Values.secret.name | default (include "lorary.name" .) }}
{{- end }}

{{/* What the pod may do: the same for every process of the hub. */}}
{{- define "lorary.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 101
  fsGroup: 101
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "lorary.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "lorary.env" -}}
- { name: LORARY_BASE_URL, value: {{ .Values.baseUrl | quote }} }
- { name: LORARY_ALLOWED_HOSTS, value: {{ printf "localhost,%s" (include "lorary.host" .) | quote }} }
- { name: LORARY_TRUST_PROXY, value: "true" }
- { name: LORARY_STORAGE, value: {{ .Values.storage | quote }} }
{{- if .Values.bases.toml }}
- { name: LORARY_BASES, value: /etc/lorary/bases.toml }
{{- end }}
{{- if .Values.bases.claim }}
- { name: HF_HOME, value: /bases/huggingface }
{{- end }}
{{- range $name, $value := .Values.settings }}
- { name: LORARY_{{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- $secret := include "lorary.secret" . }}
{{- range $name, $key := dict "LORARY_SECRET_KEY" "secret-key" "LORARY_DATABASE_URL" "database-url" "LORARY_BROKER_URL" "broker-url" "LORARY_CACHE_URL" "cache-url" }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $key }} } }
{{- end }}
{{- range $name, $key := dict "AWS_ACCESS_KEY_ID" "aws-access-key-id" "AWS_SECRET_ACCESS_KEY" "aws-secret-access-key" "LORARY_DATABASE_REPLICA_URL" "database-replica-url" }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $secret }}, key: {{ $key }}, optional: true } }
{{- end }}
{{- end }}

{{- define "lorary.mounts" -}}
- { name: data, mountPath: /data }
- { name: tmp, mountPath: /tmp }
{{- if .Values.bases.toml }}
- { name: bases-file, mountPath: /etc/lorary, readOnly: true }
{{- end }}
{{- if .Values.bases.claim }}
- { name: bases, mountPath: /bases, readOnly: true }
{{- end }}
{{- end }}

{{- define "lorary.volumes" -}}
- name: data
  {{- if .Values.data.claim }}
  persistentVolumeClaim: { claimName: {{ .Values.data.claim }} }
  {{- else }}
  emptyDir: { sizeLimit: {{ .Values.data.size }} }
  {{- end }}
- { name: tmp, emptyDir: { sizeLimit: 1Gi } }
{{- if .Values.bases.toml }}
- { name: bases-file, configMap: { name: {{ include "lorary.name" . }}-bases } }
{{- end }}
{{- if .Values.bases.claim }}
- { name: bases, persistentVolumeClaim: { claimName: {{ .Values.bases.claim }}, readOnly: true } }
{{- end }}
{{- end }}
