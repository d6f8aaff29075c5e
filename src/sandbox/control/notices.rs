//! Notifications of Amazon Pay: where they are sent, and what is done with them.

use std::sync::Arc;

use super::port::{Refused, ok, parsed};
use super::{Control, ControlError};
use crate::sandbox::front::Answered;
use crate::sandbox::notices::{self, NewNoticeReceiver, NoticeAct, NoticeDraft, ShownNotice, ShownNoticeReceiver};

pub(super) fn notify(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    control.notify(parsed(body)?)?;
    Ok(ok(&control.notice_receivers()))
}

pub(super) fn act_on_notices(control: &Control, body: &[u8]) -> Result<Answered, Refused> {
    control.act_on_notices(parsed(body)?)?;
    Ok(ok(&control.notices()))
}

impl Control {
    /// Where notifications are sent.
    #[must_use]
    pub fn notice_receivers(&self) -> Vec<ShownNoticeReceiver> {
        self.world.notices.receivers()
    }

    /// Sends a merchant's notifications there from now on.
    pub fn notify(&self, new: NewNoticeReceiver) -> Result<(), ControlError> {
        if self.world.notices.register(new).map_err(ControlError::Rule)? {
            self.world.tasks.spawn(notices::run(Arc::clone(&self.world)));
        }
        Ok(())
    }

    /// Every message, oldest first.
    #[must_use]
    pub fn notices(&self) -> Vec<ShownNotice> {
        self.world.notices.shown()
    }

    /// How many messages are still to be sent, or on their way.
    #[must_use]
    pub fn notices_due(&self) -> usize {
        self.world.notices.due()
    }

    /// Repeats, holds back, releases, forges or plays messages.
    pub fn act_on_notices(&self, act: NoticeAct) -> Result<(), ControlError> {
        self.world.notices.act(&self.world, act).map_err(ControlError::Rule)
    }

    /// A message of this merchant's topic, signed and not sent.
    pub fn draft_notice(&self, merchant_id: &str, draft: NoticeDraft) -> Result<String, ControlError> {
        self.world.notices.draft(&self.world, merchant_id, draft).map_err(ControlError::Rule)
    }

    /// How many certificates were asked for, there or not.
    #[must_use]
    pub fn certificate_fetches(&self) -> u64 {
        self.world.notices.fetches()
    }

    /// The tokens of subscriptions that were confirmed.
    #[must_use]
    pub fn confirmed_subscriptions(&self) -> Vec<String> {
        self.world.notices.confirmed()
    }
}
