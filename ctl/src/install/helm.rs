//! The Helm chart: an installation's objects, with template expressions where a value decides.
//!
//! Every template is one of the objects that `install` applies; only what [`edits`] lists differs.

use canary_rules::wire::Role;
use serde_json::{Value, json};

use super::template::{Edit, Template};
use super::{Plan, objects};
use crate::failure::{Code, Failure};
use crate::names;
use crate::settings;

/// Where the chart's own words are.
const HELPERS: &str = include_str!("helm/helpers.tpl");
const NOTES: &str = include_str!("helm/NOTES.txt");
/// The first Kubernetes with ValidatingAdmissionPolicies as we write them.
const KUBERNETES_MIN: &str = "1.30.0-0";

/// A file of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path within the chart.
    pub path: &'static str,
    /// What is in it.
    pub text: String,
}

/// The chart, with the plan's decisions as its values. What the plan leaves empty whoever installs has to give.
///
/// # Errors
/// When an object is not as its template expects.
pub fn chart(plan: &Plan) -> Result<Vec<File>, Failure> {
    let failed = |error: settings::SettingsError| Failure::from_error(Code::Failed, &error);
    let labels = plan.labels(&[]);
    let file = |path, text| File { path, text };
    let filter_server = format!(
        "{{{{- if not $.Values.filter.gateway.url }}}}\n{}{{{{- end }}}}\n",
        documents(&objects::filter_server(plan), DEPLOYMENT)?
    );
    let keys = settings::keys_secret(&settings::new_keys().map_err(failed)?, &plan.namespace);
    Ok(vec![
        file("Chart.yaml", yaml(&about())?),
        file("values.yaml", values(plan)),
        file("crds/lanes.yaml", yaml(&crate::crd::lane())?),
        file("crds/releases.yaml", yaml(&crate::crd::release())?),
        file("crds/takeovers.yaml", yaml(&crate::crd::takeover())?),
        file("templates/NOTES.txt", NOTES.into()),
        file("templates/_helpers.tpl", helpers(&plan.namespace)),
        file("templates/_settings.tpl", settings_template(plan)?),
        file("templates/admission.yaml", documents(&crate::admission::objects(&labels), &[])?),
        file("templates/rights.yaml", documents(&objects::rights(plan), RIGHTS)?),
        file("templates/settings.yaml", {
            let object = plan.labelled(plan.installation.config_map(&plan.namespace).map_err(failed)?);
            format!("{{{{- include \"canaryctl.check\" $ }}}}\n{}", documents(&[object], SETTINGS)?)
        }),
        file("templates/keys.yaml", {
            let mut object = plan.labelled(keys.map_err(failed)?);
            object["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
            format!("{{{{- if $.Values.keys.create }}}}\n{}{{{{- end }}}}\n", documents(&[object], KEYS)?)
        }),
        file("templates/arrival.yaml", documents(&crate::arrival::objects(&plan.part_of()), &[])?),
        file("templates/filter-server.yaml", filter_server),
        file("templates/controller.yaml", documents(&objects::controller(plan), CONTROLLER)?),
        file("templates/plugins.yaml", plugins(plan)?),
    ])
}

const DEPLOYMENT: &[Edit] = &[
    Edit::new("Deployment", "/spec/replicas", "{{ $.Values.replicas }}"),
    Edit::new(
        "Deployment",
        "/spec/template/spec/containers/0/image",
        "{{ required \"image is empty: canaryctl image push makes one\" $.Values.image | quote }}",
    ),
    Edit::new("Deployment", "/spec/template/spec/containers/0/resources", "{{ toJson $.Values.resources }}"),
];
const CONTROLLER: &[Edit] = &[
    DEPLOYMENT[0],
    DEPLOYMENT[1],
    DEPLOYMENT[2],
    Edit::new("Deployment", "/spec/template/spec/containers/0/args/4", "{{ $.Values.collectAfter | quote }}"),
];
/// The last two are in Istio's root namespace.
const RIGHTS: &[Edit] = &[
    Edit::new("Role", "/metadata/namespace", "{{ $.Values.rootNamespace | quote }}").last(),
    Edit::new("RoleBinding", "/metadata/namespace", "{{ $.Values.rootNamespace | quote }}").last(),
];
const SETTINGS: &[Edit] =
    &[Edit::new("ConfigMap", "/data/settings.json", "{{ include \"canaryctl.settings\" $ | quote }}")];
const KEYS: &[Edit] = &[Edit::new("Secret", "/data/keys.json", "{{ include \"canaryctl.keys\" $ | quote }}")];

fn about() -> Value {
    json!({
        "apiVersion": "v2",
        "name": "canaryctl",
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "type": "application",
        "version": env!("CARGO_PKG_VERSION"),
        "appVersion": env!("CARGO_PKG_VERSION"),
        "kubeVersion": format!(">={KUBERNETES_MIN}"),
    })
}

fn values(plan: &Plan) -> String {
    let presence = &plan.installation.presence;
    let own_server = plan.serves_filter;
    let url = |url: &str| if own_server { json!("") } else { json!(url) };
    let (gateway, sidecar) = (&presence.gateway_filter, &presence.sidecar_filter);
    let trusts_all = plan.installation.peers == canary_rules::wire::Peers::Any;
    let edges: String = presence.edges.iter().map(|edge| format!("\n  - {}", json!(edge))).collect();
    let (image, root) = (json!(plan.image), json!(presence.root_namespace));
    let (resources, replicas) = (objects::resources(), objects::REPLICAS);
    let collect_after = json!(objects::collect_after(plan));
    let namespaces = json!(presence.namespaces);
    let pull_secret = json!(gateway.pull_secret.as_deref().unwrap_or_default());
    let (gateway_url, gateway_sha256) = (url(&gateway.url), json!(gateway.sha256));
    let (sidecar_url, sidecar_sha256) = (url(&sidecar.url), json!(sidecar.sha256));
    format!(
        "\
# The image of canaryctl, by digest; `canaryctl image push` prints it.
image: {image}
# Of the controller, of which one writes and the others wait, and of the filter's server.
replicas: {replicas}
resources: {resources}
# How long what no route leads to any more stays, for requests under way.
collectAfter: {collect_after}
# Istio's root namespace.
rootNamespace: {root}
# Only the sidecars of these namespaces run the filter; none: all of the mesh.
namespaces: {namespaces}
# The gateways where users' flows enter.
gateways:{edges}
# Sidecars believe the tags of every peer: for meshes without mutual TLS.
trustAllPeers: {trusts_all}
filter:
  # `canaryctl filter push` prints both. Without a URL a server of ours in the cluster serves the file with this
  # digest: good for a try-out.
  gateway:
    url: {gateway_url}
    sha256: {gateway_sha256}
  sidecar:
    url: {sidecar_url}
    sha256: {sidecar_sha256}
  # The Secret with the registry's credentials, in Istio's root namespace and in each edge's.
  pullSecret: {pull_secret}
keys:
  # Make the signing keys where there are none. Tools that render without a cluster, such as Argo CD, would make
  # new ones each time: say false there, and once `canaryctl install --print keys | kubectl create -f -`.
  create: true
"
    )
}

fn helpers(namespace: &str) -> String {
    let own_url = super::served_url(namespace, "%s");
    HELPERS.replace("OWN_URL", &own_url).replace("NAMESPACE", namespace).replace("KEYS", names::KEYS)
}

/// What the ConfigMap holds, as JSON.
fn settings_template(plan: &Plan) -> Result<String, Failure> {
    let mut settings =
        serde_json::to_value(&plan.installation).map_err(|error| Failure::new(Code::Failed, error))?;
    // Left out where it is empty.
    settings["presence"]["namespaces"] = json!([]);
    let filter = |build: &str| {
        format!("{{{{ include \"canaryctl.filter\" (dict \"Values\" $.Values \"build\" \"{build}\") }}}}")
    };
    let mut template = Template::new(settings);
    for (pointer, expression) in [
        ("/presence/rootNamespace", "{{ toJson $.Values.rootNamespace }}".to_owned()),
        ("/presence/edges", "{{ toJson $.Values.gateways }}".to_owned()),
        ("/presence/namespaces", "{{ toJson $.Values.namespaces }}".to_owned()),
        ("/presence/gatewayFilter", filter("gateway")),
        ("/presence/sidecarFilter", filter("sidecar")),
        ("/peers", "{{ ternary \"any\" \"mtls\" $.Values.trustAllPeers | toJson }}".to_owned()),
    ] {
        template.put(pointer, &expression)?;
    }
    Ok(format!("{{{{- define \"canaryctl.settings\" -}}}}\n{}\n{{{{- end }}}}\n", template.json()?))
}

/// The plugins: a pair for each edge, and a pair for each namespace or one for the mesh.
fn plugins(plan: &Plan) -> Result<String, Failure> {
    let (mut edges, mut sidecars) = (String::new(), String::new());
    for (role, plugin) in plan.installation.presence.unconfigured() {
        let (out, build, own) = match role {
            Role::EdgeGuard => (&mut edges, "gateway", EDGE_GUARD),
            Role::Edge => (&mut edges, "gateway", EDGE),
            Role::Inbound | Role::Outbound => (&mut sidecars, "sidecar", SIDECAR),
        };
        let filter = format!(
            "(include \"canaryctl.filter\" (dict \"Values\" $.Values \"build\" \"{build}\") | fromJson)"
        );
        let mut template = Template::new(plugin);
        for edit in own {
            template.edit(edit)?;
        }
        template.put("/spec/url", &format!("{{{{ {filter}.url | quote }}}}"))?;
        template.put("/spec/sha256", &format!("{{{{ {filter}.sha256 | quote }}}}"))?;
        template.put_if("/spec/imagePullSecret", "$.Values.filter.pullSecret");
        out.push_str("---\n");
        out.push_str(&template.yaml()?);
    }
    Ok(format!(
        "{{{{- range $index, $gateway := $.Values.gateways }}}}\n{edges}{{{{- end }}}}\n\
         {{{{- range $namespace := $.Values.namespaces | default (list $.Values.rootNamespace) }}}}\n{sidecars}\
         {{{{- end }}}}\n"
    ))
}

const EDGE_GUARD: &[Edit] =
    &[Edit::new("WasmPlugin", "/metadata/name", "canaryctl-edge-guard-{{ $index }}"), EDGE[1], EDGE[2]];
const EDGE: &[Edit] = &[
    Edit::new("WasmPlugin", "/metadata/name", "canaryctl-edge-{{ $index }}"),
    Edit::new("WasmPlugin", "/metadata/namespace", "{{ $gateway.namespace | quote }}"),
    Edit::new("WasmPlugin", "/spec/selector/matchLabels", "{{ toJson $gateway.labels }}"),
];
const SIDECAR: &[Edit] = &[Edit::new("WasmPlugin", "/metadata/namespace", "{{ $namespace | quote }}")];

/// Objects as YAML documents, each with the edits that are for it.
fn documents(objects: &[Value], edits: &[Edit]) -> Result<String, Failure> {
    let mut texts = Vec::with_capacity(objects.len());
    for (index, object) in objects.iter().enumerate() {
        let later = objects.get(index + 1..).unwrap_or_default();
        let mut template = Template::new(object.clone());
        for edit in edits.iter().filter(|edit| edit.is_for(object, later)) {
            template.edit(edit)?;
        }
        texts.push(template.yaml()?);
    }
    Ok(texts.join("---\n"))
}

fn yaml(value: &Value) -> Result<String, Failure> {
    Template::new(value.clone()).yaml()
}
