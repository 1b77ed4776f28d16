//! Reads the metadata of an issuer, which name the URL of its keys.

use std::{borrow::Cow, sync::Arc};

use super::{FetchError, address::Address};
use crate::{
    ConfigError,
    issuer_policy::issuer_name::is_of_metadata,
    json::{self, Found},
};

/// How many characters of another issuer's name are repeated in an error.
const SHOWN_NAME: usize = 256;

/// An issuer whose metadata name the URL of its keys.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    /// The required value of `issuer` in the metadata, byte for byte.
    issuer: Arc<str>,
    openid: Address,
    oauth: Address,
}

impl Discovery {
    /// The metadata of the server at `url`, which has the name `issuer`.
    pub(super) fn new(url: &str, issuer: Arc<str>) -> Result<Self, ConfigError> {
        let url = Address::parse(url)?;
        if url.as_str().contains('?') {
            return Err(ConfigError::InvalidUrl("an issuer's URL without a query"));
        }
        if url.as_str().contains(['{', '}']) {
            return Err(ConfigError::InvalidUrl(
                "an issuer's URL without braces; for the tenants of Microsoft Entra see `Issuer::multi_tenant`",
            ));
        }
        if is_of_metadata(url.as_str()) {
            return Err(ConfigError::InvalidUrl(
                "the issuer's URL alone: its `/.well-known/...` path is added here",
            ));
        }
        let (origin, path) = url.origin_and_path();
        let path = path.strip_suffix('/').unwrap_or(path);
        let openid = Address::parse(&format!("{origin}{path}/.well-known/openid-configuration"))?;
        let oauth =
            Address::parse(&format!("{origin}/.well-known/oauth-authorization-server{path}"))?;
        Ok(Self { issuer, openid, oauth })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// OpenID Connect Discovery 1.0 section 4: the well-known part is appended to the path.
    pub(super) fn openid(&self) -> &Address {
        &self.openid
    }

    /// RFC 8414 section 3.1: the well-known part is inserted before the path.
    pub(super) fn oauth(&self) -> &Address {
        &self.oauth
    }

    /// Reads the URL of the keys. Only `issuer` and `jwks_uri` of the metadata are used.
    pub(super) fn read(&self, document: &[u8]) -> Result<Address, FetchError> {
        let [issuer, keys] = str::from_utf8(document)
            .ok()
            .and_then(|text| json::members_of(text, ["issuer", "jwks_uri"]))
            .ok_or(FetchError::UnreadableMetadata("a JSON object"))?;
        // RFC 8414 section 3.3: without this check, one issuer could present its keys as the keys of another.
        let issuer = string(issuer)
            .ok_or(FetchError::UnreadableMetadata("one member `issuer` that is a string"))?;
        if issuer != *self.issuer {
            return Err(FetchError::IssuerMismatch {
                configured: self.issuer.as_ref().into(),
                found: issuer.chars().take(SHOWN_NAME).collect(),
            });
        }
        let keys = string(keys)
            .ok_or(FetchError::UnreadableMetadata("one member `jwks_uri` that is a string"))?;
        Address::parse(&keys).map_err(FetchError::KeysAddress)
    }
}

fn string(member: Found<'_>) -> Option<Cow<'_, str>> {
    match member {
        Found::Once(text) => json::string_of(text),
        Found::Absent | Found::Repeated => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(issuer: &str) -> Discovery {
        Discovery::new(issuer, issuer.into()).unwrap()
    }

    #[test]
    fn metadata_have_the_url_of_each_standard() {
        for (issuer, openid, oauth) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example:8443/realms/one",
                "https://a.example:8443/realms/one/.well-known/openid-configuration",
                "https://a.example:8443/.well-known/oauth-authorization-server/realms/one",
            ),
            (
                "https://a.example/realms/one/",
                "https://a.example/realms/one/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/realms/one",
            ),
        ] {
            let discovery = discovery(issuer);
            assert_eq!(discovery.openid().as_str(), openid);
            assert_eq!(discovery.oauth().as_str(), oauth);
        }
        assert!(Discovery::new("https://a.example/?realm=one", "one".into()).is_err());
    }

    #[test]
    fn the_keys_are_where_metadata_of_the_right_issuer_say() {
        let read = |document: &str| discovery("https://a.example").read(document.as_bytes());
        let keys = read(r#"{"issuer":"https://a.example","jwks_uri":"https://keys.example/a"}"#);
        assert_eq!(keys.unwrap().as_str(), "https://keys.example/a");

        for name in ["https://a.example/", "https://A.example", "https://a.exampl", ""] {
            let document = format!(r#"{{"issuer":"{name}","jwks_uri":"https://keys.example/a"}}"#);
            let error = read(&document).unwrap_err();
            assert!(matches!(&error, FetchError::IssuerMismatch { .. }), "{name}");
            let text = error.to_string();
            assert!(text.contains("\"https://a.example\"") && text.contains(&format!("{name:?}")));
        }
    }

    #[test]
    fn a_document_that_is_not_metadata_is_rejected() {
        let read = |document: &[u8]| discovery("https://a.example").read(document);
        for document in [
            &b"<html>"[..],
            b"",
            b"\xff",
            b"[]",
            // A byte order mark is skipped only before a key set.
            b"\xef\xbb\xbf{\"issuer\":\"https://a.example\",\"jwks_uri\":\"https://k.example\"}",
            br#"{"issuer":"https://a.example"}"#,
            br#"{"jwks_uri":"https://keys.example"}"#,
            br#"{"issuer":["https://a.example"],"jwks_uri":"https://keys.example"}"#,
        ] {
            assert!(matches!(read(document), Err(FetchError::UnreadableMetadata(_))));
        }
        for address in ["", "keys", "file:///keys", "https://u:p@keys.example"] {
            let document = format!(r#"{{"issuer":"https://a.example","jwks_uri":"{address}"}}"#);
            assert!(matches!(read(document.as_bytes()), Err(FetchError::KeysAddress(_))));
        }
    }

    #[test]
    fn a_repeated_member_is_named_and_one_that_is_not_used_does_not_matter() {
        let read = |members: &str| {
            let document = format!("{{{members}}}");
            discovery("https://a.example").read(document.as_bytes())
        };
        let (issuer, keys) =
            (r#""issuer":"https://a.example""#, r#""jwks_uri":"https://k.example""#);
        let others = r#""scopes_supported":[],"scopes_supported":[{"a":1,"a":2}]"#;
        let address = read(&format!("{others},{issuer},{keys}")).unwrap();
        assert_eq!(address.as_str(), "https://k.example");
        for (members, named) in [
            (format!("{issuer},{issuer},{keys}"), "`issuer`"),
            (format!(r#"{issuer},"\u0069ssuer":"https://b.example",{keys}"#), "`issuer`"),
            (format!("{issuer},{keys},{keys}"), "`jwks_uri`"),
            (format!("{issuer},{others}"), "`jwks_uri`"),
            (format!(r#""issuer":null,{keys}"#), "`issuer`"),
        ] {
            let error = read(&members).unwrap_err().to_string();
            assert!(error.contains(named), "{members}: {error}");
        }
    }

    #[test]
    fn an_address_of_metadata_is_not_an_issuer() {
        for url in [
            "https://a.example/.well-known/openid-configuration",
            "https://a.example/realms/one/.well-known/openid-configuration",
            "https://a.example/.well-known/oauth-authorization-server/realms/one",
        ] {
            let error = Discovery::new(url, "https://a.example".into()).unwrap_err().to_string();
            assert!(error.contains("the issuer's URL alone"), "{error}");
        }
    }

    #[test]
    fn a_foreign_name_is_repeated_in_part_only() {
        let document =
            format!(r#"{{"issuer":"{}","jwks_uri":"https://k.example"}}"#, "x".repeat(100_000));
        let error = discovery("https://a.example").read(document.as_bytes()).unwrap_err();
        assert!(error.to_string().len() < 500);
    }
}
