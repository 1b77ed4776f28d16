//! A private authority, for servers with TLS.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedKey, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

pub(crate) struct Authority {
    pub(crate) pem: String,
    signing: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key_pair = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key_pair).unwrap().pem();
        Self { pem, signing: Issuer::new(params, key_pair) }
    }

    /// A certificate for `host`, a name or an address, valid until the year given.
    pub(crate) fn certify(&self, host: &str, until: i32) -> CertifiedKey<KeyPair> {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let signing_key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&signing_key, &self.signing).unwrap();
        CertifiedKey { cert, signing_key }
    }
}
