//! Issuers whose keys come from the network.

use std::sync::Arc;

use super::RemoteJwks;
use crate::{ConfigError, Issuer, IssuerWithoutAudience, KeySource};

impl From<RemoteJwks> for KeySource {
    fn from(keys: RemoteJwks) -> Self {
        Self::remote(keys)
    }
}

impl Issuer {
    /// An issuer that is called `url` in `iss` and publishes metadata under that address, which tell the address of its
    /// keys: OpenID Connect Discovery (`/.well-known/openid-configuration` appended) or, where there is none, RFC 8414
    /// (`/.well-known/oauth-authorization-server` inserted before the path).
    ///
    /// The `issuer` of the metadata must be `url`, byte for byte: a final slash counts. If it is another, tokens are answered
    /// with 503, and [`JwksHealth::last_error`](super::JwksHealth::last_error) tells both names. Of all else in the metadata only
    /// `jwks_uri` is used. They are read again after an hour, and after a failure.
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
    /// As [`RemoteJwks::discover`]; `http` to another machine is refused when the verifier is built.
    pub fn discover(url: &str) -> Result<IssuerWithoutAudience, ConfigError> {
        Self::discover_at(url, url)
    }

    /// An issuer that is called `name` and whose metadata are had from `url`: for a server that is reached under another address
    /// than its clients know.
    ///
    /// The `issuer` of the metadata must be `name`, byte for byte. Their `jwks_uri` is used as it stands,
    /// under rule 9 of the [module](super): that of an issuer elsewhere must not be a loopback or link-local address.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    pub fn discover_at(
        url: &str,
        name: impl Into<Arc<str>>,
    ) -> Result<IssuerWithoutAudience, ConfigError> {
        let name = name.into();
        let keys = RemoteJwks::discover_at(url, Arc::clone(&name))?;
        Ok(Self::new(name, keys))
    }
}
