//! Rules for the names of issuers: a name is not the URL of metadata, and a multi-tenant issuer has a template.

use std::{fmt, sync::Arc};

use crate::ConfigError;

/// The placeholder for the tenant in a template. Entra uses the same text in its metadata.
pub(super) const PLACEHOLDER: &str = "{tenantid}";

/// The maximum length of a tenant's name. The names in Entra are UUIDs of 36 characters.
const MAX_TENANT: usize = 64;

/// Whether this is a URL of an issuer's metadata. Such a URL is neither the name of an issuer nor the URL of a key set.
pub(crate) fn is_of_metadata(url: &str) -> bool {
    const PATHS: [&str; 2] =
        ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
    PATHS.iter().any(|path| url.contains(path))
}

/// The accepted tenants, and the template of their names.
pub(crate) struct Tenants {
    /// The text of the template before and after the tenant.
    before: Box<str>,
    after: Box<str>,
    pub(super) accepted: AcceptedTenants,
}

pub(super) enum AcceptedTenants {
    Any,
    Listed(Vec<Box<str>>),
    By(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Tenants {
    pub(super) fn new(template: &str, accepted: AcceptedTenants) -> Self {
        let (before, after) = template.split_once(PLACEHOLDER).unwrap_or((template, ""));
        Self { before: before.into(), after: after.into(), accepted }
    }

    /// The tenant in a name that matches the template.
    pub(crate) fn tenant_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        is_tenant(tenant).then_some(tenant)
    }

    /// The full name of each listed tenant.
    pub(super) fn listed_names(&self) -> Vec<Arc<str>> {
        let AcceptedTenants::Listed(tenants) = &self.accepted else { return Vec::new() };
        let name = |tenant| format!("{}{tenant}{}", self.before, self.after).into();
        tenants.iter().map(name).collect()
    }

    /// Whether the tenant in this name is accepted.
    pub(crate) fn accept(&self, name: &str) -> bool {
        let Some(tenant) = self.tenant_of(name) else { return false };
        match &self.accepted {
            AcceptedTenants::Any => true,
            AcceptedTenants::Listed(tenants) => tenants.iter().any(|listed| **listed == *tenant),
            AcceptedTenants::By(accepts) => accepts(tenant),
        }
    }

    pub(super) fn validate(&self, template: &str, has_one_name: bool) -> Result<(), ConfigError> {
        let is_template = template.matches(PLACEHOLDER).count() == 1
            && !format!("{}{}", self.before, self.after).contains(['{', '}']);
        if !is_template || !has_one_name {
            return Err(ConfigError::InvalidIssuerName(
                "one name with `{tenantid}` in it once, and without other braces",
            ));
        }
        match &self.accepted {
            AcceptedTenants::Listed(tenants) if tenants.is_empty() => {
                Err(ConfigError::EmptyName("list of tenants"))
            }
            AcceptedTenants::Listed(tenants) if !tenants.iter().all(|tenant| is_tenant(tenant)) => {
                Err(ConfigError::InvalidIssuerName(
                    "tenants of 1 to 64 letters, digits and hyphens, such as a UUID",
                ))
            }
            _ => Ok(()),
        }
    }
}

fn is_tenant(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_TENANT).contains(&name.len()) && name.bytes().all(is_plain)
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, accepted } = self;
        let template = format!("{before}{PLACEHOLDER}{after}");
        f.debug_struct("Tenants").field("template", &template).field("accepted", accepted).finish()
    }
}

impl fmt::Debug for AcceptedTenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Listed(tenants) => f.debug_tuple("Listed").field(tenants).finish(),
            Self::By(_) => f.write_str("By(closure)"),
        }
    }
}
