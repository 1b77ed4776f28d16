//! Key pairs with ids, the sets that publish them, and tokens.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use crate::common::{requests::NOW, tokens::base64url};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api://orders";

pub(crate) struct Signer {
    key_id: String,
    key_pair: Ed25519KeyPair,
}

impl Signer {
    pub(crate) fn new(key_id: &str) -> Self {
        Self { key_id: key_id.to_owned(), key_pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub(crate) fn jwk(&self) -> String {
        self.jwk_with(&format!(r#","kid":"{}""#, self.key_id))
    }

    /// With these further members, each after a comma.
    pub(crate) fn jwk_with(&self, members: &str) -> String {
        let x = base64url(self.key_pair.public_key());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{members}}}"#)
    }

    /// A token that is good for a month, so that only keys decide.
    pub(crate) fn token(&self) -> String {
        self.token_of(ISSUER)
    }

    pub(crate) fn token_of(&self, issuer: &str) -> String {
        self.token_with(issuer, "")
    }

    /// With these further claims, each after a comma.
    pub(crate) fn token_with(&self, issuer: &str, members: &str) -> String {
        self.sign(&format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, self.key_id), issuer, members)
    }

    pub(crate) fn token_without_key_id(&self) -> String {
        self.sign(r#"{"alg":"EdDSA"}"#, ISSUER, "")
    }

    /// Well made, but by a key that nobody knows.
    pub(crate) fn unknown(key_id: &str) -> String {
        Self::new(key_id).token()
    }

    fn sign(&self, header: &str, issuer: &str, members: &str) -> String {
        let expires_at = NOW + 30 * 24 * 3_600;
        let claims = format!(
            r#"{{"iss":"{issuer}","aud":"{AUDIENCE}","sub":"me","exp":{expires_at}{members}}}"#
        );
        self.sign_claims(header, &claims)
    }

    pub(crate) fn sign_claims(&self, header: &str, claims: &str) -> String {
        let signing_input = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.key_pair.sign(signing_input.as_bytes());
        format!("{signing_input}.{}", base64url(signature.as_ref()))
    }
}

pub(crate) fn set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}
