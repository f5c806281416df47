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
    spec:
      serviceAccountName: {{ $root.Release.Name }}
      automountServiceAccountToken: false
      securityContext:
        {{- include "trunkline.podSecurity" $root | nindent 8 }}
      # A stop is over within 25 s; one that is called serves 5 s longer, while load balancers hear of it.
      terminationGracePeriodSeconds: {{ ternary 40 35 (hasKey . "port") }}
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
          args: [migrate, --wait, 10m]
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
            - configMapRef: { name: {{ $root.Release.Name }}-settings }
          env:
            {{- include "trunkline.variable" $url | nindent 12 }}
            {{- if hasKey . "port" }}
            {{- include "trunkline.variable" (list "TRUNKLINE__OPERATOR__KEYS" $root.Values.secrets.keys "operator-keys") | nindent 12 }}
            {{- else }}
            {{- include "trunkline.variable" (list "TRUNKLINE__DATABASE__SESSION_URL" $root.Values.secrets.database "worker-session-url" true) | nindent 12 }}
            {{- end }}
            {{- include "trunkline.variable" (list "TRUNKLINE__SECRETS__KEYS" $root.Values.secrets.keys "secrets-keys") | nindent 12 }}
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
