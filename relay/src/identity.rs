//! As whom to connect: the same keys in two tables of the configuration, and the same options of commands.

use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Clone, Default)]
pub(crate) struct Identity {
    /// Certificate to connect with
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// Seed of an NKey
    #[arg(long, value_name = "FILE", conflicts_with = "credentials")]
    pub(crate) nkey: Option<PathBuf>,
    /// File with a JWT and its seed
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Name of a user with a password
    #[arg(long, value_name = "NAME", requires = "password_file", conflicts_with_all = ["nkey", "credentials"])]
    pub(crate) user: Option<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
}

impl Identity {
    /// Whether somebody is named.
    pub(crate) fn is_named(&self) -> bool {
        self.certificate.is_some()
            || self.nkey.is_some()
            || self.credentials.is_some()
            || self.user.is_some()
    }

    /// What belongs together is there together.
    pub(crate) fn check(&self, section: &str) -> Result<()> {
        if self.certificate.is_some() != self.key.is_some() {
            bail!("{section}: certificate and key belong together");
        }
        if self.user.is_some() != self.password_file.is_some() {
            bail!("{section}: user and password_file belong together");
        }
        Ok(())
    }
}

/// A table of the configuration that has these keys beside its own. Serde can't put them together and refuse a key
/// that isn't known.
macro_rules! table_with_identity {
    ($(#[$about:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
            pub(crate) identity: $crate::identity::Identity,
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Table {
                    $($(#[$meta])* $field: $type,)*
                    certificate: Option<std::path::PathBuf>,
                    key: Option<std::path::PathBuf>,
                    nkey: Option<std::path::PathBuf>,
                    credentials: Option<std::path::PathBuf>,
                    user: Option<String>,
                    password_file: Option<std::path::PathBuf>,
                }
                let Table {
                    $($field,)* certificate, key, nkey, credentials, user, password_file
                } = Table::deserialize(deserializer)?;
                let identity = $crate::identity::Identity {
                    certificate, key, nkey, credentials, user, password_file
                };
                Ok(Self { $($field,)* identity })
            }
        }
    };
}

pub(crate) use table_with_identity;
