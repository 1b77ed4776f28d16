//! Says whether a token is valid, for services that cannot verify tokens themselves (RFC 7662).

use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::Value;

use super::TokenIssuer;
use tower_bearer::{Rejection, rejection::Answer};

/// The answer to an introspection (RFC 7662 section 2.2). The claims have the values that they have in the token. A
/// token that is not valid now has `active` only.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Introspection {
    #[serde(default, deserialize_with = "ignored")]
    active: bool,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "orders:read"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<Value>,
    /// `Bearer` (RFC 6750), or `DPoP` for a token that is bound to a key (RFC 9449 section 6.2). This is not the claim
    /// `token_type`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(default, deserialize_with = "ignored", skip_serializing_if = "Option::is_none")]
    token_type: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Value>,
    /// The session of the token.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<Value>,
    /// When the user logged in.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Value>,
    /// The key that the token is bound to: `jkt` is its RFC 7638 thumbprint (RFC 9449 section 6.2). The
    /// service that accepts the token must check the proof of the request.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Value>,
}

impl TokenIssuer {
    /// Says whether this issuer's layers accept a token now, with the proof of its key if it is bound to one. So a
    /// refresh token is not active, and neither is a token for another audience than that of the caller, which is the
    /// audience of every token of this issuer.
    ///
    /// The answer for a token that is not active is always the same (RFC 7662 section 2.2).
    ///
    /// # Errors
    /// If this cannot be checked now.
    pub(super) async fn introspect(&self, token: &str) -> Result<Introspection, Rejection> {
        let token = match self.unproved_authenticator().authenticate(token).await {
            Ok(token) => token,
            Err(rejection) if rejection.answer() == Answer::Unavailable => return Err(rejection),
            Err(_) => return Ok(Introspection::default()),
        };
        // The authenticator has read these claims, so this reads them too. If not, the token counts as not active.
        let claims = serde_json::from_str(token.registered().as_json());
        Ok(claims.map_or_else(
            |_| Introspection::default(),
            |claims: Introspection| {
                let token_type = if claims.cnf.is_some() { "DPoP" } else { "Bearer" };
                Introspection { active: true, token_type: Some(token_type.into()), ..claims }
            },
        ))
    }
}

/// Claims with these names are not shown.
fn ignored<'de, D: Deserializer<'de>, T: Default>(deserializer: D) -> Result<T, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| T::default())
}
