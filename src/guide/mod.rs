//! The guide: explanations in addition to the reference. It does not contain any items to call.
//!
//! | page | what it explains |
//! |---|---|
//! | [`rejected`] | why a token was rejected: where to look, and every reason with its cause and remedy |
//! | [`defaults`] | every setting: its default, and why |
//! | [`threats`] | attack by attack: the answer, and the test that shows it |
//! | [`revocation`] | what revocation promises, how the three modes keep the promise, and what they cost |
//! | [`deployments`] | one revocation, followed through every deployment, with its failures |
//! | [`revocation_store`] | your own revocation store: its rules, dates, streams, and the conformance suite |
//! | [`audit`] | the audit log of the issuer: every event, what is guaranteed, floods |
//! | [`how_to`] | WebSockets, GraphQL, tests without tokens, tenants, MCP servers, policies for each route, status lists, and how to move here |
//!
//! The [front page](crate) has a diagram of a request's path. [`Authenticator`](crate::Authenticator#checks) has the
//! numbered list of checks.
//!
//! The repository also has `DESIGN.md` (decisions and their reasons), `COMPARE.md` (what other crates do, and do
//! better), `SECURITY.md` (what is promised, and what is not) and `CONTRIBUTING.md` (a map, a glossary, recipes, and
//! how each claim is checked).

pub mod audit;
pub mod defaults;
pub mod deployments;
pub mod how_to;
pub mod rejected;
pub mod revocation;
pub mod revocation_store;
pub mod threats;
