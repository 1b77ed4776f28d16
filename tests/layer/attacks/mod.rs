//! The attacks that are known against services of this kind, each sent to a real server through the real layer.
//!
//! The rows keep the numbers of the project's list of attacks; a number that is missing there does not apply. Every
//! refusal stands beside an accepted twin, the same request without the attack, and is compared with the whole
//! documented answer; the typed reason is checked beside it, so that a row is refused for the reason it is about.
//!
//! Row 65, a log-in that tells unknown users from wrong passwords, is shown where there is one: in `token_api` (`login`)
//! and the unit tests of `Passwords`.
//!
//! Rows about keys from the network are in `tests/keys`: 12 (`flood`), 49 (`flood`, `discovery`), 62 and 63 (`answers`),
//! 71 (`waiting`). Row 66, about logs and other output, is in `tests/telemetry/secrecy`.

mod algorithms;
mod answers;
mod bound;
mod claims;
mod credentials;
mod dpop;
mod forge;
mod json;
mod keys;
mod proof_keys;
mod proof_targets;
mod server;
mod signatures;
mod state;
mod status;
mod text;
