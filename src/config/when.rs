//! `when`: the conditions of a registration, as written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::values::Patterns;

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "conditions, as `name: web*`")]
pub struct When {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<BTreeMap<String, Patterns>>,
}
