//! Where a client listens, what did not arrive there, and to have it sent again.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;

use super::{
    Console,
    page::{PageFrame, ShownTime, answer, finish, lead_to},
    visitor::{Halt, Visitor},
    words::{DoneNote, Words},
};
use crate::{
    http::{Code, Problem},
    kernel::WebhookEndpointId,
    webhooks::{
        self,
        deliveries::{DeliveryState, WebhookDelivery},
        endpoints::{EndpointState, WebhookEndpoint},
    },
};

/// Deliveries of an endpoint in each of the two states that are shown.
const SHOWN_MAX: i64 = 20;

/// A delivery that did not arrive yet.
struct DeliveryLine {
    id: i64,
    event_type: String,
    subject: String,
    state: &'static str,
    mark: &'static str,
    attempts: i64,
    /// What the receiver answered last, or why it did not.
    last: Option<String>,
    happened: ShownTime,
    /// When it is sent next.
    next: Option<ShownTime>,
}

struct EndpointCard {
    id: String,
    host: String,
    description: Option<String>,
    state: &'static str,
    mark: &'static str,
    failures: i64,
    failing_since: Option<ShownTime>,
    deliveries: Vec<DeliveryLine>,
}

#[derive(Template)]
#[template(path = "webhooks.html", config = "src/console/askama.toml")]
struct WebhooksPage {
    frame: PageFrame,
    endpoints: Vec<EndpointCard>,
    may_redeliver: bool,
}

impl DeliveryLine {
    fn new(delivery: WebhookDelivery, words: &Words) -> Self {
        let is_pending = delivery.state == DeliveryState::Pending;
        Self {
            id: delivery.id,
            state: (words.delivery)(delivery.state),
            mark: if is_pending { "pending" } else { "failed" },
            attempts: delivery.attempts,
            last: delivery.last_status.map(|status| format!("HTTP {status}")).or(delivery.last_failure),
            happened: delivery.happened_at.into(),
            next: is_pending.then(|| delivery.due_at.into()),
            event_type: delivery.event_type,
            subject: delivery.subject,
        }
    }
}

impl EndpointCard {
    fn new(endpoint: &WebhookEndpoint, deliveries: Vec<WebhookDelivery>, words: &Words) -> Self {
        let is_enabled = endpoint.state == EndpointState::Enabled;
        Self {
            id: endpoint.id.to_string(),
            // Receivers put secrets into the rest of the URL.
            host: endpoint.host().unwrap_or_default(),
            description: endpoint.description.clone(),
            state: endpoint.disabled_why.filter(|_why| !is_enabled).map_or(words.enabled, words.disabled),
            mark: if is_enabled { "issued" } else { "failed" },
            failures: endpoint.failures,
            failing_since: endpoint.failing_since.map(ShownTime::from),
            deliveries: deliveries.into_iter().map(|delivery| DeliveryLine::new(delivery, words)).collect(),
        }
    }
}

pub(super) async fn show(console: web::Data<Console>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let came = endpoints(&console, &request).await;
    finish(&console, &request, came).await
}

async fn endpoints(console: &Console, request: &HttpRequest) -> Result<HttpResponse, Halt> {
    let visitor = Visitor::with(console, request, webhooks::scopes::WEBHOOKS_READ).await?;
    let (service, caller) = (console.webhooks.clone(), visitor.caller());
    let work = async move {
        let mut all = Vec::new();
        for endpoint in service.list(&caller).await? {
            let mut left = Vec::new();
            for state in [DeliveryState::Failed, DeliveryState::Pending] {
                left.extend(service.deliveries(&caller, endpoint.id, Some(state), i64::MAX, SHOWN_MAX).await?);
            }
            all.push((endpoint, left));
        }
        Ok::<_, webhooks::WebhookError>(all)
    };
    let all = console.http.run(work).await?;
    let frame = PageFrame::new(console, request, Some(&visitor));
    let endpoints = all.into_iter().map(|(endpoint, left)| EndpointCard::new(&endpoint, left, frame.words)).collect();
    let may_redeliver = visitor.may(webhooks::scopes::WEBHOOKS_WRITE);
    Ok(answer(StatusCode::OK, &WebhooksPage { frame, endpoints, may_redeliver })?)
}

pub(super) async fn redeliver(
    console: web::Data<Console>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let came = send_again(&console, &request, payload).await;
    finish(&console, &request, came).await
}

async fn send_again(console: &Console, request: &HttpRequest, payload: web::Payload) -> Result<HttpResponse, Halt> {
    let (visitor, _form) = Visitor::sending(console, request, payload).await?;
    visitor.must(webhooks::scopes::WEBHOOKS_WRITE)?;
    let not_found = || Problem::new(Code::NOT_FOUND);
    let path = request.match_info();
    let id: WebhookEndpointId = path.query("id").parse().map_err(|_malformed| not_found())?;
    let delivery: i64 = path.query("delivery").parse().map_err(|_malformed| not_found())?;
    let (service, caller) = (console.webhooks.clone(), visitor.caller());
    console.http.run(async move { service.redeliver(&caller, id, delivery).await }).await?;
    Ok(lead_to(&format!("/console/webhooks?done={}", DoneNote::Redelivered.as_str())))
}
