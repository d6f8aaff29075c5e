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
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    message_id BLOB NOT NULL CHECK (length(message_id) = 16 AND substr(hex(message_id), 17, 1) IN ('8', '9', 'A', 'B')),
    reference BLOB CHECK (reference IS NULL OR length(reference) = 16 AND substr(hex(reference), 17, 1) IN ('8', '9', 'A', 'B')),
    kind TEXT NOT NULL CHECK (length(kind) <= 32 AND kind NOT GLOB '*[^a-z_]*'),
    object_id TEXT CHECK (substr(object_id, 1, 19) GLOB '[A-Z][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9][0-9]' AND (length(object_id) = 19 OR length(object_id) BETWEEN 22 AND 32 AND substr(object_id, 20) GLOB '-[A-Z]*' AND substr(object_id, 22) NOT GLOB '*[^0-9]*')),
    payment_id BLOB CHECK (payment_id IS NULL OR length(payment_id) = 16 AND substr(hex(payment_id), 17, 1) IN ('8', '9', 'A', 'B')),
    received_at TEXT NOT NULL CHECK (received_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(received_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE UNIQUE INDEX pay_notifications_of_message ON pay_notifications (account, message_id);
CREATE UNIQUE INDEX pay_notifications_of_reference ON pay_notifications (account, reference) WHERE reference IS NOT NULL;
CREATE INDEX pay_notifications_received ON pay_notifications (received_at);

CREATE TABLE pay_subscriptions (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16 AND substr(hex(id), 17, 1) IN ('8', '9', 'A', 'B')),
    account TEXT NOT NULL CHECK (length(account) <= 32 AND account NOT GLOB '*[^a-z0-9_-]*' AND account NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    message_id BLOB NOT NULL CHECK (length(message_id) = 16 AND substr(hex(message_id), 17, 1) IN ('8', '9', 'A', 'B')),
    topic TEXT NOT NULL CHECK (length(topic) <= 255 AND topic GLOB 'arn:aws*:sns:[a-z]*:[0-9]*:*' AND topic NOT GLOB '*[^0-9A-Za-z:_-]*' AND topic NOT GLOB '*[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]-[0-9A-Za-z][0-9A-Za-z][0-9A-Za-z][0-9A-Za-z]*'),
    token TEXT NOT NULL CHECK (length(token) <= 512 AND token NOT GLOB '*[^0-9a-f]*'),
    received_at TEXT NOT NULL CHECK (received_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(received_at, 12) NOT GLOB '*[^0-9:.+]*'),
    confirmed_at TEXT CHECK (confirmed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(confirmed_at, 12) NOT GLOB '*[^0-9:.+]*')
) STRICT;
CREATE UNIQUE INDEX pay_subscriptions_of_message ON pay_subscriptions (message_id);

ALTER TABLE payments ADD COLUMN charged_back_at TEXT CHECK (charged_back_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*' AND substr(charged_back_at, 12) NOT GLOB '*[^0-9:.+]*');
CREATE INDEX payments_of_key ON payments (pay_key);
CREATE INDEX payments_of_consent ON payments (account, against);
