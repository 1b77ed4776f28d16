//! The response body of the layer: the body of the inner service, or the body of a rejection.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of the inner service, or the body of a rejection. The length of a rejection's body is known.
    pub struct ResponseBody<B> {
        #[pin]
        part: Part<B>,
    }
}

pin_project! {
    #[project = PartProjection]
    enum Part<B> {
        Inner { #[pin] body: B },
        // Never holds an empty buffer: that would be a data frame without bytes.
        Rejection { bytes: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self { part: Part::Inner { body } }
    }

    pub(crate) fn rejection(bytes: Bytes) -> Self {
        Self { part: Part::Rejection { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()) } }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().part.project() {
            PartProjection::Inner { body } => body.poll_frame(cx),
            PartProjection::Rejection { bytes } => {
                Poll::Ready(bytes.take().map(Frame::data).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.part {
            Part::Inner { body } => body.is_end_stream(),
            Part::Rejection { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.part {
            Part::Inner { body } => body.size_hint(),
            Part::Rejection { bytes } => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.part {
            Part::Inner { .. } => "ResponseBody::Inner(..)",
            Part::Rejection { .. } => "ResponseBody::Rejection(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    type RejectionBody = ResponseBody<Full<Bytes>>;

    #[tokio::test]
    async fn a_rejection_is_one_frame_of_known_length() {
        let body = RejectionBody::rejection(Bytes::from_static(b"no"));
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "no");
    }

    #[tokio::test]
    async fn a_rejection_ends_after_its_frame() {
        let mut body = RejectionBody::rejection(Bytes::from_static(b"no"));
        assert!(body.frame().await.is_some());
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_empty_rejection_has_ended_from_the_start() {
        let mut body = RejectionBody::rejection(Bytes::new());
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn the_inner_body_is_passed_on_with_its_trailers() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [Frame::data(Bytes::from_static(b"yes")), Frame::trailers(trailers.clone())];
        let frames = stream::iter(frames.map(Ok::<_, Infallible>));
        let mut body = ResponseBody::inner(StreamBody::new(frames));
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), None);

        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "yes");
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn the_inner_body_keeps_its_hints() {
        let body = ResponseBody::inner(Full::new(Bytes::from_static(b"four")));
        assert_eq!(body.size_hint().exact(), Some(4));
        assert!(ResponseBody::inner(Full::<Bytes>::default()).is_end_stream());
    }
}
