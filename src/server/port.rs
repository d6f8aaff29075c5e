//! A port that is served: a socket that listens, a door, and an application behind it.

use std::{fmt, io, net::SocketAddr, time::Duration};

use actix_http::{
    HttpServiceBuilder, KeepAlive, Request, Response,
    body::{BoxBody, MessageBody},
    error::DispatchError,
    h1::{ExpectHandler, UpgradeHandler},
};
use actix_server::{Server, ServerHandle};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{Error, dev::AppConfig};
use tokio::{net::TcpStream, task::yield_now};
use tokio_util::either::Either;

use super::{
    door::{ANSWER_BUFFER_BYTES, Door, Guarded},
    listen,
    tls::{ApiTls, PortStream},
};

/// How long a connection that we close may take to say that it is closed.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// How a port is served.
pub(super) struct PortSettings {
    pub(super) listen: SocketAddr,
    pub(super) workers: usize,
    pub(super) connections_max: usize,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) unread_timeout: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) tls: Option<ApiTls>,
}

impl PortSettings {
    /// The share of a worker: the framework counts each worker's connections by themselves.
    fn per_worker(&self) -> usize {
        self.connections_max.checked_div(self.workers).unwrap_or(0).max(1)
    }
}

/// A server that listens on its port and is not served yet.
pub(crate) struct BoundServer {
    /// Resolves when it has stopped.
    pub(crate) server: Server,
    pub(crate) handle: ServerHandle,
    pub(crate) address: SocketAddr,
}

/// Binds a port, which serves the applications that `applications` makes, one for each worker.
///
/// # Errors
/// When the address cannot be had.
pub(super) fn bind<F, I, S, B>(settings: &PortSettings, door: &Door, applications: F) -> io::Result<BoundServer>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let listener = listen::listen(settings.listen, settings.unread_timeout)?;
    let address = listener.local_addr()?;
    let builder = Server::build()
        .workers(settings.workers)
        .max_concurrent_connections(settings.per_worker())
        .shutdown_timeout(settings.drain_timeout.as_secs())
        .disable_signals();
    let stop = builder.graceful_shutdown_signal();
    let (head_timeout, idle_timeout) = (settings.head_timeout, settings.idle_timeout);
    let (door, tls) = (door.clone(), settings.tls.clone());
    let server = builder.listen("port", listener, move || {
        let (door, tls, stop) = (door.clone(), tls.clone(), stop.clone());
        let application = applications().into_factory().map_err(|error| {
            let error: Error = error.into();
            Response::<BoxBody>::from(error.error_response())
        });
        let http = HttpServiceBuilder::<Guarded<PortStream>, _, ExpectHandler, UpgradeHandler>::default()
            .graceful_shutdown_signal(move || {
                let stop = stop.clone();
                async move { stop.notified().await }
            })
            .keep_alive(KeepAlive::Timeout(idle_timeout))
            .client_request_timeout(head_timeout)
            .client_disconnect_timeout(GOODBYE_MAX)
            .h1_write_buffer_size(ANSWER_BUFFER_BYTES)
            .local_addr(address)
            .on_connect_ext(|guarded: &Guarded<PortStream>, data| {
                data.insert(guarded.guest().connection().clone());
            })
            .h1(map_config(application, |()| AppConfig::default()));
        fn_service(move |io: TcpStream| {
            let (door, tls) = (door.clone(), tls.clone());
            async move {
                // A worker takes all that wait before it looks at one of them. Whoever entered then would have to leave for those behind,
                // unheard. One turn later it is known whose request is there, and that is read as soon as its sender has entered.
                yield_now().await;
                let mut guest = door.enter();
                let peer = io.peer_addr().ok();
                let stream = match tls {
                    None => Either::Left(io),
                    Some(tls) => tls.shake_hands(io, &mut guest, head_timeout).await?,
                };
                Ok::<_, DispatchError>((Guarded::new(stream, guest), peer))
            }
        })
        .and_then(http)
    })?;
    let server = server.run();
    Ok(BoundServer { handle: server.handle(), server, address })
}
