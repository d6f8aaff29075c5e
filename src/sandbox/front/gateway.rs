//! One exchange of the gateway, from the request to its answer. The order is fixed: route, signature, rate limit,
//! fault, work, answer. The work runs in a task of its own, so that a client that hangs up cannot stop it half way.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::delivery::{self, Delivery};
use super::distort::{self, Say, Struck};
use super::server::{Answered, Handler, whole_body};
use super::socket::{ConnectionEnd, Switch};
use super::{mws, pay, report, route};
use crate::sandbox::answer::{Echo, Format, GatewayAnswer, Manner};
use crate::sandbox::clock::Clock;
use crate::sandbox::fault::{Fault, Operation};
use crate::sandbox::fields::Fields;
use crate::sandbox::login;
use crate::sandbox::market::Market;
use crate::sandbox::mws::{MwsArrival, is_mws};
use crate::sandbox::notices::certificate_named;
use crate::sandbox::operations::{self, GatewayCall};
use crate::sandbox::pay::{PayArrival, is_pay};
use crate::sandbox::record::{BODY_CHARACTERS_MAX, Received};
use crate::sandbox::signature::{self, Rejection, SignedRequest, ValidSignature};
use crate::sandbox::throttle::Arrived;
use crate::sandbox::world::World;

/// The largest request body that is read.
pub(super) const REQUEST_BODY_BYTES_MAX: usize = 64 * 1024;

/// Answers AGCOD calls.
#[derive(Clone)]
pub(in crate::sandbox) struct Gateway {
    pub(in crate::sandbox) world: Arc<World>,
}

impl Handler for Gateway {
    async fn handle(self, request: Request<Incoming>, switch: Arc<Switch>) -> Answered {
        if request.method() == Method::GET && request.uri().path() == "/sping" {
            return Response::new(Full::new(Bytes::from_static(b"healthy")));
        }
        let world = self.world;
        if let Some(answer) = sns_answer(&world, &request) {
            return answer;
        }
        let (parts, body) = request.into_parts();
        let read = whole_body(body, REQUEST_BODY_BYTES_MAX, world.body_time).await;
        if is_mws(parts.uri.path()) {
            return mws_answer(world, parts, read, &switch).await;
        }
        if is_pay(parts.uri.path()) {
            return pay_answer(world, parts, read, &switch).await;
        }
        let arrival = Arrival::of(parts, read.clone().unwrap_or_default());
        let manner = arrival.manner;
        let said = match read {
            Ok(_) => apart(&world, exchange(Arc::clone(&world), arrival)).await,
            Err((status, message)) => {
                tracing::info!("refused {} {}: {message}", status.as_u16(), arrival.name());
                Say::Answer(GatewayAnswer::Unread { status, message: Some(message), member: None })
            }
        };
        answered(&world, said, manner, &switch).await
    }
}

/// What SNS has beside its messages: certificates, and the page that confirms a subscription.
fn sns_answer(world: &World, request: &Request<Incoming>) -> Option<Answered> {
    if request.method() != Method::GET {
        return None;
    }
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let confirmed = query.strip_prefix("Action=ConfirmSubscription&").and_then(|rest| rest.split_once("&Token="));
    let (status, text) = match confirmed {
        Some((_topic, token)) if path == "/" => {
            let known = world.notices.confirm(token);
            (if known { StatusCode::OK } else { StatusCode::BAD_REQUEST }, String::new())
        }
        _ => certificate_named(world, path)?,
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    Some(answer)
}

/// In a task of its own: the work must go on when the client hangs up.
async fn apart(world: &World, exchange: impl Future<Output = Say> + Send + 'static) -> Say {
    match world.tasks.spawn(exchange).await {
        Ok(said) => said,
        Err(error) => {
            tracing::error!(%error, "an exchange of the sandbox broke down");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Say::Answer(GatewayAnswer::Unread { status, message: None, member: None })
        }
    }
}

/// The answer of Amazon Pay. It names its call in a header of its own.
async fn pay_answer(
    world: Arc<World>,
    parts: Parts,
    read: Result<Bytes, (StatusCode, String)>,
    switch: &Switch,
) -> Answered {
    let said = match read {
        Ok(body) => {
            let Parts { method, uri, headers, .. } = parts;
            let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
            let arrival = PayArrival { method, path, query, headers, body };
            apart(&world, pay::exchange(Arc::clone(&world), arrival)).await
        }
        Err((status, message)) => {
            tracing::info!("refused {} {}: {message}", status.as_u16(), parts.uri.path());
            Say::Answer(pay::unread(status, message))
        }
    };
    let mut answer = answered(&world, said, pay::MANNER, switch).await;
    if let Some(id) = answer.headers_mut().remove("x-amzn-requestid") {
        answer.headers_mut().insert("x-amz-pay-request-id", id);
    }
    answer
}

/// The answer of MWS. It names its call in a header of its own.
async fn mws_answer(
    world: Arc<World>,
    parts: Parts,
    read: Result<Bytes, (StatusCode, String)>,
    switch: &Switch,
) -> Answered {
    let Parts { method, uri, headers, .. } = parts;
    let body = read.as_ref().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
    let (path, host) = (uri.path().to_owned(), header(&headers, "host").to_owned());
    let arrival = MwsArrival { path, host, is_post: method == Method::POST, body };
    let manner = mws::manner(&arrival);
    let said = match read {
        Ok(_) => apart(&world, mws::exchange(Arc::clone(&world), arrival)).await,
        Err((status, message)) => {
            tracing::info!("refused {} {}: {message}", status.as_u16(), arrival.name());
            Say::Answer(mws::unread(status, message))
        }
    };
    let mut answer = answered(&world, said, manner, switch).await;
    if let Some(id) = answer.headers_mut().remove("x-amzn-requestid") {
        answer.headers_mut().insert("x-mws-request-id", id);
    }
    answer
}

/// Sends what is said, after as long as answers take.
async fn answered(world: &World, said: Say, manner: Manner, switch: &Switch) -> Answered {
    if let Some(wait) = world.pace.next(&world.chance) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = world.stopping.cancelled() => {}
        }
    }
    let delivery = Delivery::of(said, manner, &world.chance.request_id(), world.clock.signature_now());
    delivery::deliver(delivery, world, switch).await
}

/// A request that arrived.
struct Arrival {
    method: Method,
    /// The path as it is signed.
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    routed: Result<Operation, GatewayAnswer>,
    manner: Manner,
}

impl Arrival {
    fn of(parts: Parts, body: Bytes) -> Self {
        let path = route::canonical_path(parts.uri.path());
        let target = header(&parts.headers, "x-amz-target");
        let routed = route::operation(&parts.method, &path, target);
        let operation = routed.as_ref().ok().copied();
        let is_login = operation.is_some_and(Operation::is_login);
        let format = if is_login { Format::Json } else { Format::of(&parts.headers, &body) };
        let manner = Manner { format, operation };
        Self {
            method: parts.method,
            path,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            routed,
            manner,
        }
    }

    fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// What the request is called in the log: the operation, or the path where there is none.
    fn name(&self) -> String {
        match &self.routed {
            Ok(operation) => operation.name().to_owned(),
            Err(_) => self.path.trim_matches('/').chars().take(64).collect(),
        }
    }

    fn verify(&self, world: &World) -> Result<ValidSignature, GatewayAnswer> {
        let presented = SignedRequest {
            method: self.method.as_str(),
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        };
        signature::verify(&presented, |key_id| world.partners.secret_of(key_id), world.clock.signature_now())
            .map_err(|rejection| distort::rejected(&rejection))
    }

    /// The request as the log keeps it. The log keeps refused requests as well, so the ids are read without a check.
    fn noted(&self, world: &World, signature_accepted: bool) -> Received {
        let fields = Fields::read(&self.body).ok();
        let request_id = self.routed.as_ref().map_or("creationRequestId", |operation| operation.request_id());
        let text = |name: &str| fields.as_ref().and_then(|fields| fields.text(name).ok().flatten());
        Received {
            at: world.clock.now(),
            sequence: 0,
            operation: self.name(),
            host: self.header("host").to_owned(),
            partner_id: text("partnerId"),
            creation_request_id: text(request_id),
            body: String::from_utf8_lossy(&self.body).chars().take(BODY_CHARACTERS_MAX).collect(),
            signature_accepted,
            fault: None,
            http_status: None,
            error_code: None,
            error_type: None,
            real_op: false,
        }
    }
}

async fn exchange(world: Arc<World>, arrival: Arrival) -> Say {
    if let Ok(operation) = arrival.routed
        && operation.is_login()
    {
        return login_exchange(world, arrival, operation).await;
    }
    let verified =
        arrival.routed.clone().and_then(|operation| arrival.verify(&world).map(|accepted| (operation, accepted)));
    let sequence = world.record.open(arrival.noted(&world, verified.is_ok()));
    let (operation, accepted) = match verified {
        Ok(verified) => verified,
        Err(answer) => return concluded(&world, sequence, Say::Answer(answer), false),
    };
    let Some(account) = world.partners.of_key(&accepted.key_id) else {
        return concluded(&world, sequence, Say::Answer(distort::rejected(&Rejection::UnknownKey)), false);
    };
    let arrived = Arrived { at: Clock::monotonic(), day: world.clock.now().date_naive() };
    if !world.throttle.admits(&account, operation, arrived) {
        return concluded(&world, sequence, Say::Answer(distort::throttled()), false);
    }
    if let Some(answer) = misnamed(&arrival, operation) {
        return concluded(&world, sequence, Say::Answer(answer), false);
    }
    let market = Market::of(arrival.header("host"), &accepted.region);
    let call = GatewayCall { operation, account: &account, market, body: &arrival.body };
    let request_id =
        Fields::read(&arrival.body).ok().and_then(|fields| fields.text(operation.request_id()).ok().flatten());
    let fault = world.faults.strike(operation, &account.partner_id, request_id.as_deref());
    if let Some(fault) = &fault {
        world.record.amend(sequence, |received| received.fault = Some(fault.clone()));
    }
    if wait_before_work(&world, fault.as_ref()).await.is_break() {
        return Say::Nothing(ConnectionEnd::Close);
    }
    let mut real_op = false;
    let mut work = || {
        let done = operations::perform(&world, &call);
        real_op = done.real_op;
        done.answer
    };
    let echo = Echo { operation, request_id, value: None };
    let struck = Struck {
        echo: &echo,
        manner: arrival.manner,
        date: arrival.header("x-amz-date"),
        now: world.clock.signature_now(),
    };
    let say = match &fault {
        Some(fault) => distort::strike(fault, &struck, work),
        None => Say::Answer(work()),
    };
    concluded(&world, sequence, say, real_op)
}

/// A call of Login with Amazon: no signature, no partner, no rate; a fault strikes it like any other.
async fn login_exchange(world: Arc<World>, arrival: Arrival, operation: Operation) -> Say {
    let sequence = world.record.open(arrival.noted(&world, false));
    let fault = world.faults.strike(operation, "", None);
    if let Some(fault) = &fault {
        world.record.amend(sequence, |received| received.fault = Some(fault.clone()));
    }
    if wait_before_work(&world, fault.as_ref()).await.is_break() {
        return Say::Nothing(ConnectionEnd::Close);
    }
    let work = || login::answer(&world, operation, &arrival.headers, &arrival.query);
    let echo = Echo { operation, request_id: None, value: None };
    let struck = Struck { echo: &echo, manner: arrival.manner, date: "", now: world.clock.signature_now() };
    let say = match &fault {
        Some(fault) => distort::strike(fault, &struck, work),
        None => Say::Answer(work()),
    };
    concluded(&world, sequence, say, false)
}

/// Waits where the fault says so. A break: the work has not begun, as if the gateway had been killed while it waited.
pub(super) async fn wait_before_work(world: &World, fault: Option<&Fault>) -> ControlFlow<()> {
    let Some(Fault::DelayWork { milliseconds }) = fault else { return ControlFlow::Continue(()) };
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(*milliseconds)) => ControlFlow::Continue(()),
        () = world.stopping.cancelled() => ControlFlow::Break(()),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The refusal of an XML document whose root is another operation's request. A document that cannot be read at all is the
/// operation's to refuse.
fn misnamed(arrival: &Arrival, operation: Operation) -> Option<GatewayAnswer> {
    let fields = Fields::read(&arrival.body).ok()?;
    let root = fields.root()?;
    let expected = operation.name();
    if root.strip_suffix("Request").unwrap_or(root) == expected {
        return None;
    }
    let root: String = root.chars().take(64).collect();
    let message = Some(format!("The root of the request is {root}, where {expected}Request was expected"));
    Some(GatewayAnswer::Unread { status: StatusCode::BAD_REQUEST, message, member: None })
}

/// Adds the answer to the log, right before it is sent.
pub(super) fn concluded(world: &World, sequence: u64, say: Say, real_op: bool) -> Say {
    let status = say.status().map(|status| status.as_u16());
    let (error_code, error_type) = match &say {
        Say::Answer(answer) | Say::Late(answer, _) | Say::Half(answer, ..) => answer.error(),
        Say::Reply(_) | Say::Nothing(_) | Say::Never => (None, None),
    };
    let noted = world.record.amend(sequence, |received| {
        received.http_status = status;
        received.error_code = error_code;
        received.error_type = error_type;
        received.real_op = real_op;
        world.lines.has(status).then(|| Received { body: String::new(), ..received.clone() })
    });
    // Out of the log's lock: whoever reads the lines may be slow.
    if let Some(received) = noted.flatten() {
        report::exchanged(&received, &say);
    }
    say
}
