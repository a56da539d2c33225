//! Decides about every request before anything else sees it, and gives every answer its security
//! headers.
//!
//! - The Host header must name this server. A page elsewhere can point a name of its own at
//!   127.0.0.1 (DNS rebinding), but the browser then sends that name.
//! - A request that another origin caused is refused: by Origin, and by Sec-Fetch-Site in browsers
//!   that send it.
//! - All paths need the cookie, except the start address, or the page that asks for the password.
//! - Behind a proxy, requests come from that proxy, which says that the browser uses TLS.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::fail::Fail;
use super::layout::{ICON_PATH, STYLE_PATH};
use super::live::{Live, SCRIPT_PATH};
use super::login;
use super::site::Site;

/// Says how the browser reached a proxy.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Lists the addresses through which a request came.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the other end of a connection; after [`guard`], that of the browser.
#[derive(Debug, Clone, Copy)]
pub(super) struct From(pub(super) IpAddr);

/// Path of the start address.
pub(super) const START: &str = "/start";
/// Largest body of a request in bytes: a form with a password.
pub(super) const BODY_MAX: usize = 4 << 10;
/// Longest time until an answer begins. A list of a million files takes about half a minute.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// The policy of our own pages: nothing but their own style, pictures and sounds, and forms that
/// come back to this server. No script runs.
const PAGES: &str = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; \
                     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Checks a request, passes it on, and completes the headers of the answer.
pub(super) async fn guard(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Response {
    let script = script(&site, &request);
    let mut response = match admitted(&site, &mut request) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => match tokio::time::timeout(ANSWER_MAX, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Fail::Slow.into_response(),
        },
    };
    if response.extensions_mut().remove::<Live>().is_some()
        && let Some(script) = script
    {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, script);
    }
    complete(response.headers_mut());
    response
}

/// Returns the policy of a page with our script: only this one file may run, and no file of
/// a backup under the same origin. Files of backups are sent with a kind that no browser runs.
fn script(site: &Site, request: &Request) -> Option<HeaderValue> {
    let host = one(request.headers(), &HOST)?;
    let path = site.at(SCRIPT_PATH);
    policy_with_script(site.names().scheme(), host, &path)
}

fn policy_with_script(scheme: &str, host: &str, path: &str) -> Option<HeaderValue> {
    // The grammar of a source has no addresses of IPv6
    // (<https://www.w3.org/TR/CSP3/#grammardef-host-part>), so browsers would ignore one.
    let source = if host.starts_with('[') {
        "'self'".to_owned()
    } else {
        format!("{scheme}://{host}{path}")
    };
    let policy = format!("{PAGES}; script-src {source}; connect-src 'self'");
    HeaderValue::from_str(&policy).ok()
}

fn complete(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, PAGES),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        // The contents of a phone stay out of the browser's cache on the disk.
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
}

/// Admits a request, with its session, or returns the reason that it is refused.
fn admitted(site: &Site, request: &mut Request) -> Result<(), Fail> {
    let headers = request.headers();
    if !is_ours(site, request) {
        return Err(Fail::Refused("the address does not name this server"));
    }
    let from = sender(site, request)?;
    let origin = one(headers, &ORIGIN);
    let is_foreign = match origin {
        None => headers.contains_key(ORIGIN),
        Some(origin) => {
            let parts = origin.split_once("://");
            parts.is_none_or(|(scheme, host)| {
                scheme != site.names().scheme() || Some(host) != one(headers, &HOST)
            })
        }
    };
    // The form of the password must have an origin: a browser always sends it.
    let lacks_origin = request.method() == Method::POST && origin.is_none();
    if is_foreign || lacks_origin || comes_from_elsewhere(headers) {
        return Err(Fail::Refused("another page caused this request"));
    }
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::POST => {
            let length = one(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
            if length.is_none_or(|length: usize| length > BODY_MAX) {
                return Err(Fail::Status(StatusCode::PAYLOAD_TOO_LARGE));
            }
        }
        _ => return Err(Fail::Status(StatusCode::METHOD_NOT_ALLOWED)),
    }
    let mut cookies = headers.get_all(COOKIE).iter();
    let session = cookies.find_map(|header| site.secrets().session(header.to_str().ok()?));
    let path = request.uri().path();
    let is_public = match site.secrets().login() {
        None => path == START,
        Some(_) => [login::PATH, STYLE_PATH, ICON_PATH].contains(&path),
    };
    let without = match site.secrets().login() {
        Some(_) if request.method() != Method::POST => Fail::Login(site.at(login::PATH)),
        _ => Fail::NoCookie,
    };
    let extensions = request.extensions_mut();
    extensions.insert(From(from));
    match session {
        Some(session) => {
            extensions.insert(session);
        }
        None if is_public => {}
        None => return Err(without),
    }
    Ok(())
}

/// Returns the address of the browser. Only a proxy that the user named is believed about it, and
/// no other program may send requests then.
fn sender(site: &Site, request: &Request) -> Result<IpAddr, Fail> {
    let unknown = Fail::Refused("its sender is not known");
    let From(peer) = *request.extensions().get::<From>().ok_or(unknown)?;
    if site.proxies().is_empty() {
        return Ok(peer);
    }
    let peer = peer.to_canonical();
    if !site
        .proxies()
        .iter()
        .any(|proxy| proxy.to_canonical() == peer)
    {
        return Err(Fail::Refused("it did not come through the proxy"));
    }
    let headers = request.headers();
    if one(headers, &FORWARDED_PROTO) != Some("https") {
        let why = "the proxy does not say that the browser's connection is encrypted";
        return Err(Fail::Refused(why));
    }
    // A browser may send the header too. The proxy adds the address that it saw at the end.
    let last = headers.get_all(&FORWARDED_FOR).iter().next_back();
    let last = last.and_then(|value| value.to_str().ok());
    let last = last.and_then(|text| text.rsplit(',').next()?.trim().parse().ok());
    last.ok_or(Fail::Refused("the proxy does not say who sent it"))
}

/// Returns true if the request names this server as its host, once and without contradiction.
fn is_ours(site: &Site, request: &Request) -> bool {
    let is_named = |host: Option<&str>| host.is_some_and(|host| site.names().has(host));
    let authority = request.uri().authority();
    is_named(one(request.headers(), &HOST))
        && authority.is_none_or(|authority| site.names().has(authority.as_str()))
}

fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    headers.get_all(SITE).iter().any(|site| {
        let site = site.as_bytes();
        site != b"same-origin" && site != b"none"
    })
}

/// Returns the value of a header that is there exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    match values.next() {
        None => first.to_str().ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_has_a_valid_source() {
        for (host, source) in [
            ("127.0.0.1:8300", "https://127.0.0.1:8300/x/live.js"),
            ("nas.local", "https://nas.local/x/live.js"),
            ("[::1]:8300", "'self'"),
            ("[::1]", "'self'"),
        ] {
            let policy = policy_with_script("https", host, "/x/live.js").unwrap();
            let policy = policy.to_str().unwrap();
            assert!(
                policy.contains(&format!("; script-src {source}; connect-src 'self'")),
                "{policy}"
            );
        }
    }
}
