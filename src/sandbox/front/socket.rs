//! A connection whose writes a fault can take over.
//!
//! Many faults are below HTTP: a cut answer, a reset, a close without an answer. The HTTP server cannot send these. So
//! the handler leaves a [`Script`] on the connection's [`Switch`]. At the server's next write the script's bytes
//! replace the server's, and then the connection ends as the script says.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ConnectionEnd {
    /// By a FIN, in order.
    Close,
    /// By an RST.
    Reset,
    /// Only when the client leaves.
    Stay,
}

/// The last bytes of a connection, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The bytes, the head included. May be empty.
    pub(super) bytes: Vec<u8>,
    pub(super) end: ConnectionEnd,
}

/// Where a handler leaves a script for its connection.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Switch {
    script: Mutex<Option<Script>>,
}

impl Switch {
    pub(super) fn set(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(script);
    }

    fn take(&self) -> Option<Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A TCP stream, plain or below TLS.
pub(super) enum Wire {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Makes the end of the connection a reset.
    fn set_zero_linger(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.set_zero_linger(),
            Self::Secured(stream) => stream.get_ref().0.set_zero_linger(),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_write(context, buffer),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// A connection with a switch.
pub(super) struct Socket {
    stream: Wire,
    switch: Arc<Switch>,
    /// The script that has taken over, and how much of it is sent.
    speaking: Option<(Script, usize)>,
}

impl Socket {
    pub(super) fn new(stream: Wire, switch: Arc<Switch>) -> Self {
        Self { stream, switch, speaking: None }
    }

    /// Writes the script's bytes. Always returns an error, which makes the server drop the connection.
    fn speak(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some((script, sent)) = &mut self.speaking else {
            return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
        };
        while let Some(rest) = script.bytes.get(*sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                Ok(count) => *sent = sent.saturating_add(count),
                Err(error) => return Poll::Ready(error),
            }
        }
        // TLS may hold bytes back; a plain stream holds none.
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_flush(context)) {
            return Poll::Ready(error);
        }
        let ended = match script.end {
            ConnectionEnd::Close => ready!(Pin::new(&mut self.stream).poll_shutdown(context)),
            // With no time to linger, dropping the socket sends RST in place of FIN.
            ConnectionEnd::Reset => self.stream.set_zero_linger(),
            ConnectionEnd::Stay => {
                let mut space = [0; 64];
                ready!(Pin::new(&mut self.stream).poll_read(context, &mut ReadBuf::new(&mut space)))
            }
        };
        Poll::Ready(ended.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(script) = self.switch.take() {
            self.speaking = Some((script, 0));
        }
        if self.speaking.is_some() {
            return self.speak(context).map(Err);
        }
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
