{{- define "canaryctl.settings" -}}
{
  "presence": {
    "rootNamespace": {{ toJson $.Values.rootNamespace }},
    "edges": {{ toJson $.Values.gateways }},
    "gatewayFilter": {{ include "canaryctl.filter" (dict "Values" $.Values "build" "gateway") }},
    "sidecarFilter": {{ include "canaryctl.filter" (dict "Values" $.Values "build" "sidecar") }},
    "namespaces": {{ toJson $.Values.namespaces }}
  },
  "carriers": {
    "header": "x-canary-lane",
    "aliases": [],
    "baggage": "canary-lane",
    "requestId": true,
    "correlation": [
      "traceparent",
      "b3",
      "x-b3-traceid",
      "sw8",
      "uber-trace-id"
    ]
  },
  "peers": {{ ternary "any" "mtls" $.Values.trustAllPeers | toJson }},
  "lingerS": 30,
  "edge": {
    "laneCookie": "canary-lane",
    "uidCookie": "canary-uid",
    "cookie": {
      "path": "/",
      "secure": false,
      "httpOnly": true,
      "sameSite": "Lax",
      "partitioned": false
    },
    "trustedHops": 0,
    "showLane": false,
    "vary": false,
    "layers": []
  }
}
{{- end }}
