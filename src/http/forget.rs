//! Forgets the head of a request when its answer is ready. The framework keeps the last requests of each worker, 128 of them, with
//! their headers, to use their memory again: so the keys of callers who have long left would stay there, and with a header the
//! whole buffer that it was read into, body and all.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

/// The outermost middleware: nobody reads a header after it.
///
/// # Errors
/// What another middleware refuses.
pub(crate) async fn forget(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let (request, answer) = next.call(request).await?.into_parts();
    // Whoever else had the request has ended: it is this one's alone, as it was before the router had it.
    let mut request = ServiceRequest::from_request(request);
    request.headers_mut().clear();
    Ok(ServiceResponse::new(request.into_parts().0, answer))
}
