//! Sockets that listen. `[::]` is every address of this machine, of IPv6 and of IPv4; where the kernel has no IPv6, it is
//! every address of IPv4.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::door::SOCKET_BUFFER_BYTES;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// When a connection that says nothing is asked whether its other side is still there, and how often. Where the kernel has
/// TCP_USER_TIMEOUT, that decides how many times; else it is three.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10)).with_retries(3);

/// Listens on the address. A connection has from its listener: what the kernel keeps for it, and how long the kernel waits for
/// the other side to take what was sent. That holds also for an answer that is left with the kernel when we have closed.
///
/// # Errors
/// When the address cannot be had.
pub(super) fn listen(address: SocketAddr, unread_max: Duration) -> io::Result<TcpListener> {
    let socket = or_without_ipv6(address, open)?;
    socket.set_tcp_user_timeout(Some(unread_max))?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

fn or_without_ipv6<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match open(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && says_no_ipv6(&error) => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::warn!(server.address = %address, "this machine has no IPv6: listening by IPv4 alone");
            open(address)
        }
        opened => opened,
    }
}

fn says_no_ipv6(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|none| error.raw_os_error() == Some(none.raw_os_error()))
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A process that starts again need not wait until the connections before it are forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The kernel's own default can be the other one (`net.ipv6.bindv6only`).
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Before it listens: the size of the window is agreed on with the first segment.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    const UNREAD_MAX: Duration = Duration::from_secs(10);

    #[test]
    fn who_listens_everywhere_is_reached_by_both_protocols() {
        let listener = match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))) {
            Ok(listener) => listener,
            // Then there is nothing to be shown.
            Err(error) if says_no_ipv6(&error) => return,
            Err(error) => panic!("{error}"),
        };
        let port = listener.local_addr().unwrap().as_socket().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn without_ipv6_everywhere_is_every_address_of_ipv4() {
        for none in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let kernel = |address: SocketAddr| if address.is_ipv4() { Ok(address) } else { Err(none.into()) };
            let opened = |address: &str| or_without_ipv6(address.parse().unwrap(), kernel);
            assert_eq!(opened("[::]:8080").unwrap(), "0.0.0.0:8080".parse().unwrap());
            assert!(opened("[::1]:8080").is_err(), "an address that is named is that address");
        }
        let taken = |_address| Err::<(), _>(io::Error::from(Errno::ADDRINUSE));
        assert!(or_without_ipv6("[::]:8080".parse().unwrap(), taken).is_err());
    }

    #[test]
    fn a_port_that_is_taken_is_refused() {
        let first = listen("127.0.0.1:0".parse().unwrap(), UNREAD_MAX).unwrap();
        assert_eq!(listen(first.local_addr().unwrap(), UNREAD_MAX).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
