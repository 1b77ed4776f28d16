//! Issuers of many tenants, such as Microsoft Entra: their names differ in one place.

use std::{fmt, sync::Arc};

use super::{Issuer, IssuerWithoutAudience, KeySource};
use crate::{ConfigError, jws::Key};

/// Where the name of the tenant stands in a template. Entra writes it so in its metadata.
pub(super) const PLACEHOLDER: &str = "{tenantid}";

/// The longest name of a tenant. Those of Entra are UUIDs of 36 characters.
const MAX_TENANT: usize = 64;

/// A multi-tenant issuer whose tenants are still to be named.
///
/// Anyone can have a tenant of Microsoft Entra, so there is no [`Issuer`] without a word on which ones may come in.
#[must_use = "an issuer needs its tenants and an audience before a verifier takes it"]
pub struct IssuerWithoutTenants {
    template: Arc<str>,
    keys: KeySource,
}

impl Issuer {
    /// An issuer of many tenants: its name in `iss` is `template` with the tenant in place of `{tenantid}`.
    ///
    /// This is what Microsoft Entra does for multi-tenant applications. All tenants share one key set. For each token:
    ///
    /// 1. `iss` must be the template, byte by byte, with a tenant of 1 to 64 letters, digits and hyphens.
    /// 2. A key of the set must verify the signature. If the key has a member `issuer`, that must be the template or
    ///    the token's `iss`: Entra publishes keys that sign for one tenant alone.
    /// 3. The claim `tid` must be the same tenant.
    /// 4. The tenant must be one that you accept. This is looked at on every request.
    ///
    /// Revocation uses the `iss` of the token, not the template: what one tenant revokes does not touch another. So
    /// does [`RegisteredClaims::issuer`](crate::claims::RegisteredClaims::issuer). A key that all tenants share has to
    /// be revoked for each tenant. An issuer that is configured with the full
    /// name of one tenant takes precedence for that tenant.
    ///
    /// `keys` must be those of the template. With the feature `jwks` they come from the metadata, whose `issuer` must
    /// be the template:
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
    /// The verifier refuses to be built with [`ConfigError::InvalidIssuerName`] where the template does not have
    /// exactly one `{tenantid}`, or has other braces.
    pub fn multi_tenant(
        template: impl Into<Arc<str>>,
        keys: impl Into<KeySource>,
    ) -> IssuerWithoutTenants {
        IssuerWithoutTenants { template: template.into(), keys: keys.into() }
    }
}

impl IssuerWithoutTenants {
    /// Accepts these tenants, compared byte by byte with `tid`. An empty list is an error when the verifier is built.
    pub fn tenants<T: Into<Box<str>>>(
        self,
        tenants: impl IntoIterator<Item = T>,
    ) -> IssuerWithoutAudience {
        let tenants = tenants.into_iter().map(Into::into).collect();
        self.accepting(Accepted::Listed(tenants))
    }

    /// Accepts the tenants for which `accepts` is true. It is called on every request, after the signature has
    /// verified: keep it fast, and let it look at memory only.
    pub fn tenants_by(
        self,
        accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> IssuerWithoutAudience {
        self.accepting(Accepted::By(Box::new(accepts)))
    }

    /// Accepts every tenant. **Anyone can have one**, and writes any `email` or name into its tokens: decide by `tid`
    /// and `oid` alone who may do what.
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

/// Which tenants may come in, and how their names are read.
pub(crate) struct Tenants {
    /// What stands in the template before and after the tenant.
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

    /// The tenant in a name that the template makes.
    pub(crate) fn tenant_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let tenant = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        is_tenant(tenant).then_some(tenant)
    }

    /// Whether the tenant that this name is of may come in.
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
    /// The tenants, where the name is a template.
    pub(crate) fn tenants(&self) -> Option<&Tenants> {
        self.tenants.as_deref()
    }

    /// Whether the tenant that this name is of may come in now.
    pub(crate) fn accepts_tenant_of(&self, name: &str) -> bool {
        self.tenants().is_none_or(|tenants| tenants.accept(name))
    }

    /// Whether this key may sign under this `iss`. The sets of multi-tenant issuers have keys for one tenant alone.
    pub(crate) fn may_sign(&self, key: &Key, iss: &str) -> bool {
        let signs_for = |issuer: &str| issuer == iss || *issuer == *self.name;
        self.tenants.is_none() || key.issuer().is_none_or(signs_for)
    }
}
