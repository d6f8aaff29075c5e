//! What the description of the API says of messages: a request that the service makes, and that a receiver answers.

use serde_json::json;
use utoipa::openapi::Paths;

/// The section `webhooks` of OpenAPI 3.1; `None` if it is not as the library reads it, which a test would see.
pub(crate) fn webhooks() -> Option<Paths> {
    let header = |name: &str, description: &str, example: &str| json!({"name": name, "in": "header", "required": true, "description": description, "schema": {"type": "string"}, "example": example});
    let receive = json!({
        "operationId": "receive_event",
        "summary": "Take an event",
        "description": "Sent to each endpoint that hears of it, at least once, as Standard Webhooks 1.0 has it. Verify the signature over \
                        `webhook-id`, `webhook-timestamp` and the raw body before anything else.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            header("webhook-id", "The id of the message: the same at each attempt", "evt_42_1795858200123"),
            header("webhook-timestamp", "When this attempt was signed, in seconds since 1970", "1795858200"),
            header(
                "webhook-signature",
                "`v1,` and the HMAC-SHA256 in base64; two of them while a secret is replaced",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
            ),
        ],
        "requestBody": {
            "required": true,
            "description": "What happened",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookMessage"}}}
        },
        "responses": {
            "2XX": {"description": "It was taken"},
            "410": {"description": "No more events are wanted: the endpoint is disabled"},
            "default": {"description": "It is sent again; `Retry-After` is kept"}
        }
    });
    serde_json::from_value(json!({"event": {"post": receive}})).ok()
}
