//! Attacks on status lists (draft-ietf-oauth-status-list-20 section 11): lists elsewhere, forged and old lists, and
//! tokens with a `status` that two readers could read in two ways.

use std::sync::{Arc, Mutex};

use tower_bearer::{
    BoxFuture, Issuer, Key, RejectionKind, UnixTime,
    claims::ManualClock,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched},
    jws::SigningKey,
    status_list::StatusLists,
    test_util::TestIssuer,
};

use super::server::Server;
use crate::common::{
    requests::{NOW, issuer, token, token_with},
    tokens::{SECRET, sign_hs256, sign_hs256_with},
};

const URL: &str = "https://issuer.example/lists/1";
const HEADER: &str = r#"{"alg":"HS256","typ":"statuslist+jwt"}"#;

/// The first list of section 4.1: 16 statuses of one bit. Index 0 is 1, index 1 is 0.
const LIST: &str = r#"{"bits":1,"lst":"eNrbuRgAAhcBXQ"}"#;

const FOREIGN: RejectionKind = RejectionKind::ForeignStatusList;
const INVALID: RejectionKind = RejectionKind::InvalidClaim;
const UNAVAILABLE: RejectionKind = RejectionKind::StatusUnavailable;

/// Serves one text at every URL, and notes which URLs were fetched.
#[derive(Clone)]
struct Lists {
    text: Arc<Mutex<String>>,
    fetched: Arc<Mutex<Vec<String>>>,
}

impl Lists {
    fn serving(text: impl Into<String>) -> Self {
        Self { text: Arc::new(Mutex::new(text.into())), fetched: Arc::default() }
    }

    fn fetched(&self) -> Vec<String> {
        self.fetched.lock().unwrap().clone()
    }

    /// A policy with these lists, whose prefix is `https://issuer.example/lists`.
    fn of(&self, issuer: Issuer) -> Issuer {
        let lists = StatusLists::new("https://issuer.example/lists").unwrap();
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        issuer.with_status_lists(lists.with_fetcher(self.clone()).with_clock(clock))
    }

    async fn server(&self) -> Server {
        Server::trusting([self.of(issuer())]).await
    }
}

impl FetchJwks for Lists {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        assert_eq!(request.accept(), "application/statuslist+jwt");
        self.fetched.lock().unwrap().push(request.url().to_owned());
        Box::pin(async { Ok(Fetched::document(self.text.lock().unwrap().clone())) })
    }
}

/// The claims of a list at [`URL`] with these members.
fn list_claims(members: &str) -> String {
    format!(r#"{{"sub":"{URL}",{members}}}"#)
}

fn good_claims() -> String {
    list_claims(&format!(r#""iat":{NOW},"status_list":{LIST}"#))
}

fn good_list() -> String {
    sign_hs256(HEADER, &good_claims())
}

/// A token with this text as `status`.
fn token_with_status(status: &str) -> String {
    token_with(&format!(r#""exp":{},"status":{status}"#, NOW + 60))
}

fn token_at(index: &str, url: &str) -> String {
    token_with_status(&format!(r#"{{"status_list":{{"idx":{index},"uri":"{url}"}}}}"#))
}

#[tokio::test]
async fn a_token_cannot_choose_where_its_list_is_fetched() {
    let lists = Lists::serving(good_list());
    let server = lists.server().await;
    for url in [
        "https://evil.example/lists/1",
        "https://issuer.example.evil.example/lists/1",
        "https://issuer.example@evil.example/lists/1",
        "https://user@issuer.example/lists/1",
        "https://issuer.example:8443/lists/1",
        "http://issuer.example/lists/1",
        "http://issuer.example:443/lists/1",
        "https://issuer.example/lists2/1",
        "https://issuer.example/lists/../other/1",
        "https://issuer.example/lists/%2e%2e/other/1",
        "https://issuer.example/lists/..%2fother/1",
        "https://issuer.example/lists//1",
        "https://issuer.example/other-tenant/lists/1",
        "https://169.254.169.254/lists/1",
        "file:///lists/1",
        "/lists/1",
    ] {
        server.assert_refused(&token_at("1", url), FOREIGN).await;
    }
    assert!(lists.fetched().is_empty());
    server.assert_admitted(&token_at("1", URL)).await;
    server.assert_refused(&token_at("0", URL), RejectionKind::StatusInvalid).await;
    assert_eq!(lists.fetched(), [URL]);
}

#[tokio::test]
async fn a_status_must_have_one_index_and_one_url() {
    let lists = Lists::serving(good_list());
    let server = lists.server().await;
    server.assert_admitted(&token_at("1", URL)).await;
    for index in [
        "-1",
        "-0",
        "1.0",
        "1.5",
        "1e0",
        "\"1\"",
        "null",
        "true",
        "[1]",
        "{}",
        "18446744073709551616",
    ] {
        server.assert_refused(&token_at(index, URL), INVALID).await;
    }
    for status in [
        "null".to_owned(),
        "0".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"status_list":null}"#.to_owned(),
        r#"{"status_list":[]}"#.to_owned(),
        r#"{"status_list":{"idx":1}}"#.to_owned(),
        format!(r#"{{"status_list":{{"uri":"{URL}"}}}}"#),
        r#"{"status_list":{"idx":1,"uri":7}}"#.to_owned(),
        // Another mechanism, which this crate cannot check.
        r#"{"other":{"idx":1}}"#.to_owned(),
    ] {
        server.assert_refused(&token_with_status(&status), INVALID).await;
    }
    for twice in [
        format!(r#"{{"status_list":{{"idx":0,"idx":1,"uri":"{URL}"}}}}"#),
        format!(r#"{{"status_list":{{"idx":1,"uri":"{URL}","uri":"{URL}"}}}}"#),
        format!(r#"{{"status_list":{{}},"status_list":{{"idx":1,"uri":"{URL}"}}}}"#),
    ] {
        let refused = RejectionKind::MalformedClaims;
        server.assert_refused(&token_with_status(&twice), refused).await;
    }
    for index in ["16", "17", "4294967297", "18446744073709551615"] {
        let refused = RejectionKind::StatusIndexOutOfRange;
        server.assert_refused(&token_at(index, URL), refused).await;
    }
    // An escape is not another URL.
    server.assert_admitted(&token_at("1", "https:\\/\\/issuer.example/lists/\\u0031")).await;
    assert_eq!(lists.fetched(), [URL]);
}

#[tokio::test]
async fn a_list_that_breaks_a_rule_is_not_used() {
    let claims = |members: &str| sign_hs256(HEADER, &list_claims(members));
    let with_list = |list: &str| claims(&format!(r#""iat":{NOW},"status_list":{list}"#));
    let typ = |typ: &str| sign_hs256(&format!(r#"{{"alg":"HS256"{typ}}}"#), &good_claims());
    let good = good_list();
    Lists::serving(&good).server().await.assert_admitted(&token_at("1", URL)).await;
    for (attack, list) in [
        ("no typ", typ("")),
        ("an access token", typ(r#","typ":"at+jwt""#)),
        ("JWT", typ(r#","typ":"JWT""#)),
        ("crit", typ(r#","typ":"statuslist+jwt","crit":["x"],"x":1"#)),
        ("alg none", sign_hs256(r#"{"alg":"none","typ":"statuslist+jwt"}"#, &good_claims())),
        ("another key", sign_hs256_with(&[7; 32], HEADER, &good_claims())),
        ("a line feed", format!("{good}\n")),
        ("HTML", "<html></html>".to_owned()),
        ("empty", String::new()),
        (
            "the list of another URL",
            sign_hs256(HEADER, &good_claims().replace("/lists/1", "/lists/2")),
        ),
        ("no sub", sign_hs256(HEADER, &format!(r#"{{"iat":{NOW},"status_list":{LIST}}}"#))),
        ("no iat", claims(&format!(r#""status_list":{LIST}"#))),
        ("iat is a string", claims(&format!(r#""iat":"{NOW}","status_list":{LIST}"#))),
        ("iat in the future", claims(&format!(r#""iat":{},"status_list":{LIST}"#, NOW + 31))),
        (
            "nbf in the future",
            claims(&format!(r#""iat":{NOW},"nbf":{},"status_list":{LIST}"#, NOW + 31)),
        ),
        ("expired", claims(&format!(r#""iat":{NOW},"exp":{NOW},"status_list":{LIST}"#))),
        ("exp is null", claims(&format!(r#""iat":{NOW},"exp":null,"status_list":{LIST}"#))),
        ("ttl 0", claims(&format!(r#""iat":{NOW},"ttl":0,"status_list":{LIST}"#))),
        ("ttl below 0", claims(&format!(r#""iat":{NOW},"ttl":-1,"status_list":{LIST}"#))),
        ("ttl is a string", claims(&format!(r#""iat":{NOW},"ttl":"60","status_list":{LIST}"#))),
        ("two subs", claims(&format!(r#""sub":"{URL}","iat":{NOW},"status_list":{LIST}"#))),
        ("two lists", claims(&format!(r#""iat":{NOW},"status_list":{LIST},"status_list":{LIST}"#))),
        ("two bits", with_list(r#"{"bits":1,"bits":1,"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("no list", claims(&format!(r#""iat":{NOW}"#))),
        ("list is a string", with_list("\"eNrbuRgAAhcBXQ\"")),
        ("no bits", with_list(r#"{"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("bits 0", with_list(r#"{"bits":0,"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("bits 3", with_list(r#"{"bits":3,"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("bits 16", with_list(r#"{"bits":16,"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("bits -1", with_list(r#"{"bits":-1,"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("bits 1.0", with_list(r#"{"bits":1.0,"lst":"eNrbuRgAAhcBXQ"}"#)),
        ("bits is a string", with_list(r#"{"bits":"1","lst":"eNrbuRgAAhcBXQ"}"#)),
        ("no lst", with_list(r#"{"bits":1}"#)),
        ("lst is an array", with_list(r#"{"bits":1,"lst":[185,163]}"#)),
        ("lst is padded", with_list(r#"{"bits":1,"lst":"eNrbuRgAAhcBXQ=="}"#)),
        ("lst is not canonical", with_list(r#"{"bits":1,"lst":"eNrbuRgAAhcBXR"}"#)),
        ("lst is not base64url", with_list(r#"{"bits":1,"lst":"eNrbuRgAAhcB+Q"}"#)),
        ("lst is empty", with_list(r#"{"bits":1,"lst":""}"#)),
        ("lst is cut off", with_list(r#"{"bits":1,"lst":"eNrbuRgA"}"#)),
        ("lst is not compressed", with_list(r#"{"bits":1,"lst":"uaM"}"#)),
    ] {
        let lists = Lists::serving(list);
        let server = lists.server().await;
        // The reason also tells that the list was fetched and not used.
        server.assert_refused(&token_at("1", URL), UNAVAILABLE).await;
        server.assert_admitted(&token()).await;
        assert_eq!(lists.fetched(), [URL], "{attack}");
    }
    // The twins of the dates.
    for members in [
        format!(r#""iat":{},"exp":{},"ttl":60.5,"nbf":{NOW}"#, NOW + 30, NOW + 1),
        format!(r#""iat":{}.5,"ttl":1e300,"aud":"x","iss":"y""#, NOW - 1_000_000),
    ] {
        let list = claims(&format!(r#"{members},"status_list":{LIST}"#));
        Lists::serving(list).server().await.assert_admitted(&token_at("1", URL)).await;
    }
}

/// A list that inflates beyond the limit is refused. The response itself is short.
#[tokio::test]
async fn a_decompression_bomb_is_not_inflated() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let test_issuer =
        TestIssuer::new().with_key(SigningKey::hs256(SECRET).unwrap()).with_clock(clock.clone());
    for (statuses, is_used) in [(80_000, true), (80_001, false), (8_000_000, false)] {
        let list = test_issuer.status_list(URL).with_length(statuses).issue();
        assert!(list.len() < 10_000 + statuses / 500);
        // 80 000 statuses of one bit are 10 000 bytes.
        let lists = StatusLists::new("https://issuer.example/lists")
            .unwrap()
            .with_max_list_size(10_000)
            .with_fetcher(Lists::serving(list))
            .with_clock(clock.clone());
        let server = Server::trusting([issuer().with_status_lists(lists)]).await;
        match is_used {
            true => server.assert_admitted(&token_at("1", URL)).await,
            false => server.assert_refused(&token_at("1", URL), UNAVAILABLE).await,
        }
    }
}

#[tokio::test]
async fn a_list_of_another_issuer_is_not_used() {
    let other_secret = [9; 32];
    let other = Issuer::new("https://other.example", Key::hs256(other_secret).unwrap())
        .audience("api://orders");
    let lists = Lists::serving(sign_hs256_with(&other_secret, HEADER, &good_claims()));
    let server = Server::trusting([lists.of(issuer()), lists.of(other)]).await;
    server.assert_refused(&token_at("1", URL), UNAVAILABLE).await;
    let claims = format!(
        r#"{{"iss":"https://other.example","aud":"api://orders","exp":{},"status":{{"status_list":{{"idx":1,"uri":"{URL}"}}}}}}"#,
        NOW + 60
    );
    server.assert_admitted(&sign_hs256_with(&other_secret, r#"{"alg":"HS256"}"#, &claims)).await;
}

/// The type of a list keeps it from being a token, and the type of a token keeps it from being a list.
#[tokio::test]
async fn a_list_is_not_a_token_and_a_token_is_not_a_list() {
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"{URL}","exp":{},"iat":{NOW},"status_list":{LIST}}}"#,
        NOW + 60
    );
    let (list, token) =
        (sign_hs256(HEADER, &claims), sign_hs256(r#"{"alg":"HS256","typ":"at+jwt"}"#, &claims));
    let server = Lists::serving(&list).server().await;
    server.assert_refused(&list, RejectionKind::WrongType).await;
    server.assert_admitted(&token).await;
    server.assert_admitted(&token_at("1", URL)).await;
    let server = Lists::serving(&token).server().await;
    server.assert_refused(&token_at("1", URL), UNAVAILABLE).await;
}

#[tokio::test]
async fn a_token_without_status_is_refused_if_status_is_required() {
    let lists = Lists::serving(good_list());
    let required = StatusLists::new("https://issuer.example/lists")
        .unwrap()
        .with_fetcher(lists.clone())
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .require_status();
    let server = Server::trusting([issuer().with_status_lists(required)]).await;
    server.assert_refused(&token(), RejectionKind::MissingClaim).await;
    server.assert_admitted(&token_at("1", URL)).await;
    lists.server().await.assert_admitted(&token()).await;
    // Without lists, the claim means nothing.
    let open = Server::start().await;
    open.assert_admitted(&token_at("0", "https://evil.example/")).await;
    open.assert_admitted(&token_with_status("7")).await;
}

/// Only a token that has passed the other checks causes a fetch.
#[tokio::test]
async fn a_token_that_is_not_valid_causes_no_fetch() {
    let lists = Lists::serving(good_list());
    let server = lists.server().await;
    let status = format!(r#""status":{{"status_list":{{"idx":1,"uri":"{URL}"}}}}"#);
    let expired = token_with(&format!(r#""exp":{},{status}"#, NOW - 60));
    server.assert_refused(&expired, RejectionKind::Expired).await;
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},{status}}}"#,
        NOW + 60
    );
    let forged = sign_hs256_with(&[7; 32], r#"{"alg":"HS256"}"#, &claims);
    server.assert_refused(&forged, RejectionKind::BadSignature).await;
    let other = sign_hs256(r#"{"alg":"HS256"}"#, &claims.replace("api://orders", "api://other"));
    server.assert_refused(&other, RejectionKind::WrongAudience).await;
    assert!(lists.fetched().is_empty());
    server.assert_admitted(&token_with(&format!(r#""exp":{},{status}"#, NOW + 60))).await;
    assert_eq!(lists.fetched(), [URL]);
}
