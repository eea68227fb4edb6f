//! Reads a cluster once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::{DynamicObject, GroupVersionKind, ListParams};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::{Api, Client};
use serde_json::Value;

use super::{Kind, WORLD, World};

/// Most objects in one answer of the API server.
const PAGE: u32 = 500;

/// Lists everything that a plan looks at. A kind that a cluster may lack is passed over where it does.
///
/// # Errors
/// The first list that the API server refuses, with the kind's plural.
pub async fn list(client: &Client) -> Result<World, (&'static str, kube::Error)> {
    let mut objects = Vec::new();
    for kind in WORLD {
        match list_kind(client, &kind).await {
            Ok(found) => objects.extend(found),
            // Before an installation, and after it has been purged, no kind of ours is known.
            Err(kube::Error::Api(status)) if status.code == 404 && (kind.optional || kind.is_ours()) => {}
            Err(error) => return Err((kind.plural, error)),
        }
    }
    Ok(World { objects })
}

/// Every object of one of these kinds.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn list_named(client: &Client, name: &str) -> Result<Vec<Value>, kube::Error> {
    let mut objects = Vec::new();
    for kind in WORLD.iter().filter(|kind| kind.name == name) {
        objects.extend(list_kind(client, kind).await?);
    }
    Ok(objects)
}

async fn list_kind(client: &Client, kind: &Kind) -> Result<Vec<Value>, kube::Error> {
    let resource = kind.resource();
    let mut pages = Pages::default();
    let mut objects = Vec::new();
    while let Some(params) = pages.params() {
        if kind.metadata_only {
            let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &resource);
            let page = api.list_metadata(&params).await?;
            objects.extend(page.items.iter().map(|item| json(kind, item)));
            pages.goes_on(page.metadata);
        } else {
            let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
            let page = api.list(&params).await?;
            objects.extend(page.items.iter().map(|item| json(kind, item)));
            pages.goes_on(page.metadata);
        }
    }
    Ok(objects)
}

/// The pages of a list, one after the other.
pub(crate) struct Pages(Option<ListParams>);

impl Default for Pages {
    fn default() -> Self {
        Self(Some(ListParams::default().limit(PAGE)))
    }
}

impl Pages {
    /// What to ask for the next one; none after the last.
    pub(crate) fn params(&mut self) -> Option<ListParams> {
        self.0.take()
    }

    /// Whether there is another, by what a page says.
    pub(crate) fn goes_on(&mut self, page: ListMeta) {
        let token = page.continue_.filter(|token| !token.is_empty());
        self.0 = token.map(|token| ListParams::default().limit(PAGE).continue_token(&token));
    }
}

/// An object as JSON that says what it is; in lists and watches it often does not.
pub(super) fn json(kind: &Kind, object: &impl serde::Serialize) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.name.into();
    value
}

/// One object; none where there is none.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn get(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<Option<Value>, kube::Error> {
    let resource = resource(api_version, kind);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let found = api.get_opt(name).await?;
    Ok(found.map(|object| {
        let mut value = serde_json::to_value(&object).unwrap_or_default();
        value["apiVersion"] = api_version.into();
        value["kind"] = kind.into();
        value
    }))
}

/// The resource of a kind that an object names.
#[must_use]
pub(crate) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
