//! One connection as the framework reads and writes it, with what it may not do.
//!
//! The framework itself reads up to 128 KiB of a head before it refuses it, waits for ever until an answer is read, and panics
//! on a header whose name is longer than 65,535 bytes. So bytes are counted before they get there. A request has
//! [`REQUEST_BYTES_MAX`], head and body; what comes after them is left in the kernel until the answer is written, so that a
//! pipeline costs no more than a single request. If no whole head lies in these bytes, the answer is 431.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::Guest;

/// Bytes of a request that are read before it is answered. A body has 4 KiB at most.
pub(super) const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Whoever was refused unread may send nothing for so long before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);

const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection behind the door.
pub(in crate::server) struct Guarded<S> {
    io: S,
    guest: Guest,
    /// Bytes that may still be read before an answer.
    allowance: usize,
    /// How many answers had been made when the allowance was given.
    answered: u64,
    /// How many requests had begun when the allowance was used up.
    used_up_at: Option<u64>,
    refusal: Option<HeadRefusal>,
    /// Runs while an answer waits for its reader.
    unread: Option<Pin<Box<Sleep>>>,
    /// While the connection ends.
    goodbye: Option<Goodbye>,
}

/// The end of a connection: we have sent our last byte, and what is left of a refused request is dropped.
struct Goodbye {
    has_shut_down: bool,
    /// Runs while nothing comes.
    quiet: Pin<Box<Sleep>>,
    /// Ends it, whatever comes.
    end: Pin<Box<Sleep>>,
}

/// The answer to a head that is too long, on its way.
struct HeadRefusal {
    written: usize,
    end: Pin<Box<Sleep>>,
}

impl<S> Guarded<S> {
    pub(in crate::server) fn new(io: S, guest: Guest) -> Self {
        Self {
            io,
            guest,
            allowance: REQUEST_BYTES_MAX,
            answered: 0,
            used_up_at: None,
            refusal: None,
            unread: None,
            goodbye: None,
        }
    }

    /// The connection's guest.
    pub(in crate::server) const fn guest(&self) -> &Guest {
        &self.guest
    }

    /// An answer has been made, and is on its way: the next request may be read.
    fn renew(&mut self, cx: &Context<'_>) {
        let connection = self.guest.connection();
        let answered = connection.ended();
        if answered == self.answered || connection.is_served() || connection.is_closing() {
            return;
        }
        self.answered = answered;
        self.allowance = REQUEST_BYTES_MAX;
        if self.used_up_at.take().is_some() {
            cx.waker().wake_by_ref();
        }
    }

    fn check(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if self.guest.must_leave(cx) { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// What was written, unless its reader has kept it waiting for too long.
    fn in_time<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.unread = None;
            return written;
        }
        let unread_max = self.guest.door.0.unread_max;
        let timer = self.unread.get_or_insert_with(|| Box::pin(sleep(unread_max)));
        ready!(timer.as_mut().poll(cx));
        self.guest.door.0.metrics.unread();
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// Nothing more may be read. Either the answer is awaited, or what was read is no whole head.
    fn wait_for_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refusal.is_some() {
            return self.refuse(cx);
        }
        if self.guest.connection().is_closing() {
            // The answer is made, and the connection ends behind it. What still comes is no request.
            return self.drop_what_comes(cx).map(Ok);
        }
        let begun = self.guest.connection().begun();
        match self.used_up_at {
            // What was read now has yet to be looked at: the task is to come here again.
            None => {
                self.used_up_at = Some(begun);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(before) if before == begun && !self.guest.connection().is_served() => {
                self.guest.door.0.metrics.head_too_large();
                self.refusal = Some(HeadRefusal { written: 0, end: Box::pin(sleep(LINGER)) });
                self.refuse(cx)
            }
            // Woken by what is written.
            Some(_before) => Poll::Pending,
        }
    }

    /// Answers 431, drops what still comes, and ends the connection.
    fn refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(refusal) = &mut self.refusal else { return Poll::Pending };
        let over = || Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        if refusal.end.as_mut().poll(cx).is_ready() {
            return over();
        }
        while let Some(rest) = TOO_LARGE.get(refusal.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                Ok(written) if written > 0 => refusal.written = refusal.written.saturating_add(written),
                Ok(_) | Err(_) => return over(),
            }
        }
        if refusal.written == TOO_LARGE.len() {
            refusal.written = refusal.written.saturating_add(1);
            // That it cannot be shut down is an end as well.
            drop(ready!(Pin::new(&mut self.io).poll_shutdown(cx)));
        }
        self.drop_what_comes(cx).map(|()| Err(ErrorKind::ConnectionAborted.into()))
    }

    /// Reads until the other side has ended.
    fn drop_what_comes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut dropped = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut dropped)) {
                Ok(()) if !dropped.filled().is_empty() => {
                    if let Some(goodbye) = &mut self.goodbye {
                        goodbye.quiet.as_mut().set(sleep(LINGER));
                    }
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Says that nothing more comes from us, and drops what still comes of a request that was refused unread. Closed at once, its
    /// sender would get a reset, and lose the answer.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let unread_max = self.guest.door.0.unread_max;
        let goodbye = self.goodbye.get_or_insert_with(|| Goodbye {
            has_shut_down: false,
            quiet: Box::pin(sleep(LINGER)),
            end: Box::pin(sleep(unread_max)),
        });
        if goodbye.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !goodbye.has_shut_down {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            goodbye.has_shut_down = true;
        }
        if self.allowance > 0 && !self.guest.connection().leaves_a_body() {
            return Poll::Ready(Ok(()));
        }
        if self.drop_what_comes(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.goodbye {
            Some(goodbye) => goodbye.quiet.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        this.allowance = this.allowance.saturating_add(this.guest.connection().take_more());
        if this.allowance == 0 {
            return this.wait_for_answer(cx);
        }
        let room = buffer.remaining().min(this.allowance);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.io).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        this.allowance = this.allowance.saturating_sub(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        let written = ready!(this.in_time(written, cx));
        this.renew(cx);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        let flushed = ready!(this.in_time(flushed, cx));
        // A long answer is written before it ends; nothing is left to be written then.
        this.renew(cx);
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().say_goodbye(cx)
    }
}
