{{- define "fedgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "fedgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "fedgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "fedgate.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fedgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fedgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "fedgate.image" -}}
{{- $name := printf "%s/%s" .Values.image.registry .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change. Takes {root, component}. */}}
{{- define "fedgate.selector" -}}
app.kubernetes.io/name: {{ include "fedgate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "fedgate.labels" -}}
{{ include "fedgate.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Which component answers for a data plane. */}}
{{- define "fedgate.ingressComponent" -}}
{{- ternary "ingress" "control-plane" .Values.ingress.separate -}}
{{- end -}}
{{- define "fedgate.dnsComponent" -}}
{{- ternary "dns" "control-plane" .Values.dns.separate -}}
{{- end -}}

{{/* The roles of the control plane's process. */}}
{{- define "fedgate.controlPlaneRoles" -}}
{{- $roles := list "api" "placement" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.separate) -}}{{- $roles = append $roles "ingress" -}}{{- end -}}
{{- if and .Values.dns.enabled (not .Values.dns.separate) -}}{{- $roles = append $roles "dns" -}}{{- end -}}
{{- toJson $roles -}}
{{- end -}}

{{/* The configuration file. Takes {root, roles}. */}}
{{- define "fedgate.config" -}}
{{- $values := .root.Values -}}
{{- $config := dict
  "data-dir" "/var/lib/fedgate"
  "role" .roles
  "api-addr" "0.0.0.0:7443"
  "ingress-addr" "0.0.0.0:7080"
  "ingress-tls-addr" "0.0.0.0:7843"
  "dns-addr" "0.0.0.0:7053"
  "admin-addr" "0.0.0.0:7090"
-}}
{{- if has "api" .roles -}}
{{- $full := include "fedgate.fullname" .root -}}
{{- $service := printf "%s.%s.svc" $full .root.Release.Namespace -}}
{{- $names := concat (list $full (printf "%s.%s" $full .root.Release.Namespace) $service (printf "%s.cluster.local" $service)) $values.api.names -}}
{{- $_ := set $config "store" "redb:/var/lib/fedgate/fedgate.redb" -}}
{{- $_ := set $config "api-name" $names -}}
{{- $_ := set $config "authorization-mode" $values.api.authorizationModes -}}
{{- $_ := set $config "default-placement" $values.placement.default -}}
{{- if $values.api.tlsSecret -}}
{{- $_ := set $config "tls-cert-file" "/etc/fedgate/tls/tls.crt" -}}
{{- $_ := set $config "tls-private-key-file" "/etc/fedgate/tls/tls.key" -}}
{{- end -}}
{{- if $values.api.clientCASecret -}}{{- $_ := set $config "client-ca-file" "/etc/fedgate/client-ca/ca.crt" -}}{{- end -}}
{{- if $values.api.tokenSecret -}}{{- $_ := set $config "token-auth-file" "/etc/fedgate/tokens/tokens.csv" -}}{{- end -}}
{{- else -}}
{{- $_ := set $config "hub-kubeconfig" "/etc/fedgate/hub/kubeconfig" -}}
{{- end -}}
{{- if has "ingress" .roles -}}
{{- if $values.ingress.publishAddresses -}}{{- $_ := set $config "ingress-publish" $values.ingress.publishAddresses -}}{{- end -}}
{{- if $values.ingress.workers -}}{{- $_ := set $config "ingress-workers" (int $values.ingress.workers) -}}{{- end -}}
{{- with $values.ingress.trustedProxies }}{{- $_ := set $config "ingress-trusted-proxy" . -}}{{- end -}}
{{- if $values.ingress.proxyProtocol -}}{{- $_ := set $config "ingress-proxy-protocol" true -}}{{- end -}}
{{- with $values.ingress.defaultCertificate }}{{- $_ := set $config "ingress-default-certificate" . -}}{{- end -}}
{{- with $values.ingress.externalNames }}{{- $_ := set $config "ingress-external-name" . -}}{{- end -}}
{{- $log := $values.ingress.accessLog -}}
{{- $_ := set $config "ingress-access-log" $log.target -}}
{{- $_ := set $config "ingress-access-log-format" $log.format -}}
{{- $_ := set $config "ingress-access-log-every" (int $log.every) -}}
{{- with $values.ingress.traces.endpoint }}
{{- $_ := set $config "otlp-endpoint" . -}}
{{- $_ := set $config "trace-ratio" $values.ingress.traces.ratio -}}
{{- end -}}
{{- range $flag, $given := dict "ingress-limit" $values.ingress.limits "ingress-timeout" $values.ingress.timeouts "ingress-head" $values.ingress.heads -}}
{{- $list := list -}}
{{- range $name, $value := $given -}}
{{- $list = append $list (printf "%s=%s" $name (ternary (printf "%d" (int64 $value)) (toString $value) (kindIs "float64" $value))) -}}
{{- end -}}
{{- if $list -}}{{- $_ := set $config $flag $list -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config $values.extraConfig) -}}
{{- end -}}

{{/* Refuses a drain that the kubelet would cut off. Takes the values. */}}
{{- define "fedgate.drainFits" -}}
{{- $drain := toString (.ingress.timeouts.drain | default "30s") -}}
{{- $number := regexFind "^[0-9]+" $drain | int64 -}}
{{- $unit := regexFind "[a-z]+$" $drain -}}
{{- $millis := mul $number (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) -}}
{{- $grace := int64 .terminationGracePeriodSeconds -}}
{{- if ge $millis (mul $grace 1000) -}}
{{- fail (printf "ingress.timeouts.drain (%s) must be shorter than terminationGracePeriodSeconds (%d s), or requests in flight are cut off: raise terminationGracePeriodSeconds" $drain $grace) -}}
{{- end -}}
{{- end -}}

{{/* Metadata and spec of a Pod. Takes {root, component, roles, resources, data}; data: claim | scratch. */}}
{{- define "fedgate.pod" -}}
{{- $values := .root.Values -}}
{{- $secrets := dict -}}
{{- if has "api" .roles -}}
{{- with $values.api.tlsSecret }}{{- $_ := set $secrets "tls" . }}{{- end -}}
{{- with $values.api.clientCASecret }}{{- $_ := set $secrets "client-ca" . }}{{- end -}}
{{- with $values.api.tokenSecret }}{{- $_ := set $secrets "tokens" . }}{{- end -}}
{{- else -}}
{{- $_ := set $secrets "hub" (required "hub.kubeconfigSecret is needed by separate data planes" $values.hub.kubeconfigSecret) -}}
{{- end -}}
metadata:
  labels:
    {{- include "fedgate.labels" . | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "fedgate.config" . | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if has "ingress" .roles }}
  {{- include "fedgate.drainFits" $values }}
  {{- end }}
  serviceAccountName: {{ include "fedgate.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  containers:
    - name: fedgate
      image: {{ include "fedgate.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      command: [fedgate, serve, --config, /etc/fedgate/config.yaml]
      env:
        - name: RUST_LOG
          value: {{ $values.logLevel | quote }}
      ports:
        {{- if has "api" .roles }}
        - {name: api, containerPort: 7443, protocol: TCP}
        {{- end }}
        {{- if has "ingress" .roles }}
        - {name: http, containerPort: 7080, protocol: TCP}
        - {name: https, containerPort: 7843, protocol: TCP}
        {{- end }}
        {{- if has "dns" .roles }}
        - {name: dns, containerPort: 7053, protocol: UDP}
        - {name: dns-tcp, containerPort: 7053, protocol: TCP}
        {{- end }}
        - {name: admin, containerPort: 7090, protocol: TCP}
      startupProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 1
        failureThreshold: 120
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/fedgate}
        - {name: config, mountPath: /etc/fedgate/config.yaml, subPath: config.yaml, readOnly: true}
        {{- range $name := keys $secrets | sortAlpha }}
        - {name: {{ $name }}, mountPath: /etc/fedgate/{{ $name }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "fedgate.fullname" .root }}-{{ .component }}
    {{- range $name := keys $secrets | sortAlpha }}
    - name: {{ $name }}
      secret: {secretName: {{ get $secrets $name }}, defaultMode: 288}
    {{- end }}
    {{- if eq .data "scratch" }}
    - name: data
      emptyDir: {}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if $values.topologySpreadConstraints }}
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "fedgate.selector" $ | nindent 10 }}
    {{- end }}
    {{- end }}
{{- end -}}

{{/* A data plane in Pods of its own. Takes what fedgate.pod takes, and plane: its values. */}}
{{- define "fedgate.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "fedgate.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "fedgate.labels" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .plane) }}
  replicas: {{ .plane.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "fedgate.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  template:
    {{- include "fedgate.pod" . | nindent 4 }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "fedgate.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "fedgate.labels" . | nindent 4 }}
data:
  config.yaml: |
    {{- include "fedgate.config" . | nindent 4 }}
{{- $many := or (gt (int .plane.replicas) 1) (dig "autoscaling" "enabled" false .plane) }}
{{- if and .root.Values.podDisruptionBudget.enabled $many }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "fedgate.fullname" .root }}-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "fedgate.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .root.Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "fedgate.selector" . | nindent 6 }}
{{- end }}
{{- end -}}
