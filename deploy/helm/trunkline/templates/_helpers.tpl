{{/* Labels of every object. */}}
{{- define "trunkline.labels" -}}
{{ include "trunkline.selector" . }}
app.kubernetes.io/part-of: trunkline
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What selects our pods, of every door. */}}
{{- define "trunkline.selector" -}}
app.kubernetes.io/name: trunkline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The settings, and what other values say of them. */}}
{{- define "trunkline.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- if .Values.ingress.enabled }}
{{- $proxies := required "ingress.trustedProxies: where the ingress controller's pods are, such as 10.0.0.0/8; without it all clients have its address" .Values.ingress.trustedProxies }}
{{- $_ := set $settings "TRUNKLINE__CLIENTS__TRUSTED_PROXIES" $proxies }}
{{- end }}
{{- if .Values.telemetry.otlpEndpoint }}
{{- $_ := set $settings "TRUNKLINE__TELEMETRY__OTLP_ENDPOINT" .Values.telemetry.otlpEndpoint }}
{{- end }}
{{- if .Values.retention.exportClaim }}
{{- $_ := set $settings "TRUNKLINE__RETENTION__EXPORT" "/export" }}
{{- end }}
{{- range $name, $value := $settings }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* Ends in a hash of what is in it: a change is a rollout, and going back goes back to the settings that there were. */}}
{{- define "trunkline.settingsName" -}}
{{ .Release.Name }}-settings-{{ include "trunkline.settings" . | sha256sum | trunc 10 }}
{{- end }}

{{/* How long a worker may take to stop: worker.drain, which is written in seconds, 3 s for the rest, and a margin. */}}
{{- define "trunkline.workerGrace" -}}
{{- $drain := index .Values.settings "TRUNKLINE__WORKER__DRAIN" | default "22s" }}
{{- if not (regexMatch "^[0-9]+s$" $drain) }}
{{- fail (printf "settings.TRUNKLINE__WORKER__DRAIN: write it in seconds, such as 22s, not %s" $drain) }}
{{- end }}
{{- add (trimSuffix "s" $drain | int) 13 }}
{{- end }}

{{/* Where pods may run, and with what: of every pod. */}}
{{- define "trunkline.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "trunkline.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* A variable from a key of a Secret: list name secret key, and "optional". */}}
{{- define "trunkline.variable" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
      {{- if gt (len .) 3 }}
      optional: true
      {{- end }}
{{- end }}

{{- define "trunkline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "trunkline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* A door: dict root, door (its name), and port, where it is called. */}}
{{- define "trunkline.door" -}}
{{- $root := .root }}
{{- $door := .door }}
{{- $values := index $root.Values $door }}
{{- $name := printf "%s-%s" $root.Release.Name $door }}
{{- $url := list "TRUNKLINE__DATABASE__URL" $root.Values.secrets.database (printf "%s-url" $door) }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "trunkline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $door }}
spec:
  {{- if not (dig "autoscaling" "enabled" false $values) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 1860
  selector:
    matchLabels:
      {{- include "trunkline.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ $door }}
  strategy:
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  template:
    metadata:
      labels:
        {{- include "trunkline.selector" $root | nindent 8 }}
        app.kubernetes.io/part-of: trunkline
        app.kubernetes.io/component: {{ $door }}
      {{- with $root.Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $root.Release.Name }}
      automountServiceAccountToken: false
      {{- include "trunkline.placement" $root | nindent 6 }}
      securityContext:
        {{- include "trunkline.podSecurity" $root | nindent 8 }}
      # A stop is over within 25 s, a worker's 3 s after its drain; one that is called serves 5 s longer, while load balancers
      # hear of it.
      terminationGracePeriodSeconds: {{ if hasKey . "port" }}40{{ else }}{{ include "trunkline.workerGrace" $root }}{{ end }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "trunkline.selector" $root | nindent 14 }}
              app.kubernetes.io/component: {{ $door }}
        {{- end }}
      initContainers:
        - name: wait-for-schema
          image: {{ include "trunkline.image" $root }}
          args: [migrate, --wait, 30m]
          env:
            {{- include "trunkline.variable" $url | nindent 12 }}
          resources:
            requests: { cpu: 10m, memory: 16Mi }
            limits: { memory: 64Mi }
          securityContext:
            {{- include "trunkline.containerSecurity" $root | nindent 12 }}
      containers:
        - name: {{ $door }}
          image: {{ include "trunkline.image" $root }}
          args: [{{ $door }}]
          envFrom:
            - configMapRef: { name: {{ include "trunkline.settingsName" $root }} }
          env:
            {{- include "trunkline.variable" $url | nindent 12 }}
            {{- if hasKey . "port" }}
            {{- include "trunkline.variable" (list "TRUNKLINE__OPERATOR__KEYS" $root.Values.secrets.keys "operator-keys") | nindent 12 }}
            {{- else }}
            {{- include "trunkline.variable" (list "TRUNKLINE__DATABASE__SESSION_URL" $root.Values.secrets.database "worker-session-url" true) | nindent 12 }}
            {{- end }}
            {{- include "trunkline.variable" (list "TRUNKLINE__SECRETS__KEYS" $root.Values.secrets.keys "secrets-keys") | nindent 12 }}
            {{- with $root.Values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- if hasKey . "port" }}
          lifecycle:
            preStop: { sleep: { seconds: 5 } }
          {{- end }}
          ports:
            {{- if hasKey . "port" }}
            - { name: http, containerPort: {{ .port }} }
            {{- end }}
            - { name: admin, containerPort: 8082 }
          startupProbe:
            httpGet: { path: /healthz, port: admin }
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /healthz, port: admin }
            periodSeconds: 10
            timeoutSeconds: 3
          readinessProbe:
            httpGet: { path: /readyz, port: admin }
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 2
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "trunkline.containerSecurity" $root | nindent 12 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "trunkline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $door }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "trunkline.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ $door }}
{{- if hasKey . "port" }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "trunkline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $door }}
spec:
  selector:
    {{- include "trunkline.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $door }}
  ports:
    - { name: http, port: {{ .port }}, targetPort: http }
{{- end }}
{{- if $root.Values.podMonitors.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "trunkline.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $door }}
spec:
  selector:
    matchLabels:
      {{- include "trunkline.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ $door }}
  podMetricsEndpoints:
    - { port: admin, path: /metrics, interval: 15s }
{{- end }}
{{- end }}
