//! Where an answer ends: for HEAD, and for clients of HTTP/1.0.
//!
//! An answer to HEAD has the length of the body that GET would get, and no body; of a stream nothing is read. The framework
//! leaves bodies out by itself, but by the method of the request that it read last: where another one is on its way already,
//! the answer would be followed by a body that its client takes for the next answer.
//!
//! HTTP/1.0 knows no chunks, so that there a stream ends with its connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, Method, Version,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web::Bytes,
};

/// The middleware; the outermost, since it looks at the whole answer.
///
/// # Errors
/// What another middleware refuses.
pub(crate) async fn frame(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut answer = next.call(request).await?.map_into_boxed_body();
    let size = answer.response().body().size();
    if answer.request().method() == Method::HEAD {
        if let BodySize::Sized(length) = size {
            answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        answer.response_mut().head_mut().no_chunking(true);
        return Ok(answer.map_body(|_head, body| BoxBody::new(LeftOut { _body: body })));
    }
    if size == BodySize::Stream && answer.request().version() < Version::HTTP_11 {
        let head = answer.response_mut().head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(answer)
}

/// A body that is not sent. It is kept for as long as it would be, since its end may be waited for.
struct LeftOut {
    _body: BoxBody,
}

impl MessageBody for LeftOut {
    type Error = <BoxBody as MessageBody>::Error;

    /// Not [`BodySize::None`]: the framework would leave the length out as well.
    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(None)
    }
}
