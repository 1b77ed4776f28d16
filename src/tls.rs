//! Whom the clients of this crate trust.
//!
//! TLS is rustls with AWS-LC, whichever backend checks signatures. The provider is passed explicitly: one that the process
//! has installed neither matters nor is needed.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::ConfigError;

/// Authorities whose certificates are believed.
#[derive(Clone)]
pub(crate) struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Those of Mozilla's programme.
    pub(crate) fn bundled() -> Self {
        Self(Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()))
    }

    /// Those of the operating system, as they are now.
    pub(crate) fn of_system() -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        // Systems carry odd certificates: those that cannot be read are left out.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ConfigError::Roots("certificate of an authority on this system"));
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Those of a PEM text alone.
    pub(crate) fn of_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        Self(Arc::new(RootCertStore::empty())).and_pem(pem)
    }

    /// And those of a PEM text.
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

    /// What is left to say is whether the client has a certificate of its own.
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
