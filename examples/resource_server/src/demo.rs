//! Tokens to try, if there are no settings.

use std::net::SocketAddr;

use serde_json::json;
use tower_bearer::{
    Algorithm, ConfigError, Issuer, ProtectedResource,
    claims::{Clock, SystemClock},
    jws::{SigningFailed, SigningKey},
};

use crate::settings::{acr_values, setting};

/// A key pair of this process, and the issuer and audience of its tokens.
pub(crate) struct Demo {
    key: SigningKey,
    issuer: String,
    audience: String,
}

impl Demo {
    pub(crate) fn new(audience: Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            key: SigningKey::generate(Algorithm::EdDSA)?,
            issuer: setting("ISSUER").unwrap_or_else(|| "https://issuer.example".to_owned()),
            audience: audience.unwrap_or_else(|| "api://demo".to_owned()),
        })
    }

    pub(crate) fn issuer(&self) -> Issuer {
        let key = self.key.verifying_key().clone();
        Issuer::new(self.issuer.as_str(), key).audience(self.audience.as_str())
    }

    /// A token with these claims, which may replace the usual ones.
    fn token(&self, subject: &str, claims: serde_json::Value) -> Result<String, SigningFailed> {
        let now = now();
        let mut all = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "scope": "orders:read",
            "iat": now,
            "exp": now + 3_600,
        });
        if let (Some(all), serde_json::Value::Object(claims)) = (all.as_object_mut(), claims) {
            all.extend(claims);
        }
        self.key.sign("at+jwt", &all.to_string())
    }

    /// Prints tokens, and a `curl` line with its answer for each call.
    pub(crate) fn print(
        &self,
        address: SocketAddr,
        resource: Option<&ProtectedResource>,
    ) -> Result<(), SigningFailed> {
        let (now, acr) = (now(), acr_values().into_iter().next());
        let user = self.token("demo-user", json!({ "jti": "demo-user" }))?;
        let admin = json!({ "jti": "demo-admin", "scope": "orders:read admin" });
        let admin = self.token("demo-admin", admin)?;
        let expired = json!({ "jti": "demo-expired", "exp": now.saturating_sub(3_600) });
        let expired = self.token("demo-user", expired)?;
        let mfa = json!({ "jti": "demo-mfa", "acr": acr, "auth_time": now });
        let mfa = self.token("demo-user", mfa)?;
        println!(
            "\
\nNo issuer is set, so here are tokens of a key pair made for this run. Try:

USER_TOKEN={user}
ADMIN_TOKEN={admin}
EXPIRED_TOKEN={expired}
MFA_TOKEN={mfa}

curl -i http://{address}/whoami                                      # 401 not_authenticated
curl -i http://{address}/whoami -H \"Authorization: Bearer $USER_TOKEN\"     # 200, the claims
curl -i http://{address}/whoami -H \"Authorization: Bearer $EXPIRED_TOKEN\"  # 401 token_not_valid
curl -i http://{address}/admin -H \"Authorization: Bearer $USER_TOKEN\"      # 403 permission_denied
curl -i http://{address}/admin -H \"Authorization: Bearer $ADMIN_TOKEN\"     # 200
curl -i http://{address}/transfer -H \"Authorization: Bearer $USER_TOKEN\"   # 401 insufficient_user_authentication
curl -i http://{address}/transfer -H \"Authorization: Bearer $MFA_TOKEN\"    # 200, until its log-in is too old"
        );
        if let Some(resource) = resource {
            let path = resource.metadata_path();
            println!("curl -i http://{address}{path}  # 200, the metadata document");
        }
        println!(
            "\
curl -i -X POST http://{address}/logout -H \"Authorization: Bearer $USER_TOKEN\"  # 204, the token is revoked
curl -i http://{address}/whoami -H \"Authorization: Bearer $USER_TOKEN\"     # 401 token_not_valid"
        );
        Ok(())
    }
}

fn now() -> u64 {
    SystemClock::default().unix_time().as_secs()
}
