//! What the service knows about the client of a log-in.

use std::{fmt, net::IpAddr, sync::Arc};

/// The maximum length of a stored user agent, in characters.
const MAX_USER_AGENT: usize = 200;

/// What the service knows about the client that logs in: its address and its user agent. Both are personal data, so
/// `Debug` does not show them.
///
/// ```
/// use tower_bearer_issuing::ClientInfo;
///
/// let client = ClientInfo::new().with_address([192, 0, 2, 7]).with_user_agent("curl/8.0\n");
/// assert_eq!(client.user_agent(), Some("curl/8.0"));
/// assert_eq!(ClientInfo::new().address(), None);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    address: Option<IpAddr>,
    user_agent: Option<Arc<str>>,
}

impl ClientInfo {
    /// A client about which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the address, as far as the service knows it. Behind a proxy, it is the address that the proxy vouches for.
    /// By default no address is known. Then only the limit of the account applies to a log-in, so anyone who guesses
    /// passwords of an account locks it out.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets the user agent: the name that the client gives itself (RFC 9110 section 10.1.5). The owner of a session
    /// sees it in the list of sessions. Every client can write any text, so do not decide anything by it.
    ///
    /// Control characters, and characters that change the direction of text, are removed. Of the rest, the first 200
    /// characters are kept. An empty text counts as unknown. By default the user agent is unknown.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: &str) -> Self {
        let shown = user_agent.chars().filter(|c| !is_hidden(*c));
        let text: String = shown.take(MAX_USER_AGENT).collect();
        let text = text.trim();
        self.user_agent = (!text.is_empty()).then(|| text.into());
        self
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The user agent, without control characters, and at most 200 characters long.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }
}

/// A client of which at most the address is known.
impl From<Option<IpAddr>> for ClientInfo {
    fn from(address: Option<IpAddr>) -> Self {
        Self { address, user_agent: None }
    }
}

/// Control characters, separators of lines, and characters that change the direction of the text around them.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
        )
}

impl fmt::Debug for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientInfo").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(user_agent: &str) -> Option<String> {
        ClientInfo::new().with_user_agent(user_agent).user_agent().map(str::to_owned)
    }

    #[test]
    fn a_user_agent_has_no_control_characters_and_200_characters_at_most() {
        let hostile = "\u{0}\u{1b}[31mMozilla\r\n\u{85}\u{202E}5.0\u{2066}\u{7f}";
        assert_eq!(kept(hostile).as_deref(), Some("[31mMozilla5.0"));
        assert_eq!(kept(&"é".repeat(201)), Some("é".repeat(200)));
        assert_eq!(kept(&("\u{1}".repeat(500) + "x")).as_deref(), Some("x"));
        for unknown in ["", "\u{0}", " \t\n"] {
            assert_eq!(kept(unknown), None);
        }
    }

    #[test]
    fn debug_shows_neither_address_nor_user_agent() {
        let client = ClientInfo::new().with_address([192, 0, 2, 7]).with_user_agent("Mozilla");
        assert_eq!(format!("{client:?}"), "ClientInfo { .. }");
    }
}
