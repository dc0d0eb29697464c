# template against the server: its kinds and its version are known to the chart.
mkdir -p asks/templates
printf 'apiVersion: v2\nname: asks\nversion: 0.1.0\nkubeVersion: ">= 1.34.0-0"\n' >asks/Chart.yaml
cat >asks/templates/answer.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: answer}
data:
  version: {{ .Capabilities.KubeVersion.Minor | quote }}
  deployment: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
  nothing: {{ .Capabilities.APIVersions.Has "nothing.example/v1" | quote }}
{{- if .Values.look }}
  here: {{ (lookup "v1" "Namespace" "" .Release.Namespace).metadata.name | quote }}
{{- end }}
Y
expect 'version: "37"*deployment: "true"*nothing: "false"' h template asks asks "$VALIDATE"
[ "$CLIENT" = helm-3.17 ] || expect 'here: "'"$NS"'"' h template asks asks --dry-run=server --set look=yes
sed -i 's/name: answer/name: Answer/' asks/templates/answer.yaml
refuse 'Answer' h install asks asks
sed -i 's/name: Answer/name: answer/; s/^data:/dada: {}\ndata:/' asks/templates/answer.yaml
[ "$CLIENT" = helm-3.17 ] || refuse 'dada' h install again asks
