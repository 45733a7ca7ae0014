//! `limits` of a registration as written: sizes may have units.

use serde::{Deserialize, Deserializer};

use crate::machine::privileges::ResourceLimits;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "limits, as `nofile: 1024`")]
pub(crate) struct LimitsFragment {
    nofile: Option<u64>,
    #[serde(rename = "as", deserialize_with = "super::values::optional_size")]
    address_space: Option<u64>,
    cpu: Option<u64>,
    nproc: Option<u64>,
}

pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ResourceLimits>, D::Error> {
    let LimitsFragment { nofile, address_space, cpu, nproc } =
        LimitsFragment::deserialize(deserializer)?;
    Ok(Some(ResourceLimits { nofile, address_space, cpu, nproc }))
}
