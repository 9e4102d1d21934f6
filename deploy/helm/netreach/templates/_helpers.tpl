{{- define "netreach.labels" -}}
app.kubernetes.io/name: netreach
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "netreach.selector" -}}
app.kubernetes.io/name: netreach
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "netreach.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "netreach.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "netreach.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "netreach.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "netreach.env" -}}
- name: NETREACH_APP_ID
  value: {{ required "app.id: the App's id" .Values.app.id | toString | quote }}
- name: NETREACH_GITHUB_URL
  value: {{ .Values.app.githubUrl | quote }}
- name: NETREACH_PRIVATE_KEY_FILE
  value: /secrets/private-key.pem
- name: NETREACH_WEBHOOK_SECRET_FILE
  value: /secrets/webhook-secret
{{- if .Values.app.webhookSecretOld }}
- name: NETREACH_WEBHOOK_SECRET_OLD_FILE
  value: /secrets/webhook-secret-old
{{- end }}
{{- if .Values.database.bundled.enabled }}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ .Values.database.existingSecret }}, key: password}
- name: NETREACH_DATABASE_URL
  value: postgresql://netreach:$(DATABASE_PASSWORD)@{{ .Release.Name }}-database/netreach
{{- else }}
- name: NETREACH_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.database.existingSecret }}, key: url}
{{- end }}
- name: NETREACH_COMMENT_DRAFTS
  value: {{ .Values.app.commentDrafts | quote }}
- name: NETREACH_RENDER
  value: {{ .Values.app.render | quote }}
- name: NETREACH_LOG
  value: {{ .Values.app.log | quote }}
{{- range $name, $value := .Values.app.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
