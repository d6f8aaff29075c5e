//! The state that the gateway and the control share.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::Journal;
use super::book::Book;
use super::chance::Chance;
use super::clock::Clock;
use super::fault::FaultBoard;
use super::front::RequestLines;
use super::kinds::Deck;
use super::latency::Pace;
use super::login::Tokens;
use super::mws::MwsOffice;
use super::notices::NoticeOffice;
use super::partners::Partners;
use super::pay::PayOffice;
use super::record::RequestLog;
use super::shoppers::Shoppers;
use super::throttle::Throttle;

/// The sandbox's whole state.
pub(super) struct World {
    pub(super) partners: Partners,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) book: Book,
    pub(super) deck: Deck,
    pub(super) shoppers: Shoppers,
    pub(super) tokens: Tokens,
    pub(super) mws: MwsOffice,
    pub(super) pay: PayOffice,
    pub(super) notices: NoticeOffice,
    /// Where the gateway listens: certificates lie there.
    pub(super) front: SocketAddr,
    pub(super) journal: Journal,
    pub(super) pace: Pace,
    pub(super) throttle: Throttle,
    pub(super) faults: FaultBoard,
    pub(super) record: RequestLog,
    pub(super) lines: RequestLines,
    /// How long a client may take to send the body of a request.
    pub(super) body_time: Duration,
    /// Canceled when the sandbox stops: every wait ends.
    pub(super) stopping: CancellationToken,
    /// Canceled a second later: connections that are still open are closed.
    pub(super) leaving: CancellationToken,
    pub(super) tasks: TaskTracker,
}
