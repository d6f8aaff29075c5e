-- Notifications of Amazon Pay. One wakes a payment, and says nothing that is believed: of it there are ids, its kind and its time, and nothing else.
--
-- `pay_notifications`: `message_id`: that of Amazon SNS, the same in each delivery. `reference`: Amazon Pay's id of it. `kind`: what it is about, in a word of ours.
-- `object_id`: Amazon's id of that; none where it names none. `payment_id`: the payment that it woke; none where it names none that we have.
--
-- `pay_subscriptions`: SNS asks whether an endpoint of ours is to be subscribed to a topic. An operator confirms that, with the token; nothing else does.
--
-- `charged_back_at`, of a charge: since when a notification says that the buyer's bank takes it back.
--
-- A program of schema 7 knows none of it, and needs none.
CREATE TABLE pay_notifications (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    message_id UUID NOT NULL CHECK (substr(message_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    reference UUID CHECK (substr(reference::text, 20, 1) IN ('8', '9', 'a', 'b')),
    kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind !~ '[^a-z_]'),
    object_id TEXT CHECK (object_id ~ '^[A-Z][0-9]{2}-[0-9]{7}-[0-9]{7}(-[A-Z][0-9]{1,11})?$'),
    payment_id UUID CHECK (substr(payment_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    received_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX pay_notifications_of_message ON pay_notifications (account, message_id);
CREATE UNIQUE INDEX pay_notifications_of_reference ON pay_notifications (account, reference) WHERE reference IS NOT NULL;
CREATE INDEX pay_notifications_received ON pay_notifications (received_at);

CREATE TABLE pay_subscriptions (
    id UUID NOT NULL PRIMARY KEY CHECK (substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account !~ '[^a-z0-9_-]' AND account !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    message_id UUID NOT NULL CHECK (substr(message_id::text, 20, 1) IN ('8', '9', 'a', 'b')),
    topic TEXT NOT NULL CHECK (length(topic) <= 255 AND topic ~ '^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[0-9A-Za-z_-]+$' AND topic !~ '[0-9A-Za-z]{4}-[0-9A-Za-z]{6}-[0-9A-Za-z]{4}'),
    token TEXT NOT NULL CHECK (length(token) <= 512 AND token !~ '[^0-9a-f]'),
    received_at TIMESTAMPTZ NOT NULL,
    confirmed_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX pay_subscriptions_of_message ON pay_subscriptions (message_id);

ALTER TABLE payments ADD COLUMN charged_back_at TIMESTAMPTZ;
CREATE INDEX payments_of_key ON payments (pay_key);
CREATE INDEX payments_of_consent ON payments (account, against);
