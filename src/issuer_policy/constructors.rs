//! Constructors of [`Issuer`]: the decisions that you must make before there is one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Issuer, KeySource,
    issuer_name::{AcceptedTenants, Tenants},
};
#[cfg(doc)]
use crate::ConfigError;
use crate::claims::DEFAULT_LEEWAY;

impl Issuer {
    /// An issuer that is called `name` in `iss`, byte by byte (RFC 8725 section 3.8), and signs with `keys`.
    ///
    /// Default policy: you must decide about the audience, `exp` is required, the leeway is 30 seconds, `typ` is
    /// absent, `JWT` or `at+jwt`.
    #[expect(clippy::new_ret_no_self, reason = "an issuer begins without its audience")]
    pub fn new(name: impl Into<Arc<str>>, keys: impl Into<KeySource>) -> IssuerWithoutAudience {
        Self::with_tenants(name.into(), None, keys.into())
    }

    fn with_tenants(
        name: Arc<str>,
        tenants: Option<Tenants>,
        keys: KeySource,
    ) -> IssuerWithoutAudience {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        IssuerWithoutAudience(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            name,
            other_names: Vec::new(),
            tenants: tenants.map(Arc::new),
            keys,
            audiences: None,
            audience_claim: "aud".into(),
            types: None,
            leeway: DEFAULT_LEEWAY,
            expiry_leeway: None,
            required_claims: Vec::new(),
            required_values: Vec::new(),
            max_age: None,
            max_lifetime: None,
            token_id_claim: None,
            allow_unverified_cnf: false,
            allow_null_claims: false,
            has_integer_subject: false,
            #[cfg(feature = "jwks")]
            status_lists: None,
        })
    }

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

/// An issuer without a decision about its audience. This decision is mandatory, so there is no [`Issuer`] without it: a
/// service that does not check `aud` accepts tokens for other services of the same issuer (RFC 8725 section 3.9).
#[derive(Debug)]
#[must_use = "an issuer needs an audience before a verifier takes it"]
pub struct IssuerWithoutAudience(Issuer);

impl IssuerWithoutAudience {
    /// Requires that `aud` is this text, or an array that contains it. Compares byte by byte (RFC 7519 section 4.1.3).
    pub fn audience(self, audience: impl Into<Box<str>>) -> Issuer {
        self.0.add_audience(audience)
    }

    /// Accepts tokens with any `aud` and without one. If `aud` is present, it must still be a string or an array of
    /// strings. The array may be empty.
    pub fn allow_any_audience(self) -> Issuer {
        self.0
    }
}

/// A multi-tenant issuer without a decision about its tenants.
///
/// Anyone can have a tenant of Microsoft Entra. So there is no [`Issuer`] without a decision about which tenants are
/// accepted.
#[must_use = "an issuer needs its tenants and an audience before a verifier takes it"]
pub struct IssuerWithoutTenants {
    template: Arc<str>,
    keys: KeySource,
}

impl IssuerWithoutTenants {
    /// Accepts these tenants. Compares them byte by byte with `tid`. With an empty list,
    /// [`build`](crate::AuthenticatorBuilder::build) fails.
    pub fn tenants<T: Into<Box<str>>>(
        self,
        tenants: impl IntoIterator<Item = T>,
    ) -> IssuerWithoutAudience {
        let tenants = tenants.into_iter().map(Into::into).collect();
        self.accepting(AcceptedTenants::Listed(tenants))
    }

    /// Accepts the tenants for which `accepts` returns `true`. It is called on every request, after the signature was
    /// verified. It must be fast, and must read only memory.
    pub fn tenants_by(
        self,
        accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> IssuerWithoutAudience {
        self.accepting(AcceptedTenants::By(Box::new(accepts)))
    }

    /// Accepts every tenant. **Anyone can have one**, and can write any `email` or name into its tokens. Use only `tid`
    /// and `oid` to decide about permissions.
    pub fn allow_any_tenant(self) -> IssuerWithoutAudience {
        self.accepting(AcceptedTenants::Any)
    }

    fn accepting(self, accepted: AcceptedTenants) -> IssuerWithoutAudience {
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
