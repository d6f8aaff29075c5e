//! Authorizations, captures and refunds.

use rust_decimal::Decimal;

use super::{MwsDesk, MwsWorked};
use crate::sandbox::mws::objects::{
    AUTHORIZATIONS_MAX, MWS_REFUNDS_MAX, MwsAuthorized, MwsCaptured, MwsConsented, MwsRefunded, MwsStage, MwsStanding,
    MwsVerdict, with_headroom,
};
use crate::sandbox::mws::refusal::MwsRefused;
use crate::sandbox::mws::shown;
use crate::sandbox::mws::simulation::Play;

/// Characters of the longest note.
const NOTE_MAX: usize = 255;
/// Characters of the longest word for a statement.
const DESCRIPTOR_MAX: usize = 16;

impl MwsDesk<'_> {
    /// Holds money of an open order, or of an open agreement: of that by an order of its own, which is closed at once.
    pub(super) fn authorize(&mut self, recurs: bool) -> MwsWorked {
        let form = self.form;
        let parameter = if recurs { "AmazonBillingAgreementId" } else { "AmazonOrderReferenceId" };
        let reference = form.reference("AuthorizationReferenceId")?;
        let price = form.price("AuthorizationAmount")?;
        let (minutes, capture_now) = (form.timeout()?, form.flag("CaptureNow", false)?);
        let note = form.short("SellerAuthorizationNote", NOTE_MAX)?;
        if form.short("SoftDescriptor", DESCRIPTOR_MAX)?.is_some() && !capture_now {
            return Err(MwsRefused::bad("SoftDescriptor needs CaptureNow"));
        }
        let verdict = verdict(note)?;
        let consent = self.consent(parameter)?.clone();
        if let Some(id) = self.made_before("authorization", reference, parameter)? {
            return self.show_authorization(&id);
        }
        self.demand_room(&consent, price.amount, &price.currency)?;
        let order_id = if recurs { self.order_id() } else { consent.id.clone() };
        if recurs {
            let mut standing = MwsStanding::new(MwsStage::Open, self.now);
            standing.becomes(MwsStage::Closed, "", self.now);
            let parent = Some(consent.id.clone());
            let limit = Some(price.amount);
            let order = MwsConsented {
                id: order_id.clone(),
                recurs: false,
                parent,
                limit,
                standing,
                created: self.now,
                ..consent.clone()
            };
            self.pages.consents.push(order);
        }
        let id = format!("{order_id}-A{}", self.chance.digits(6));
        self.pages.authorizations.push(MwsAuthorized {
            id: id.clone(),
            seller_id: self.seller_id.to_owned(),
            order_id,
            consent_id: consent.id,
            reference: reference.to_owned(),
            note: note.map(str::to_owned),
            currency: price.currency,
            amount: price.amount,
            capture_now,
            verdict,
            soft: false,
            standing: MwsStanding::new(MwsStage::Pending, self.now),
            created: self.now,
        });
        self.remember("authorization", reference, &id);
        // Where the seller does not wait Amazon decides at once.
        if minutes == 0 {
            let last = self.pages.authorizations.len().saturating_sub(1);
            self.pages.decide(last, self.now);
            self.pages.close_used_up(self.now);
        }
        self.show_authorization(&id)
    }

    /// Whether the consent is open, and has room for so much.
    fn demand_room(&self, consent: &MwsConsented, amount: Decimal, currency: &str) -> Result<(), MwsRefused> {
        if consent.standing.stage != MwsStage::Open {
            let code = if consent.recurs { "InvalidBillingAgreementStatus" } else { "InvalidOrderReferenceStatus" };
            return Err(MwsRefused::of(400, code, "it is not open"));
        }
        if currency != consent.currency {
            return Err(MwsRefused::of(400, "CurrencyMismatch", format!("the currency is {}", consent.currency)));
        }
        let used = self.pages.used(consent, self.now).saturating_add(amount);
        let limit = consent.limit.unwrap_or_default();
        if consent.recurs {
            let room = used <= limit;
            let exceeded = || MwsRefused::of(400, "PeriodicAmountExceeded", format!("{limit} a month, and no more"));
            return if room { Ok(()) } else { Err(exceeded()) };
        }
        let made = self.pages.authorizations.iter().filter(|one| one.order_id == consent.id).count();
        if made >= AUTHORIZATIONS_MAX {
            return Err(MwsRefused::of(400, "TransactionCountExceeded", "an order has ten authorizations at most"));
        }
        let most = with_headroom(limit, currency);
        if used <= most {
            Ok(())
        } else {
            Err(MwsRefused::of(400, "TransactionAmountExceeded", format!("{most} at most")))
        }
    }

    pub(super) fn read_authorization(&mut self) -> MwsWorked {
        let id = self.form.need("AmazonAuthorizationId")?.to_owned();
        self.show_authorization(&id)
    }

    fn show_authorization(&mut self, id: &str) -> MwsWorked {
        let one = self.authorization(id)?.clone();
        let captures: Vec<String> = self.pages.captured_of(id).map(|capture| capture.id.clone()).into_iter().collect();
        let mut shown = shown::authorization(&one, &captures);
        // The order that an authorization on an agreement made, which nobody knows before.
        if one.consent_id != one.order_id
            && let Some(elements) = shown.as_object_mut()
        {
            elements.insert("AmazonOrderReferenceId".to_owned(), one.order_id.into());
        }
        Ok(shown)
    }

    fn authorization(&mut self, id: &str) -> Result<&mut MwsAuthorized, MwsRefused> {
        let seller_id = self.seller_id;
        let found = self.pages.authorizations.iter_mut().find(|one| one.id == id && one.seller_id == seller_id);
        found.ok_or_else(|| unknown(id))
    }

    pub(super) fn close_authorization(&mut self) -> MwsWorked {
        let (now, form) = (self.now, self.form);
        form.short("ClosureReason", NOTE_MAX)?;
        let one = self.authorization(form.need("AmazonAuthorizationId")?)?;
        match one.standing.stage {
            MwsStage::Pending | MwsStage::Open => one.standing.becomes(MwsStage::Closed, "SellerClosed", now),
            MwsStage::Closed => {}
            MwsStage::Draft | MwsStage::Suspended | MwsStage::Completed | MwsStage::Declined | MwsStage::Canceled => {
                return Err(MwsRefused::state("InvalidAuthorizationStatus", "it is neither pending nor open"));
            }
        }
        Ok(Self::done())
    }

    /// Takes what is held, all or a part, once.
    pub(super) fn capture(&mut self) -> MwsWorked {
        let (now, form) = (self.now, self.form);
        let reference = form.reference("CaptureReferenceId")?;
        let price = form.price("CaptureAmount")?;
        let note = form.short("SellerCaptureNote", NOTE_MAX)?;
        form.short("SoftDescriptor", DESCRIPTOR_MAX)?;
        let play = Play::read(note)?;
        if let Some(play) = &play {
            play.demand(&[("Pending", ""), ("Declined", "AmazonRejected"), ("Closed", "AmazonClosed")])?;
        }
        let one = self.authorization(form.need("AmazonAuthorizationId")?)?.clone();
        if let Some(id) = self.made_before("capture", reference, "AmazonAuthorizationId")? {
            return self.show_capture(&id);
        }
        if one.standing.stage != MwsStage::Open {
            return Err(MwsRefused::state("InvalidAuthorizationStatus", "the authorization is not open"));
        }
        if price.currency != one.currency {
            return Err(MwsRefused::of(400, "CurrencyMismatch", format!("the currency is {}", one.currency)));
        }
        if price.amount > one.amount {
            return Err(MwsRefused::of(400, "TransactionAmountExceeded", format!("{} are held", one.amount)));
        }
        let mut standing = MwsStanding::new(MwsStage::Completed, now);
        let mut ends = "MaxCapturesProcessed";
        match play.as_ref().map(|play| play.state.as_str()) {
            Some("Pending") => standing.becomes(MwsStage::Pending, "", now),
            Some("Declined") => {
                standing.becomes(MwsStage::Declined, "AmazonRejected", now);
                ends = "AmazonClosed";
            }
            Some("Closed") => standing.becomes(MwsStage::Closed, "AmazonClosed", now),
            Some(_) | None => {}
        }
        let digits = one.id.rsplit_once("-A").map_or("000000", |(_order, digits)| digits);
        let id = format!("{}-C{digits}", one.order_id);
        self.authorization(&one.id)?.standing.becomes(MwsStage::Closed, ends, now);
        self.pages.captures.push(MwsCaptured {
            id: id.clone(),
            seller_id: self.seller_id.to_owned(),
            authorization_id: one.id,
            reference: reference.to_owned(),
            note: note.map(str::to_owned),
            currency: price.currency,
            amount: price.amount,
            standing,
            created: now,
        });
        self.remember("capture", reference, &id);
        self.pages.close_used_up(now);
        self.show_capture(&id)
    }

    pub(super) fn read_capture(&mut self) -> MwsWorked {
        let id = self.form.need("AmazonCaptureId")?.to_owned();
        self.show_capture(&id)
    }

    fn captured(&mut self, id: &str) -> Result<&mut MwsCaptured, MwsRefused> {
        let seller_id = self.seller_id;
        let found = self.pages.captures.iter_mut().find(|one| one.id == id && one.seller_id == seller_id);
        found.ok_or_else(|| unknown(id))
    }

    fn show_capture(&mut self, id: &str) -> MwsWorked {
        let capture = self.captured(id)?.clone();
        let own = self.pages.refunds.iter().filter(|refund| refund.capture_id == id);
        let refunds: Vec<String> = own.map(|refund| refund.id.clone()).collect();
        Ok(shown::capture(&capture, self.pages.returned(id).1, &refunds))
    }

    /// Gives back of what was taken: a little more than that at most, and ten times at most.
    pub(super) fn refund(&mut self) -> MwsWorked {
        let (now, form) = (self.now, self.form);
        let reference = form.reference("RefundReferenceId")?;
        let price = form.price("RefundAmount")?;
        let note = form.short("SellerRefundNote", NOTE_MAX)?;
        form.short("SoftDescriptor", DESCRIPTOR_MAX)?;
        let play = Play::read(note)?;
        if let Some(play) = &play {
            play.demand(&[("Declined", "AmazonRejected")])?;
        }
        let capture = self.captured(form.need("AmazonCaptureId")?)?.clone();
        if let Some(id) = self.made_before("refund", reference, "AmazonCaptureId")? {
            return self.show_refund(&id);
        }
        if capture.standing.stage != MwsStage::Completed {
            return Err(MwsRefused::state("CaptureNotRefundable", "the capture is not completed"));
        }
        if price.currency != capture.currency {
            return Err(MwsRefused::of(400, "CurrencyMismatch", format!("the currency is {}", capture.currency)));
        }
        let (count, returned) = self.pages.returned(&capture.id);
        let (sum, most) = (returned.saturating_add(price.amount), with_headroom(capture.amount, &capture.currency));
        if sum > most {
            return Err(MwsRefused::of(400, "TransactionAmountExceeded", format!("{most} at most")));
        }
        let id =
            format!("{}-R{}", capture.id.rsplit_once("-C").map_or("", |(order, _digits)| order), self.chance.digits(6));
        self.pages.refunds.push(MwsRefunded {
            id: id.clone(),
            seller_id: self.seller_id.to_owned(),
            capture_id: capture.id.clone(),
            reference: reference.to_owned(),
            note: note.map(str::to_owned),
            currency: price.currency,
            amount: price.amount,
            declined_for: play.map(|play| play.reason_code),
            standing: MwsStanding::new(MwsStage::Pending, now),
            created: now,
        });
        self.remember("refund", reference, &id);
        let closes = if sum == most {
            Some("MaxAmountRefunded")
        } else {
            (count.saturating_add(1) >= MWS_REFUNDS_MAX).then_some("MaxRefundsProcessed")
        };
        if let Some(reason) = closes {
            self.captured(&capture.id)?.standing.becomes(MwsStage::Closed, reason, now);
        }
        self.show_refund(&id)
    }

    pub(super) fn read_refund(&mut self) -> MwsWorked {
        let id = self.form.need("AmazonRefundId")?.to_owned();
        self.show_refund(&id)
    }

    fn show_refund(&self, id: &str) -> MwsWorked {
        let found = self.pages.refunds.iter().find(|one| one.id == id && one.seller_id == self.seller_id);
        found.map(shown::refund).ok_or_else(|| unknown(id))
    }
}

fn unknown(id: &str) -> MwsRefused {
    MwsRefused::of(404, "InvalidTransactionId", format!("there is no {id}"))
}

/// What becomes of an authorization with this note.
fn verdict(note: Option<&str>) -> Result<MwsVerdict, MwsRefused> {
    let Some(play) = Play::read(note)? else { return Ok(MwsVerdict::Accept) };
    play.demand(&[
        ("Declined", "InvalidPaymentMethod"),
        ("Declined", "AmazonRejected"),
        ("Declined", "TransactionTimedOut"),
        ("Closed", "ExpiredUnused"),
        ("Closed", "AmazonClosed"),
    ])?;
    let reason = play.reason_code.clone();
    if play.state == "Declined" {
        let soft = play.soft_decline.eq_ignore_ascii_case("true");
        return Ok(MwsVerdict::Decline { reason, soft, mended_in: play.payment_method_update_time_in_mins });
    }
    // Amazon closes at once what it closes itself.
    let minutes = if reason == "ExpiredUnused" { play.expiration_time_in_mins.unwrap_or(1) } else { 0 };
    Ok(MwsVerdict::Close { reason, minutes })
}
