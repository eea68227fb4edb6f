{{/* What a release must be like. */}}
{{- define "canaryctl.check" -}}
{{- if ne .Release.Namespace "NAMESPACE" -}}
{{- fail "canaryctl lives in NAMESPACE: helm install canaryctl … -n NAMESPACE --create-namespace" -}}
{{- end -}}
{{- if not .Values.gateways -}}
{{- fail "gateways names no edge: nothing would decide who is in a lane" -}}
{{- end -}}
{{- if ne (empty .Values.filter.gateway.url) (empty .Values.filter.sidecar.url) -}}
{{- fail "filter.gateway.url and filter.sidecar.url go together" -}}
{{- end -}}
{{- end }}

{{/* Where proxies get a build of the filter, as JSON; without a URL from our own server. */}}
{{- define "canaryctl.filter" -}}
{{- $source := index .Values.filter .build -}}
{{- $wanted := printf "filter.%s.sha256 is empty: canaryctl install --print helm fills it in, or canaryctl filter push prints it" .build -}}
{{- $sha256 := required $wanted $source.sha256 -}}
{{- $url := $source.url | default (printf "OWN_URL" $sha256) -}}
{{- $filter := dict "url" $url "sha256" $sha256 -}}
{{- with .Values.filter.pullSecret }}{{ $_ := set $filter "pullSecret" . }}{{ end -}}
{{- toJson $filter -}}
{{- end }}

{{/* The signing keys: those that are there, for users' cookies are signed with them; else a new one. */}}
{{- define "canaryctl.keys" -}}
{{- $found := lookup "v1" "Secret" "NAMESPACE" "KEYS" -}}
{{- if $found -}}
{{- index $found.data "keys.json" -}}
{{- else -}}
{{- list (dict "id" "k1" "secret" (randBytes 32)) | toJson | b64enc -}}
{{- end -}}
{{- end }}
