//! WebSockets, server-sent events, long gRPC streams: what outlives the request that opened it.
//!
//! The layer looks once, when the request comes. A stream that is open for hours has to end with its token, or look again.
//!
//! # Where the token comes from
//!
//! * **Clients that can send headers**: the layer in front of the route that upgrades, as for any other. The handler has an
//!   [`Authenticated`](crate::Authenticated) and takes it along into the stream.
//! * **Browsers**, whose `WebSocket` and `EventSource` send no header of yours:
//!   [`allow_cookie`](crate::BearerLayer::allow_cookie), which demands that upgrades come from the same origin;
//!   [`allow_query`](crate::BearerLayer::allow_query), which takes the token out of the URI before anything behind the
//!   layer sees it (what stands in front still does); or the first message of the stream, which goes to the
//!   [`Authenticator`](crate::Authenticator) directly. It makes every check that the layer makes, and knows no HTTP.
//!
//! # Looking again
//!
//! [`expires_at`](crate::Authenticated::expires_at) says when the token ends. [`recheck`](crate::Authenticator::recheck)
//! looks at everything that may have changed: expiry, maximum age, your checks, and revocation, of which an answer is
//! remembered for the bound as always. How often is your decision; the delay adds to the bound. It does not look at keys
//! again.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures_util::{Stream, StreamExt};
//! use tower_bearer::{Authenticator, Rejection};
//!
//! /// Serves one connection: the first message is the token, the others are for whom it stands for. Knows no
//! /// WebSocket library: with axum's, `messages` is the socket's stream, mapped to its texts.
//! async fn serve(
//!     mut messages: impl Stream<Item = String> + Unpin,
//!     authenticator: Authenticator,
//!     mut answer: impl FnMut(&str, &str),
//! ) -> Result<(), Rejection> {
//!     let first = messages.next().await.unwrap_or_default();
//!     let user = authenticator.authenticate(&first).await?;
//!     let name = user.registered().subject().unwrap_or("nobody");
//!
//!     let mut look_again = tokio::time::interval(Duration::from_secs(15));
//!     loop {
//!         tokio::select! {
//!             // In this order: no message is answered when a look is due.
//!             biased;
//!             _ = look_again.tick() => authenticator.recheck(&user).await?,
//!             message = messages.next() => match message {
//!                 Some(message) => answer(name, &message),
//!                 None => return Ok(()),
//!             },
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use tower_bearer::{Issuer, Key, RejectionKind, RevocationCache, UnixTime, claims::ManualClock};
//! # let clock = ManualClock::at(UnixTime::from_secs(1_000));
//! # let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://chat");
//! # let builder = Authenticator::builder().issuer(issuer).with_clock(clock.clone());
//! # let revocation = RevocationCache::in_memory().with_clock(clock.clone());
//! # let authenticator = builder.revocation(revocation.clone()).build()?;
//! # let token = |id: &str| jsonwebtoken::encode(
//! #     &jsonwebtoken::Header::default(),
//! #     &serde_json::json!({ "iss": "https://issuer.example", "aud": "api://chat", "sub": "ada", "jti": id, "exp": 4_600 }),
//! #     &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! # );
//! # let connect = |token: String| {
//! #     let (send, receive) = tokio::sync::mpsc::unbounded_channel();
//! #     send.send(token).unwrap();
//! #     let messages = tokio_stream::wrappers::UnboundedReceiverStream::new(receive);
//! #     (send, tokio::spawn(serve(messages, authenticator.clone(), |name, _| assert_eq!(name, "ada"))))
//! # };
//! // A token that is revoked while the stream is open,
//! let (_open, stream) = connect(token("1")?);
//! let user = authenticator.authenticate(&token("1")?).await?;
//! revocation.revoke_token(&user).await?;
//! assert_eq!(stream.await?.unwrap_err().kind(), RejectionKind::Revoked);
//!
//! // one that expires (after an hour and the leeway),
//! let (_open, stream) = connect(token("2")?);
//! tokio::time::sleep(Duration::from_secs(1)).await;
//! clock.advance(Duration::from_secs(3_630));
//! assert_eq!(stream.await?.unwrap_err().kind(), RejectionKind::Expired);
//!
//! // and a first message that is no token.
//! let (_open, stream) = connect("let me in".to_owned());
//! assert_eq!(stream.await?.unwrap_err().kind(), RejectionKind::MalformedToken);
//! # Ok(()) }
//! ```
//!
//! # What to tell the client
//!
//! Close with a code of your own between 4000 and 4999 (RFC 6455 section 7.4.2), or with 1008, "policy violation". A
//! refusal that is [`Answer::Unavailable`](crate::rejection::Answer::Unavailable) is no fault of the client's: 1013, "try
//! again later". [`Rejection::answer`](crate::Rejection::answer) tells them apart; its [`kind`](crate::Rejection::kind)
//! says more than a client should be told.
//!
//! A client with a new token can send it as a message: authenticate it, hold the subject against the one before, and go on
//! with the new `user`.
use crate::UnixTime;
