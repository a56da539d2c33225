//! The server: it listens, speaks TLS where that is wanted, and limits connections in number and
//! time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::cookie::Secrets;
use super::fail::Fail;
use super::guard::{self, guard};
use super::layout::{ICON, ICON_PATH, STYLE, STYLE_PATH};
use super::listen::{Hosts, Listen, ListenError, Protection};
use super::login::{self, Login};
use super::site::{Options, Site, locked};
use super::tls::Certificate;
use super::{
    attempts, backup, changes, contacts, files, home, live, manage, messages, more, notes, photos,
    places, query, raw, records, report, schedule, search, unlock, whatsapp,
};
use crate::store::Store;

/// Most connections at once. A browser opens six.
const CONNECTIONS_MAX: usize = 128;
/// Most connections of one other computer, so that it cannot keep all for itself.
const CONNECTIONS_OF_ONE: usize = 48;
/// Longest time for the head of a request, also on a connection that is kept open.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// Most bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most threads that read backups at once.
const READERS_MAX: usize = 16;
/// Time between looks for passwords and backups that were not used for long.
const SWEEP: Duration = Duration::from_secs(20);
/// Time between looks for a renewed certificate.
const RENEW: Duration = Duration::from_secs(2);
/// Time between looks at the flag that ends the server.
const LOOK: Duration = Duration::from_millis(100);

/// Longest time that a server which is dropped waits for its jobs.
const END_MAX: Duration = Duration::from_secs(10);

/// A running server. It ends when dropped.
pub struct Server {
    address: SocketAddr,
    site: Arc<Site>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a server for a store, on a free port of the loopback address.
    pub fn start(store: Store, options: Options) -> io::Result<Server> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let secrets = Secrets::new().map_err(|_| io::Error::other("no random numbers"))?;
        let site = Site::new(store, options, secrets, Hosts::own(address.port()));
        Server::run(listener, site, None)
    }

    /// Starts a server where the user says so. Refuses one that others could use.
    pub fn listen(store: Store, options: Options, listen: Listen) -> Result<Server, ListenError> {
        listen.check()?;
        let failed = |cause| ListenError::Listen {
            address: listen.address,
            cause,
        };
        let listener = std::net::TcpListener::bind(listen.address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let names = Hosts::of(&listen);
        let is_secure = names.scheme() == "https";
        let secrets = match listen.password {
            Some(hash) => Secrets::with_login(Login::new(hash), is_secure),
            None => Secrets::new(),
        };
        let secrets = secrets.map_err(|_| failed(io::Error::other("no random numbers")))?;
        let site = Site::new(store, options, secrets, names);
        let (proxies, tls) = match listen.protection {
            Protection::Nothing => (Vec::new(), None),
            Protection::Tls(certificate) => (Vec::new(), Some(Arc::new(certificate))),
            Protection::Proxy(proxies) => (proxies, None),
        };
        Server::run(listener, site.behind(proxies), tls).map_err(failed)
    }

    fn run(
        listener: std::net::TcpListener,
        site: Site,
        tls: Option<Arc<Certificate>>,
    ) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let site = Arc::new(site);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(READERS_MAX)
            .thread_name("pages")
            .enable_io()
            .enable_time()
            .build()?;
        let listener = {
            let _in_runtime = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let proxies = site.proxies().to_vec();
        if let Some(tls) = &tls {
            runtime.spawn(renew(tls.clone()));
        }
        runtime.spawn(accept(listener, router(&site), tls, proxies));
        runtime.spawn(sweep(site.clone()));
        Ok(Server {
            address,
            site,
            runtime: Some(runtime),
        })
    }

    /// Returns the start address. It works until the server ends.
    pub fn link(&self) -> String {
        self.start_link(self.site.secrets().token())
    }

    /// Returns a start address for a browser that the program starts: it works once, within
    /// a minute, because other users of the computer can see it.
    pub fn link_once(&self) -> io::Result<String> {
        let token = self.site.secrets().make_once();
        let token = token.map_err(|_| io::Error::other("no random numbers"))?;
        Ok(self.start_link(&token))
    }

    fn start_link(&self, token: &str) -> String {
        let scheme = self.site.names().scheme();
        format!("{scheme}://{}{}?token={token}", self.address, guard::START)
    }

    /// Returns the address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns an address for browsers of a server that asks for a password: by its name if it has
    /// one. With neither a name nor an address of its own, the address works on this computer only.
    pub fn place(&self) -> String {
        let (names, is_proxied) = (self.site.names(), !self.site.proxies().is_empty());
        place_of(names.scheme(), self.address, names.given(), is_proxied)
    }

    /// Serves until the flag is set. Then it cancels the running jobs, and waits for their end.
    pub fn run_until(&self, end: &AtomicBool) {
        while !end.load(Ordering::SeqCst) {
            thread::sleep(LOOK);
        }
        self.site.jobs().end(None);
    }

    /// Returns true if jobs are running.
    pub fn is_busy(&self) -> bool {
        self.site.jobs().all().iter().any(|job| job.runs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.site.jobs().end(Some(END_MAX));
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn place_of(scheme: &str, at: SocketAddr, names: &[String], is_proxied: bool) -> String {
    match names.first() {
        Some(name) if is_proxied => format!("{scheme}://{name}/"),
        Some(name) if !at.ip().is_loopback() => format!("{scheme}://{name}:{}/", at.port()),
        _ if at.ip().is_unspecified() => format!("{scheme}://localhost:{}/", at.port()),
        _ => format!("{scheme}://{at}/"),
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Certificate>>,
    proxies: Vec<IpAddr>,
) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let shares = Arc::new(Shares::new(&proxies));
    while let Ok(permit) = free.clone().acquire_owned().await {
        let Ok((stream, peer)) = listener.accept().await else {
            // The system has no descriptor left, for example.
            tokio::time::sleep(LOOK).await;
            continue;
        };
        // Else the head and the body of a small answer can wait for each other's acknowledgement.
        drop(stream.set_nodelay(true));
        let Some(share) = Share::take(&shares, peer.ip()) else {
            continue;
        };
        let (router, tls) = (router.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, peer.ip(), router).await,
                Some(tls) => {
                    let tls = TlsAcceptor::from(tls.config());
                    let shaken = tokio::time::timeout(HEAD_MAX, tls.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        serve(stream, peer.ip(), router).await;
                    }
                }
            }
            drop((share, permit));
        });
    }
}

/// Connections of each address.
struct Shares {
    used: Mutex<HashMap<IpAddr, usize>>,
    /// Proxies: all browsers come from their addresses.
    proxies: Vec<IpAddr>,
}

/// A permit for a connection, with its address if that has a limit.
struct Share(Arc<Shares>, Option<IpAddr>);

impl Shares {
    fn new(proxies: &[IpAddr]) -> Shares {
        Shares {
            used: Mutex::default(),
            proxies: proxies.iter().map(IpAddr::to_canonical).collect(),
        }
    }

    /// Returns true if an address has no limit of its own: this computer, whose users come from one
    /// address, and the proxies.
    fn is_free(&self, of: IpAddr) -> bool {
        let of = of.to_canonical();
        of.is_loopback() || self.proxies.contains(&of)
    }
}

impl Share {
    /// Takes a share, or returns `None` if the address has all of its own.
    fn take(all: &Arc<Shares>, of: IpAddr) -> Option<Share> {
        if all.is_free(of) {
            return Some(Share(all.clone(), None));
        }
        let of = attempts::whole(of);
        let mut shares = locked(&all.used);
        let used = shares.entry(of).or_insert(0);
        if *used >= CONNECTIONS_OF_ONE {
            return None;
        }
        *used += 1;
        Some(Share(all.clone(), Some(of)))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Share(all, Some(of)) = self else { return };
        let mut shares = locked(&all.used);
        if let Some(used) = shares.get_mut(of) {
            *used -= 1;
            if *used == 0 {
                shares.remove(of);
            }
        }
    }
}

async fn serve<S>(stream: S, peer: IpAddr, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(guard::From(peer));
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A browser may close a connection at any moment.
    connection.await.ok();
}

async fn sweep(site: Arc<Site>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let site = site.clone();
        tokio::task::spawn_blocking(move || site.forget_unused())
            .await
            .ok();
    }
}

/// Reads a renewed certificate, so that the server need not start again.
async fn renew(tls: Arc<Certificate>) {
    loop {
        tokio::time::sleep(RENEW).await;
        let tls = tls.clone();
        tokio::task::spawn_blocking(move || tls.renew()).await.ok();
    }
}

fn router(site: &Arc<Site>) -> Router {
    let base = site.secrets().base().to_owned();
    let at = |path: &str| format!("{base}{path}");
    let reading = Router::new()
        .route(guard::START, get(start))
        .route(&at("/"), get(home::page))
        .route(&at(STYLE_PATH), get(style))
        .route(&at(ICON_PATH), get(icon))
        .route(&at("/places"), get(places::page))
        .route(&at("/phone/{udid}"), get(home::phone))
        .route(&at("/b/{key}"), get(backup::page))
        .route(&at("/b/{key}/unlock"), get(unlock::page).post(unlock::take))
        .route(&at("/b/{key}/lock"), post(unlock::forget))
        .route(&at("/b/{key}/photos"), get(photos::page))
        .route(&at("/b/{key}/photo/{number}"), get(photos::photo))
        .route(&at("/b/{key}/messages"), get(messages::page))
        .route(&at("/b/{key}/messages/{number}"), get(messages::chat))
        .route(&at("/b/{key}/contacts"), get(contacts::page))
        .route(
            &at("/b/{key}/contacts/{number}/picture"),
            get(contacts::picture),
        )
        .route(&at("/b/{key}/notes"), get(notes::page))
        .route(&at("/b/{key}/notes/{row}"), get(notes::note))
        .route(&at("/b/{key}/whatsapp"), get(whatsapp::page))
        .route(&at("/b/{key}/whatsapp/{number}"), get(whatsapp::chat))
        .route(&at("/b/{key}/download/photos.zip"), get(photos::pack))
        .route(&at("/b/{key}/search"), get(search::page))
        .route(&at("/b/{key}/changes"), get(changes::page))
        .route(&at("/b/{key}/report"), get(report::page))
        .route(&at("/b/{key}/more"), get(more::page))
        .route(&at("/b/{key}/records/{list}"), get(records::page))
        .route(&at("/b/{key}/files"), get(files::page))
        .route(&at("/b/{key}/file/{id}"), get(files::file))
        .route(&at("/b/{key}/raw/{id}"), get(raw::show))
        .route(&at("/b/{key}/download/{id}"), get(raw::download));
    let reading = match site.secrets().login() {
        Some(_) => reading
            .route(login::PATH, get(login::page).post(login::take))
            .route("/logout", post(login::leave)),
        None => reading,
    };
    let all = if site.acts() {
        reading
            .route(&at("/live"), get(live::follow_all))
            .route(&at(live::SCRIPT_PATH), get(live::script))
            .route(&at(schedule::PATH), get(schedule::page))
            .route(&at("/schedule/add"), post(schedule::add))
            .route(&at("/schedule/remove"), post(schedule::remove))
            .route(&at("/job/{id}"), get(live::job))
            .route(&at("/job/{id}/live"), get(live::follow_job))
            .route(&at("/job/{id}/cancel"), post(live::cancel))
            .route(&at("/phone/{udid}/back-up"), post(manage::back_up))
            .route(&at("/phone/{udid}/live"), get(live::follow_phone))
            .route(&at("/b/{key}/manage"), get(manage::page))
            .route(&at("/b/{key}/verify"), post(manage::verify))
            .route(&at("/b/{key}/rehearse"), post(manage::rehearse))
            .route(&at("/b/{key}/pin"), post(manage::pin))
            .route(&at("/b/{key}/tag"), post(manage::tag))
            .route(&at("/b/{key}/untag"), post(manage::untag))
            .route(
                &at("/b/{key}/delete"),
                get(manage::ask).post(manage::delete),
            )
    } else {
        reading
    };
    all.fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site.clone())
}

/// Exchanges the token for the cookie.
async fn start(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response {
    let token = query::get(query.as_deref(), "token").unwrap_or_default();
    if !site.secrets().admits(&token) {
        return Fail::NoCookie.into_response();
    }
    let headers = [
        (
            SET_COOKIE,
            site.secrets().set_cookie(site.secrets().cookie()),
        ),
        (LOCATION, site.at("/")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}

async fn nothing() -> Fail {
    Fail::NotFound("no such page")
}

async fn wrong_method() -> Fail {
    Fail::Status(StatusCode::METHOD_NOT_ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn other_computers_have_a_limit() {
        let shares = Arc::new(Shares::new(&[]));
        let network = "2001:db8::";
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            (network, "2001:db8::ffff", "2001:db8:0:1::1"),
        ] {
            let take = |of| Share::take(&shares, at(of));
            let mut held: Vec<Share> = (0..CONNECTIONS_OF_ONE).filter_map(|_| take(one)).collect();
            assert_eq!(held.len(), CONNECTIONS_OF_ONE);
            assert!(take(one).is_none() && take(same).is_none(), "{one}");
            assert!(take(other).is_some(), "{other}");
            held.pop();
            assert!(take(same).is_some(), "{same}");
        }
        assert!(locked(&shares.used).is_empty());
    }

    #[test]
    fn proxies_have_no_limit() {
        let shares = Arc::new(Shares::new(&[at("192.0.2.1"), at("2001:db8::1")]));
        let mut held = Vec::new();
        for of in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            for _ in 0..=CONNECTIONS_OF_ONE {
                let share = Share::take(&shares, at(of));
                held.push(share.unwrap_or_else(|| panic!("{of} has a limit")));
            }
        }
        assert!(Share::take(&shares, at("2001:db8::2")).is_some());
    }

    #[test]
    fn printed_addresses_can_be_opened() {
        let place = |address: &str, names: &[&str], is_proxied: bool| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            place_of("https", address.parse().unwrap(), &names, is_proxied)
        };
        for (address, names, is_proxied, expected) in [
            ("127.0.0.1:8300", &[][..], false, "https://127.0.0.1:8300/"),
            (
                "127.0.0.1:8300",
                &["nas.local"],
                false,
                "https://127.0.0.1:8300/",
            ),
            ("[fd00::1]:8443", &[], false, "https://[fd00::1]:8443/"),
            ("0.0.0.0:8443", &[], false, "https://localhost:8443/"),
            ("[::]:8443", &[], false, "https://localhost:8443/"),
            (
                "0.0.0.0:8443",
                &["nas.local"],
                false,
                "https://nas.local:8443/",
            ),
            (
                "192.0.2.1:8443",
                &["nas.local"],
                false,
                "https://nas.local:8443/",
            ),
            (
                "127.0.0.1:8300",
                &["backups.example", "b"],
                true,
                "https://backups.example/",
            ),
        ] {
            assert_eq!(place(address, names, is_proxied), expected);
        }
    }
}
