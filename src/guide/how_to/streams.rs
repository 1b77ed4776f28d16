//! WebSockets, server-sent events, long gRPC streams: connections that stay open after the request that opened them.
//!
//! The layer checks once, when the request comes. A stream that is open for hours must end with its token, or check
//! again.
//!
//! # Where the token comes from
//!
//! * **Clients that can send headers**: put the layer in front of the route that upgrades, as for any other route. The
//!   handler gets an [`Authenticated`](crate::Authenticated) and keeps it for the stream.
//! * **Browsers**: their `WebSocket` and `EventSource` cannot send your header. There are three ways:
//!   * [`allow_cookie`](crate::BearerLayer::allow_cookie) requires that upgrades come from the same origin.
//!   * [`allow_query`](crate::BearerLayer::allow_query) removes the token from the URI before the services behind the
//!     layer see it. Servers and layers in front still see it.
//!   * The first message of the stream has the token, and you give it to the [`Authenticator`](crate::Authenticator).
//!     It runs every check of the layer, without HTTP.
//!
//! # Checking again
//!
//! [`expires_at`](crate::Authenticated::expires_at) says when the token ends.
//! [`recheck`](crate::Authenticator::recheck) checks again everything that can change: expiry, maximum age, your
//! checks, and revocation. A cached answer about revocation is used for the bound, as always. You decide how often to
//! call it; the interval adds to the bound. It does not check keys again.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures_util::{Stream, StreamExt};
//! use tower_bearer::{Authenticator, Rejection};
//!
//! /// Serves one connection. The first message is the token; the others are requests of that user. It needs no
//! /// WebSocket library: with axum, `messages` is the stream of the socket, mapped to its texts.
//! async fn serve(
//!     mut messages: impl Stream<Item = String> + Unpin,
//!     authenticator: Authenticator,
//!     mut answer: impl FnMut(&str, &str),
//! ) -> Result<(), Rejection> {
//!     let first = messages.next().await.unwrap_or_default();
//!     let user = authenticator.authenticate(&first).await?;
//!     let name = user.registered().subject().unwrap_or("stranger");
//!
//!     let mut look_again = tokio::time::interval(Duration::from_secs(15));
//!     loop {
//!         tokio::select! {
//!             // In this order: no message is answered when a check is due.
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
//! // and a first message that is not a token.
//! let (_open, stream) = connect("let me in".to_owned());
//! assert_eq!(stream.await?.unwrap_err().kind(), RejectionKind::MalformedToken);
//! # Ok(()) }
//! ```
//!
//! # Closing the stream
//!
//! Close with your own code between 4000 and 4999 (RFC 6455 section 7.4.2), or with 1008, "policy violation". If the
//! answer is [`Answer::Unavailable`](crate::rejection::Answer::Unavailable), the client did nothing wrong: use 1013,
//! "try again later". [`Rejection::answer`](crate::Rejection::answer) tells them apart. Do not send its
//! [`kind`](crate::Rejection::kind) to the client.
//!
//! A client can send a new token as a message. Authenticate it, compare its subject with the old one, and continue with
//! the new `user`.
