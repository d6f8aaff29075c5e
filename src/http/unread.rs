//! A body that no handler read must not keep its connection.
//!
//! When an answer leaves before its request's body has ended, actix closes the connection; but a chunked body whose
//! reader was dropped it reads on to its end, without a limit of time or bytes. So a request without a key could keep a
//! connection for ever. The body's reader is therefore kept until the answer has left: actix then closes here too.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;

/// The reader of a request's body: one half is the handler's, one stays with the answer.
#[derive(Clone)]
pub(super) struct Reader(Rc<RefCell<Payload>>);

/// Hands the handler a reader of the body and keeps another.
pub(super) fn keep_reader(request: &mut ServiceRequest) -> Reader {
    let reader = Reader(Rc::new(RefCell::new(request.take_payload())));
    request.set_payload(Payload::Stream { payload: Box::pin(reader.clone()) });
    reader
}

/// Ties the reader to the answer's end.
pub(super) fn with_answer(answer: ServiceResponse<BoxBody>, reader: Reader) -> ServiceResponse<BoxBody> {
    answer.map_body(|_head, body| BoxBody::new(AnswerBody { body, _reader: reader }))
}

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Nobody polls it within its own poll, so that it is never borrowed twice.
        self.0.try_borrow_mut().map_or(Poll::Ready(None), |mut payload| Pin::new(&mut *payload).poll_next(cx))
    }
}

struct AnswerBody {
    body: BoxBody,
    _reader: Reader,
}

impl MessageBody for AnswerBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
