//! Reject tokens that their issuer has revoked in a Token Status List (draft-ietf-oauth-status-list-20).
//!
//! A status list is a signed document at a URL of the issuer. It has a status of a few bits for each token. A token
//! names the URL and its index in the claim `status`:
//!
//! ```json
//! { "status": { "status_list": { "idx": 4711, "uri": "https://issuer.example/statuslists/3" } } }
//! ```
//!
//! # Configure it
//!
//! 1. Find out under which URL the issuer publishes its lists, and configure it as the prefix. End it at a path segment
//!    that only the issuer's lists have. A token that names any other URL is rejected, and nothing is fetched.
//! 2. Does every token of the issuer have a `status`? Then call
//!    [`require_status`](crate::status_list::StatusLists::require_status).
//! 3. Decide what happens while the server of the lists is down. By default the last good list is used until its
//!    lifetime is over, and then the answer is 503.
//! 4. Add the [health](crate::status_list::StatusLists::health) of the lists to your health checks.
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
//! use std::time::Duration;
//! use tower_bearer::{Authenticator, Issuer, revocation::OnUnavailable, status_list::StatusLists};
//!
//! let lists = StatusLists::new("https://issuer.example/statuslists")?
//!     .require_status()
//!     // Accepts a revoked token for five more minutes while the server is down.
//!     .with_on_unavailable(OnUnavailable::ServeStale(Duration::from_secs(300)));
//! let issuer = Issuer::discover("https://issuer.example")?
//!     .audience("api://orders")
//!     .with_status_lists(lists);
//! let authenticator = Authenticator::builder().issuer(issuer).build()?;
//! # let _: Authenticator = authenticator;
//! # }
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! # How soon a change is seen
//!
//! A change is seen when the list is fetched again: after 80% of its lifetime, and after its whole lifetime at the
//! latest. The lifetime is the `ttl` of the list, or the time until its `exp`, from a minute to 24 hours. So the issuer
//! decides. [`with_max_refresh_interval`](crate::status_list::StatusLists::with_max_refresh_interval) shortens it here.
//! The token cache does not add to it: every request reads the current list.
//!
//! If seconds matter, use the [revocation cache](super::super::revocation) as well. Both are checked, and each can
//! reject a token.
//!
//! # What a list reveals
//!
//! A list is public. It has no tokens, names or ids. It still reveals:
//!
//! * **to everyone**: how many tokens are in the list, how many are revoked or suspended, and when that number changes;
//! * **to everyone who has seen a token**: from its index and URL, the status of that token at any later time, also
//!   after it has expired if the index is not used again;
//! * **to the server of the lists**: which services use which lists, and when. A list has many tokens, so a fetch does
//!   not name one. This service fetches a list at intervals and not for each request.
//!
//! An index identifies a token to all services that see it, as `jti` does.
//!
//! # Tests
//!
//! [`TestIssuer::status_list`](crate::test_util::TestIssuer::status_list) makes a signed list, and
//! [`TestToken::with_status_entry`](crate::test_util::TestToken::with_status_entry) a token with an entry. The page of
//! [`TestStatusList`](crate::test_util::TestStatusList) has a whole example.
