//! The client: a key of its own, and a new proof for each request.

use std::error::Error;

use axum::http::{Request, StatusCode, Uri, header::AUTHORIZATION};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy, rt::TokioExecutor};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tower_bearer::{
    Algorithm::ES256,
    claims::{Clock as _, SystemClock},
    jws::SigningKey,
};

pub(crate) struct Client {
    key: SigningKey,
    signing: EncodingKey,
    jwk: Jwk,
}

impl Client {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let key = SigningKey::generate(ES256)?;
        let pem = key.to_pkcs8_pem().ok_or("the key has no PEM")?;
        let jwk = key.public_jwk_json().ok_or("the key has no public half")?;
        Ok(Self {
            signing: EncodingKey::from_ec_pem(pem.as_bytes())?,
            jwk: serde_json::from_str(&jwk)?,
            key,
        })
    }

    /// The RFC 7638 thumbprint of the key.
    pub(crate) fn thumbprint(&self) -> String {
        self.key.verifying_key().thumbprint().to_owned()
    }

    /// A proof for one request with this token (RFC 9449 section 4.2).
    pub(crate) fn proof(
        &self,
        method: &str,
        url: &Uri,
        token: &str,
    ) -> Result<String, Box<dyn Error>> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("dpop+jwt".to_owned());
        header.jwk = Some(self.jwk.clone());
        let claims = json!({
            "jti": URL_SAFE_NO_PAD.encode(id),
            "htm": method,
            "htu": url.to_string(),
            "iat": SystemClock::default().now().as_secs(),
            "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(token)),
        });
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?)
    }
}

/// Sends a request, and returns status and body of the answer.
pub(crate) async fn send(
    url: &Uri,
    authorization: &str,
    proof: Option<&String>,
) -> Result<(StatusCode, String), Box<dyn Error>> {
    let mut request = Request::get(url).header(AUTHORIZATION, authorization);
    if let Some(proof) = proof {
        request = request.header("DPoP", proof);
    }
    let http = legacy::Client::builder(TokioExecutor::new()).build_http::<Empty<&[u8]>>();
    let response = http.request(request.body(Empty::new())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}
