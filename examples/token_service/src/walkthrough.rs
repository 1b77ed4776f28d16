//! Prints what to try: the demo account, and `curl` lines for a shell.

use std::{fmt, net::SocketAddr};

use serde_json::json;
use tower_bearer::claims::{Clock, SystemClock};

use crate::{demo::DemoAccount, settings::Settings};

pub(crate) struct Walkthrough<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) demo: &'a DemoAccount,
    pub(crate) settings: &'a Settings,
}

impl fmt::Display for Walkthrough<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { issuer, audience, .. } = self.settings;
        let email = &self.demo.email;
        let address = self.address;
        let (password, login) = (self.password(), self.login());
        let create = quoted(&json!({ "name": "ci", "expiration_time": in_days(30) }).to_string());
        let rotate = json!({ "expiration_time": in_days(60), "overlap_seconds": 60 });
        let rotate = quoted(&rotate.to_string());
        writeln!(
            f,
            r#"
demo account: {email}, password: {password}
tokens: iss={issuer} aud={audience}, keys at http://{address}/.well-known/jwks.json
the API's document: http://{address}/
manage tokens in a browser: http://{address}/tokens/

# log in: an access token for one hour
API=http://{address}/api/v1
JSON='Content-Type: application/json'
LOGIN=$(curl -s $API/auth/login/ -H "$JSON" -d {login}); echo "$LOGIN"
ACCESS=$(echo "$LOGIN" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
AUTH="Authorization: Bearer $ACCESS"
# create a private token; `data` is the token, and no other answer shows it
CREATED=$(curl -s $API/auth/private_tokens/ -H "$AUTH" -H "$JSON" -d {create}); echo "$CREATED"
ID=$(echo "$CREATED" | sed 's/.*"id":\([0-9]*\).*/\1/')
TOKEN=$(echo "$CREATED" | sed 's/.*"data":"\([^"]*\)".*/\1/')
# list the private tokens
curl -s "$API/auth/private_tokens/?ordering=-id" -H "$AUTH"; echo
# call the protected endpoint
curl -s $API/me -H "Authorization: Bearer $TOKEN"; echo
# rotate, with an overlap: both tokens are valid for a minute
ROTATED=$(curl -s $API/auth/private_tokens/$ID/rotate/ -H "$AUTH" -H "$JSON" -d {rotate}); echo "$ROTATED"
NEW_ID=$(echo "$ROTATED" | sed 's/.*"id":\([0-9]*\).*/\1/')
NEW_TOKEN=$(echo "$ROTATED" | sed 's/.*"data":"\([^"]*\)".*/\1/')
curl -s $API/me -H "Authorization: Bearer $TOKEN"; echo
curl -s $API/me -H "Authorization: Bearer $NEW_TOKEN"; echo
# revoke the new one: 204
curl -si -X DELETE $API/auth/private_tokens/$NEW_ID/ -H "$AUTH"
# the next request with it is rejected: the documented 401
curl -si $API/me -H "Authorization: Bearer $NEW_TOKEN"; echo"#
        )
    }
}

impl Walkthrough<'_> {
    /// A password that the operator chose may be used elsewhere, so it must not be printed.
    fn password(&self) -> &str {
        match self.demo.has_own_password {
            true => "the one in DEMO_PASSWORD, which these lines need, too",
            false => &self.demo.password,
        }
    }

    /// The body of the log-in, as words for a shell. A password that is not printed comes from the shell's variable.
    fn login(&self) -> String {
        let DemoAccount { email, password, has_own_password } = self.demo;
        if !has_own_password {
            let body = json!({ "username": email, "password": password });
            return quoted(&body.to_string());
        }
        let begin = quoted(&format!(r#"{{"username":{},"password":""#, json!(email)));
        format!(r#"{begin}"$(printf %s "$DEMO_PASSWORD" | sed 's/[\\"]/\\&/g')"'"}}'"#)
    }
}

/// Quotes a text as one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn in_days(days: u64) -> String {
    let second = SystemClock::default().unix_time().as_secs() + days * 24 * 3600;
    let second = i64::try_from(second).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX).to_string()
}
