//! TLS settings of the HTTP client of this crate: which certificate authorities it trusts.
//!
//! TLS is rustls with AWS-LC, even if another backend verifies signatures. The provider is passed explicitly, so a
//! provider that the process has installed is neither used nor needed.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::ConfigError;

/// Certificate authorities that the client trusts.
#[derive(Clone)]
pub(crate) struct Roots(Arc<RootCertStore>);

impl Roots {
    /// The authorities of Mozilla's programme.
    pub(crate) fn bundled() -> Self {
        Self(Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()))
    }

    /// The authorities of the operating system, as they are now.
    pub(crate) fn of_system() -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        // Systems may have unusual certificates. Those that cannot be read are ignored.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ConfigError::Roots("certificate of an authority on this system"));
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Only the authorities of a PEM text.
    pub(crate) fn of_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        Self(Arc::new(RootCertStore::empty())).and_pem(pem)
    }

    /// Adds the authorities of a PEM text.
    pub(crate) fn and_pem(self, pem: &[u8]) -> Result<Self, ConfigError> {
        let mut roots = Arc::unwrap_or_clone(self.0);
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            certificate
                .ok()
                .and_then(|certificate| roots.add(certificate).ok())
                .ok_or(ConfigError::Roots("certificate in PEM that can be read"))?;
        }
        if roots.len() == before {
            return Err(ConfigError::Roots("certificate in PEM"));
        }
        Ok(Self(Arc::new(roots)))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A TLS client configuration. The caller still decides whether the client has its own certificate.
    pub(crate) fn client(
        &self,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| ConfigError::Tls)?;
        Ok(config.with_root_certificates(Arc::clone(&self.0)))
    }
}
