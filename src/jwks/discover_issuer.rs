//! Constructors of `Issuer` whose keys come from the network.

use std::sync::Arc;

use super::RemoteJwks;
use crate::{ConfigError, Issuer, IssuerWithoutAudience};

impl Issuer {
    /// An issuer with the name `url` in `iss`, whose metadata under that URL name the URL of its keys. The metadata are
    /// OpenID Connect Discovery (`/.well-known/openid-configuration` appended). If the server does not answer that URL
    /// with readable metadata, they are RFC 8414 (`/.well-known/oauth-authorization-server` inserted before the path).
    ///
    /// The `issuer` of the metadata must be `url`, byte for byte: a final slash counts. If it is different, the layer
    /// answers tokens with 503, and [`JwksHealth::last_error`](super::JwksHealth::last_error) shows both names. Apart
    /// from `issuer`, only `jwks_uri` of the metadata is used. The metadata are read again after an hour, and after a
    /// failure.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
    /// use tower_bearer::Issuer;
    ///
    /// let issuer = Issuer::discover("https://issuer.example")?.audience("api://orders");
    /// // A handle, to start fetching and to look at its health; settings are changed at `RemoteJwks::discover`.
    /// let keys = issuer.remote_keys().cloned();
    /// # let _ = keys;
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Like [`RemoteJwks::discover`]. Plain `http` to another machine is an error when the verifier is built.
    pub fn discover(url: &str) -> Result<IssuerWithoutAudience, ConfigError> {
        Self::discover_at(url, url)
    }

    /// An issuer with the name `name`, whose metadata are at `url`. Use it for a server that you reach at a different
    /// URL than its clients.
    ///
    /// The `issuer` of the metadata must be `name`, byte for byte. Their `jwks_uri` is used unchanged, under rule 9 of
    /// the [module](super): the `jwks_uri` of an issuer elsewhere must not be a loopback or link-local address.
    ///
    /// # Errors
    /// Like [`discover`](Self::discover).
    pub fn discover_at(
        url: &str,
        name: impl Into<Arc<str>>,
    ) -> Result<IssuerWithoutAudience, ConfigError> {
        let name = name.into();
        let keys = RemoteJwks::discover_at(url, Arc::clone(&name))?;
        Ok(Self::new(name, keys))
    }
}
