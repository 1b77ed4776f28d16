//! Whom a connection with TLS trusts, and the certificate that it shows.

use std::sync::Arc;

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{ConfigError, tls::Roots};

const IDENTITY: &str =
    "a certificate, with its chain, and the private key that belongs to it, in PEM";

/// Settings that matter where the URL asks for TLS.
pub(super) struct Tls {
    pub(super) roots: Roots,
    identity: Option<Identity>,
}

/// A certificate of the client's own, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    pub(super) fn new() -> Self {
        Self { roots: Roots::bundled(), identity: None }
    }

    /// Refused where key and certificate do not belong together.
    pub(super) fn with_identity(self, chain: &[u8], key: &[u8]) -> Result<Self, ConfigError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key)) else {
            return Err(ConfigError::UnreadableKey(IDENTITY));
        };
        let tls = Self { identity: Some(Identity { chain, key }), ..self };
        tls.client_config()?;
        Ok(tls)
    }

    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, ConfigError> {
        let config = self.roots.client()?;
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|_| ConfigError::UnreadableKey(IDENTITY))?,
        };
        Ok(Arc::new(config))
    }
}
