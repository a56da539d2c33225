//! The server: it listens on the loopback address and limits connections in number and time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::cookie::Secrets;
use super::fail::Fail;
use super::guard::{self, guard};
use super::layout::{ICON, STYLE};
use super::site::{Options, Site};
use super::{
    backup, contacts, files, home, live, manage, messages, more, notes, photos, places, query, raw,
    records, unlock, whatsapp,
};
use crate::store::Store;

/// Most connections at once. A browser opens six.
const CONNECTIONS_MAX: usize = 128;
/// Longest time for the head of a request, also on a connection that is kept open.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// Most bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Most threads that read backups at once.
const READERS_MAX: usize = 16;
/// Time between looks for passwords and backups that were not used for long.
const SWEEP: Duration = Duration::from_secs(20);
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
        let site = Arc::new(Site::new(store, options, secrets, address.port()));
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
        runtime.spawn(accept(listener, router(&site)));
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
        format!("http://{}{}?token={token}", self.address, guard::START)
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

async fn accept(listener: TcpListener, router: Router) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = free.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // The system has no descriptor left, for example.
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // A browser may close a connection at any moment.
            connection.await.ok();
            drop(permit);
        });
    }
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

fn router(site: &Arc<Site>) -> Router {
    let base = site.secrets().base().to_owned();
    let at = |path: &str| format!("{base}{path}");
    let reading = Router::new()
        .route(guard::START, get(start))
        .route(&at("/"), get(home::page))
        .route(&at("/style.css"), get(style))
        .route(&at("/icon.svg"), get(icon))
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
        .route(&at("/b/{key}/more"), get(more::page))
        .route(&at("/b/{key}/records/{list}"), get(records::page))
        .route(&at("/b/{key}/files"), get(files::page))
        .route(&at("/b/{key}/file/{id}"), get(files::file))
        .route(&at("/b/{key}/raw/{id}"), get(raw::show))
        .route(&at("/b/{key}/download/{id}"), get(raw::download));
    let all = if site.acts() {
        reading
            .route(&at("/live"), get(live::follow_all))
            .route(&at(live::SCRIPT_PATH), get(live::script))
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
        (SET_COOKIE, site.secrets().set_cookie()),
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
