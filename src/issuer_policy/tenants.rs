//! Issuers of many tenants, such as Microsoft Entra. The issuer names of the tenants differ in one place.

use std::{fmt, sync::Arc};

use super::{Issuer, IssuerWithoutAudience, KeySource};
use crate::{ConfigError, jws::Key};

/// The placeholder for the tenant in a template. Entra uses the same text in its metadata.
pub(super) const PLACEHOLDER: &str = "{tenantid}";

/// The maximum length of a tenant's name. The names in Entra are UUIDs of 36 characters.
const MAX_TENANT: usize = 64;

/// A multi-tenant issuer without a decision about its tenants.
///
/// Anyone can have a tenant of Microsoft Entra. So there is no [`Issuer`] without a decision about which tenants are
/// accepted.
#[must_use = "an issuer needs its tenants and an audience before a verifier takes it"]
pub struct IssuerWithoutTenants {
    template: Arc<str>,
    keys: KeySource,
}

impl Issuer {
    /// An issuer of many tenants. Its name in `iss` is `template` with the tenant in place of `{tenantid}`.
    ///
    /// Microsoft Entra does this for multi-tenant applications. All tenants share one key set. For each token:
    ///
    /// 1. `iss` must be the template, byte by byte, with a tenant of 1 to 64 letters, digits and hyphens.
    /// 2. A key of the set must verify the signature. If the key has a member `issuer`, that must be the template or
    ///    the token's `iss`: Entra publishes keys that sign for one tenant only.
    /// 3. The claim `tid` must be the same tenant.
    /// 4. You must accept the tenant. This is checked on every request.
    ///
    /// Revocation uses the `iss` of the token, not the template: a revocation of one tenant does not affect other
    /// tenants. [`RegisteredClaims::issuer`](crate::claims::RegisteredClaims::issuer) also returns the `iss` of the
    /// token. To revoke a key that all tenants share, revoke it for each tenant. If you also configure an issuer with
    /// the full name of one tenant, that issuer takes precedence for that tenant.
    ///
    /// `keys` must be the keys of the template. With the feature `jwks` they come from the metadata, whose `issuer`
    /// must be the template:
    ///
    /// ```
    /// # #[cfg(all(feature = "jwks", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use tower_bearer::{Issuer, jwks::RemoteJwks};
    ///
    /// let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    /// let url = "https://login.microsoftonline.com/organizations/v2.0";
    /// let issuer = Issuer::multi_tenant(template, RemoteJwks::discover_at(url, template)?)
    ///     .tenants(["9188040d-6c67-4c5b-b112-36a304b66dad"])
    ///     .audience("6e74172b-be56-4843-9ff4-e66a39bb12e3")
    ///     .token_id_claim("uti");
    /// # let _ = issuer;
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`build`](crate::AuthenticatorBuilder::build) fails with [`ConfigError::InvalidIssuerName`] if the template does
    /// not have exactly one `{tenantid}`, or has other braces.
    pub fn multi_tenant(
        template: impl Into<Arc<str>>,
        keys: impl Into<KeySource>,
    ) -> IssuerWithoutTenants {
        IssuerWithoutTenants { template: template.into(), keys: keys.into() }
    }
}

impl IssuerWithoutTenants {
    /// Accepts these tenants. Compares them byte by byte with `tid`. With an empty list,
    /// [`build`](crate::AuthenticatorBuilder::build) fails.
    pub fn tenants<T: Into<Box<str>>>(
        self,
        tenants: impl IntoIterator<Item = T>,
    ) -> IssuerWithoutAudience {
        let tenants = tenants.into_iter().map(Into::into).collect();
        self.accepting(Accepted::Listed(tenants))
    }

    /// Accepts the tenants for which `accepts` returns `true`. It is called on every request, after the signature was
    /// verified. It must be fast, and must read only memory.
    pub fn tenants_by(
        self,
        accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> IssuerWithoutAudience {
        self.accepting(Accepted::By(Box::new(accepts)))
    }

    /// Accepts every tenant. **Anyone can have one**, and can write any `email` or name into its tokens. Use only `tid`
    /// and `oid` to decide about permissions.
    pub fn allow_any_tenant(self) -> IssuerWithoutAudience {
        self.accepting(Accepted::Any)
    }

    fn accepting(self, accepted: Accepted) -> IssuerWithoutAudience {
        let tenants = Tenants::new(&self.template, accepted);
        Issuer::with_tenants(self.template, Some(tenants), self.keys)
    }
}

impl fmt::Debug for IssuerWithoutTenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerWithoutTenants")
            .field("template", &self.template)
            .field("keys", &self.keys)
            .finish()
    }
}

/// The accepted tenants, and the template of their names.
pub(crate) struct Tenants {
    /// The text of the template before and after the tenant.
    before: Box<str>,
    after: Box<str>,
    accepted: Accepted,
}

enum Accepted {
    Any,
    Listed(Vec<Box<str>>),
    By(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Tenants {
    fn new(template: &str, accepted: Accepted) -> Self {
        let (before, after) = template.split_once(PLACEHOLDER).unwrap_or((template, ""));
        Self { before: before.into(), after: after.into(), accepted }
    }

    /// The tenant in a name that matches the template.
    pub(crate) fn tenant_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        is_tenant(tenant).then_some(tenant)
    }

    fn listed_names(&self) -> Vec<Arc<str>> {
        let Accepted::Listed(tenants) = &self.accepted else { return Vec::new() };
        let name = |tenant: &Box<str>| format!("{}{tenant}{}", self.before, self.after).into();
        tenants.iter().map(name).collect()
    }

    /// Whether the tenant in this name is accepted.
    pub(crate) fn accept(&self, name: &str) -> bool {
        let Some(tenant) = self.tenant_of(name) else { return false };
        match &self.accepted {
            Accepted::Any => true,
            Accepted::Listed(tenants) => tenants.iter().any(|listed| **listed == *tenant),
            Accepted::By(accepts) => accepts(tenant),
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
            Accepted::Listed(tenants) if tenants.is_empty() => {
                Err(ConfigError::EmptyName("list of tenants"))
            }
            Accepted::Listed(tenants) if !tenants.iter().all(|tenant| is_tenant(tenant)) => {
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

impl Issuer {
    /// The tenants, if the name is a template.
    pub(crate) fn tenants(&self) -> Option<&Tenants> {
        self.tenants.as_deref()
    }

    /// The names that authorization servers have for clients: the name, or that of each listed tenant. None if the
    /// tenants are not listed.
    pub(crate) fn authorization_servers(&self) -> Vec<Arc<str>> {
        match self.tenants() {
            None => vec![Arc::clone(self.own_name())],
            Some(tenants) => tenants.listed_names(),
        }
    }

    pub(crate) fn describe_tenants(&self) -> String {
        match self.tenants().map(|tenants| &tenants.accepted) {
            None => "this issuer has no tenants".to_owned(),
            Some(Accepted::Any) => "any tenant, equal in `iss` and `tid`".to_owned(),
            Some(Accepted::By(_)) => "an accepted tenant, equal in `iss` and `tid`".to_owned(),
            Some(Accepted::Listed(tenants)) => tenants.join(" or "),
        }
    }

    /// Whether the tenant in this name is accepted now.
    pub(crate) fn accepts_tenant_of(&self, name: &str) -> bool {
        self.tenants().is_none_or(|tenants| tenants.accept(name))
    }

    /// Whether this key may sign for this `iss`. The key sets of multi-tenant issuers can have keys for one tenant
    /// only.
    pub(crate) fn may_sign(&self, key: &Key, iss: &str) -> bool {
        let signs_for = |issuer: &str| issuer == iss || *issuer == *self.name;
        self.tenants.is_none() || key.issuer().is_none_or(signs_for)
    }
}
