//! The page with the actions on a backup: check, rehearse, keep and delete. They work without the
//! password where the command line needs none.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::cookie::Session;
use super::fail::Fail;
use super::form::{self, Form};
use super::home::checked;
use super::layout::{Page, answer, encoded, t};
use super::site::{Site, reading};
use super::unlock::allow_form;
use super::{backup, query, work};
use crate::base::progress::Silent;
use crate::base::secret::Secret;
use crate::base::sha256::Sha256;
use crate::base::time;
use crate::base::udid::Udid;
use crate::base::units::size;
use crate::history::change::Chosen;
use crate::history::delete::Deleted;
use crate::history::list::{self, Backup as Listed};
use crate::history::{delete, tag};
use crate::store::Snapshot;
use crate::store::sums::hex;

/// The word that confirms a deletion, as on the command line.
const YES: &str = "yes";

/// A backup that a request names.
struct Named {
    snapshot: Snapshot,
    listed: Listed,
}

impl Named {
    fn find(site: &Site, key: &str) -> Result<Named, Fail> {
        let snapshot = site.find(key)?;
        let listed = list::one(site.store(), &snapshot);
        Ok(Named { snapshot, listed })
    }

    fn phone(&self) -> String {
        let name = self.listed.name.clone();
        name.unwrap_or_else(|| "A phone without a name".to_owned())
    }

    fn chosen(&self, site: &Site) -> Chosen {
        Chosen {
            store: site.store().clone(),
            snapshot: self.snapshot.clone(),
        }
    }

    fn page(&self, site: &Site, key: &str, title: &str, main: Markup) -> Response {
        let date = self.listed.date.as_deref();
        let page = Page {
            base: site.secrets().base(),
            title,
            above: vec![
                (
                    site.at(&format!("/phone/{}", encoded(&self.listed.udid))),
                    self.phone(),
                ),
                (
                    site.at(&format!("/b/{key}")),
                    date.map_or("No date".to_owned(), time::when),
                ),
            ],
            tabs: None,
            main,
            wide: false,
            is_first: false,
        };
        let mut response = answer(page.markup());
        allow_form(&mut response);
        response
    }
}

/// Shows the actions.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
) -> Response {
    reading(move || {
        let named = Named::find(&site, &key)?;
        let main = actions(&site, &session, &key, &named, None)?;
        Ok(named.page(&site, &key, "Check, keep or delete", main))
    })
    .await
}

fn actions(
    site: &Arc<Site>,
    session: &Session,
    key: &str,
    named: &Named,
    problem: Option<&str>,
) -> Result<Markup, Fail> {
    let listed = &named.listed;
    let hands = site.hands()?;
    let at = |action: &str| site.at(&format!("/b/{key}/{action}"));
    let button = |action: &str, value: &str, label: &str| {
        html! {
            form.inline method="post" action=(at(action)) {
                (form::check(session))
                input type="hidden" name="value" value=(value);
                button { (label) }
            }
        }
    };
    let is_pinned = listed.pinned == Some(true);
    let job = site.jobs().of(named.snapshot.udid());
    Ok(html! {
        @if let Some(problem) = problem { p.note.bad role="alert" { (t(problem)) } }
        @if let Some(job) = job {
            p.note {
                a href=(site.at(&format!("/job/{}", job.id))) { (job.work.words()) }
                " of this phone runs now. One job of a phone runs at a time."
            }
        } @else if site.store().is_busy(named.snapshot.udid()) {
            p.note { (super::now::elsewhere()) }
        }
        dl.facts {
            dt { "Backup" }
            dd { bdi { (t(&backup::title(listed))) } @if listed.current { " " span.tag { "current" } } }
            dt { "Checked" }
            dd { (checked(listed)) }
            @if let Some(bytes) = listed.bytes { dt { "Size" } dd { (size(bytes)) } }
            dt { "Folder" }
            dd { bdi { (t(&listed.path)) } }
        }
        section aria-labelledby="check" {
            h2 id="check" { "Check" }
            p { "Compares every byte with what was received from the phone." }
            (button("verify", "bytes", "Check every byte"))
            p {
                "A deep check also decrypts every file, and opens the databases and property lists \
                 inside."
            }
            (button("verify", "deep", "Check deeply"))
        }
        section aria-labelledby="restore" {
            h2 id="restore" { "Restore" }
            p { "A rehearsal restores the backup to a simulated phone, and compares every byte." }
            (button("rehearse", "", "Rehearse a restore"))
            p { "A restore overwrites a phone, so it begins in a terminal only:" }
            pre.preview tabindex="0" aria-label="Command" {
                (t(&(hands.options().restore_command)(named.snapshot.path())))
            }
        }
        section aria-labelledby="keep" {
            h2 id="keep" { "Keep" }
            p {
                @if is_pinned { "It is pinned: the retention rules do not remove it. " }
                @else { "A pinned or tagged backup stays, whatever the retention rules say. " }
            }
            @if is_pinned { (button("pin", "no", "Unpin")) } @else { (button("pin", YES, "Pin")) }
            @if !listed.tags.is_empty() {
                ul.plain.tags {
                    @for tag in &listed.tags {
                        li {
                            span.tag { bdi { (t(tag)) } }
                            form.inline method="post" action=(at("untag")) {
                                (form::check(session))
                                input type="hidden" name="value" value=(tag);
                                button aria-label=(t(&format!("Remove the tag {tag}"))) { "Remove" }
                            }
                        }
                    }
                }
            }
            form.search method="post" action=(at("tag")) {
                (form::check(session))
                label for="tag" { "New tag" }
                span {
                    input id="tag" name="value" required maxlength=(tag::TAG_CHARS_MAX)
                        autocomplete="off";
                    button { "Tag" }
                }
            }
        }
        section aria-labelledby="delete" {
            h2 id="delete" { "Delete" }
            @if is_pinned {
                p { "A pinned backup cannot be deleted. Unpin it first." }
            } @else {
                p { "The next page shows what a deletion means, and asks." }
                p { a.button.danger href=(at("delete")) { "Delete this backup" } }
            }
        }
    })
}

/// Starts a check.
pub(super) async fn verify(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
    body: Body,
) -> Response {
    act(site, session, key, body, |site, key, named, form| {
        let is_deep = form.get("value") == "deep";
        let password = if is_deep {
            password(site, key, &named.listed)?
        } else {
            site.kept_password(named.snapshot.udid())
        };
        let phone = named.phone();
        let job = work::verify(site, named.snapshot, phone, password, is_deep)?;
        Ok(form::to(site.at(&format!("/job/{}", job.id))))
    })
    .await
}

/// Starts a rehearsal of a restore.
pub(super) async fn rehearse(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
    body: Body,
) -> Response {
    act(site, session, key, body, |site, key, named, _| {
        let password = password(site, key, &named.listed)?;
        let phone = named.phone();
        let job = work::rehearse(site, named.snapshot, phone, password)?;
        Ok(form::to(site.at(&format!("/job/{}", job.id))))
    })
    .await
}

/// Returns the password of an encrypted backup, or sends the user to the page that asks for it.
fn password(site: &Site, key: &str, listed: &Listed) -> Result<Option<Secret>, Fail> {
    if listed.encrypted != Some(true) {
        return Ok(None);
    }
    let udid = listed.udid.parse::<Udid>().ok();
    match udid.and_then(|udid| site.kept_password(&udid)) {
        Some(password) => Ok(Some(password)),
        None => Err(Fail::Locked(
            site.at(&format!("/b/{key}/unlock?then=manage")),
        )),
    }
}

/// Pins or unpins a backup.
pub(super) async fn pin(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
    body: Body,
) -> Response {
    act(site, session, key, body, |site, key, named, form| {
        tag::pin(&named.chosen(site), form.get("value") == YES)?;
        site.look_again();
        Ok(form::to(site.at(&format!("/b/{key}/manage"))))
    })
    .await
}

/// Adds a tag.
pub(super) async fn tag(
    site: State<Arc<Site>>,
    session: Extension<Session>,
    key: Path<String>,
    body: Body,
) -> Response {
    change_tag(site, session, key, body, false).await
}

/// Removes a tag.
pub(super) async fn untag(
    site: State<Arc<Site>>,
    session: Extension<Session>,
    key: Path<String>,
    body: Body,
) -> Response {
    change_tag(site, session, key, body, true).await
}

async fn change_tag(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
    body: Body,
    remove: bool,
) -> Response {
    let again = session.clone();
    act(site, session, key, body, move |site, key, named, form| {
        let changed = tag::tag(&named.chosen(site), &form.get("value"), remove);
        site.look_again();
        match changed {
            Ok(_) => Ok(form::to(site.at(&format!("/b/{key}/manage")))),
            Err(e) => {
                let main = actions(site, &again, key, &named, Some(&e.to_string()))?;
                Ok(named.page(site, key, "Check, keep or delete", main))
            }
        }
    })
    .await
}

/// Shows what a deletion means, and asks for the word that confirms it.
pub(super) async fn ask(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let named = Named::find(&site, &key)?;
        let seen = delete::consider(&named.chosen(&site), &Silent)?;
        let is_wrong = query::get(query.as_deref(), "wrong").is_some();
        let is_other = query::get(query.as_deref(), "other").is_some();
        let made = named.listed.date.as_deref().map(time::when);
        let main = html! {
            @if is_other {
                p.note.bad role="alert" {
                    "Nothing was deleted: what a deletion means has changed since you were asked."
                }
            }
            p {
                "This deletes the backup of " strong { bdi { (t(&named.phone())) } }
                @if let Some(made) = made { ", made " (made) "," }
                " permanently."
                @if let Some(bytes) = seen.frees_bytes { " This frees " (size(bytes)) "." }
            }
            p.soft { bdi { (t(&seen.path)) } }
            @for warning in seen.warnings() { p { strong.bad { (t(&warning)) } } }
            form.password method="post" action=(site.at(&format!("/b/{key}/delete"))) {
                (form::check(&session))
                input type="hidden" name="shown" value=(shown(&seen));
                label for="answer" { "Type " code { (YES) } " to delete it" }
                input id="answer" name="value" required autocomplete="off" autocapitalize="off"
                    spellcheck="false" aria-describedby=[is_wrong.then_some("wrong")]
                    aria-invalid=[is_wrong.then_some("true")];
                @if is_wrong {
                    p.bad id="wrong" role="alert" { "Nothing was deleted: the answer was another word." }
                }
                button.danger { "Delete it" }
                a href=(site.at(&format!("/b/{key}/manage"))) { "Keep it" }
            }
        };
        Ok(named.page(&site, &key, "Delete this backup?", main))
    })
    .await
}

/// Returns a value that stands for the warnings about a deletion.
fn shown(seen: &Deleted) -> String {
    let mut hash = Sha256::new();
    for warning in seen.warnings() {
        hash.update(warning.as_bytes());
        hash.update(b"\n");
    }
    hex(&hash.finalize())
}

/// Starts the deletion if the answer is right, and the user was asked with the same warnings.
pub(super) async fn delete(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(key): Path<String>,
    body: Body,
) -> Response {
    act(site, session, key, body, |site, key, named, form| {
        if form.get("value").trim() != YES {
            return Ok(form::to(site.at(&format!("/b/{key}/delete?wrong=1"))));
        }
        let chosen = named.chosen(site);
        let seen = delete::consider(&chosen, &Silent)?;
        if form.get("shown") != shown(&seen) {
            return Ok(form::to(site.at(&format!("/b/{key}/delete?other=1"))));
        }
        let job = work::delete(site, chosen, seen, named.phone())?;
        Ok(form::to(site.at(&format!("/job/{}", job.id))))
    })
    .await
}

/// Begins a backup of a phone.
pub(super) async fn back_up(
    State(site): State<Arc<Site>>,
    Extension(session): Extension<Session>,
    Path(udid): Path<String>,
    body: Body,
) -> Response {
    if let Err(fail) = form::read(&session, body).await {
        return fail.into_response();
    }
    reading(move || {
        let nothing = || Fail::NotFound("the store has no such phone, and it is not connected");
        let udid: Udid = udid.parse().map_err(|_| nothing())?;
        let look = site.phones().last(&site);
        let connected = look.phones.iter().find(|phone| phone.udid == udid.as_str());
        let of_store = list::phone_name(site.store(), &udid);
        let is_known = of_store.is_some() || !site.store().snapshots_of(&udid)?.is_empty();
        if connected.is_none() && !is_known {
            return Err(nothing());
        }
        let name = connected.and_then(|phone| phone.name().map(str::to_owned));
        let name = name.or(of_store).unwrap_or_else(|| udid.to_string());
        let job = work::back_up(&site, &udid, name)?;
        Ok(form::to(site.at(&format!("/job/{}", job.id))))
    })
    .await
}

/// Reads the form of an action, finds the backup, and acts.
async fn act(
    site: Arc<Site>,
    session: Session,
    key: String,
    body: Body,
    act: impl FnOnce(&Arc<Site>, &str, Named, &Form) -> Result<Response, Fail> + Send + 'static,
) -> Response {
    let form = match form::read(&session, body).await {
        Ok(form) => form,
        Err(fail) => return fail.into_response(),
    };
    reading(move || {
        let named = Named::find(&site, &key)?;
        act(&site, &key, named, &form)
    })
    .await
}
