//! Backs up several phones at once, for `create` and `demo`.

use idev_backup::automation::policy::{self, Outcome, Plan};
use idev_backup::backup;
use idev_backup::backup::create::Options;
use idev_backup::base::phone_names;
use idev_backup::device::connector::Connector;
use idev_backup::history::list;
use idev_backup::store::Store;
use idev_backup::transport::Attached;

use crate::cli::exit;
use crate::cli::render::closing::{self, Part, Work};
use crate::cli::render::create::{Named, ended};
use crate::cli::render::output::Style;
use crate::cli::render::progress::{Show, Watch, ticking};

/// Backs up phones in parallel, each on its own thread, and reports the results.
pub fn back_up(
    connector: &Connector,
    store: &Store,
    phones: &[Attached],
    options: &Options,
    plan: &Plan,
    style: Style,
) -> u8 {
    let show = Show::new(style);
    let several = phones.len() > 1;
    let told = names(connector, store, phones);
    let known: Vec<_> = phones
        .iter()
        .zip(&told)
        .map(|(phone, name)| (phone.udid.as_str(), name.as_deref()))
        .collect();
    let names = phone_names::distinct(&known);
    let watches: Vec<Watch<'_>> = phones
        .iter()
        .zip(&names)
        .map(|(phone, name)| {
            let name = several.then(|| name.clone());
            show.watch(Some(phone.udid.as_str()), name)
        })
        .collect();
    let results: Vec<Option<Result<Outcome, backup::Error>>> = std::thread::scope(|scope| {
        let run = |phone: &Attached, watch: &Watch<'_>| {
            let run = policy::Run {
                connector,
                store,
                options,
                plan,
                monitor: watch,
            };
            let result = run.back_up(phone);
            watch.finish();
            result
        };
        let threads: Vec<_> = phones
            .iter()
            .zip(&watches)
            .map(|(phone, watch)| scope.spawn(move || run(phone, watch)))
            .collect();
        ticking(&watches, || {
            threads
                .into_iter()
                .map(|thread| thread.join().ok())
                .collect()
        })
    });
    let mut parts = Vec::new();
    for (((result, watch), phone), name) in results.iter().zip(&watches).zip(phones).zip(&names) {
        let udid = phone.udid.as_str();
        let selector = phone_names::selector(&known, udid);
        let named = Named {
            udid,
            name,
            selector: several.then_some(selector.as_str()),
            prefix: &watch.prefix(),
            is_brief: several,
        };
        parts.push(match result {
            // A thread that panicked has printed the reason.
            None => Part::ended(udid, name, exit::FAILED, Some("internal error".to_owned())),
            Some(result) => ended(&named, result, store, style),
        });
    }
    match &parts[..] {
        [only] => only.exit_code,
        _ => closing::tell(&WORK, &parts, style),
    }
}

const WORK: Work = Work {
    command: "create",
    things: "phones",
    done: "backed up",
    with_problems: "with problems:",
    nothing_to_do: "nothing to do for",
};

/// Returns the names of the phones. The store may know a phone that does not answer. A phone that
/// is alone is not asked: its name comes with the backup.
fn names(connector: &Connector, store: &Store, phones: &[Attached]) -> Vec<Option<String>> {
    let name = |phone: &Attached| {
        let asked = (phones.len() > 1).then(|| connector.name(phone)).flatten();
        asked.or_else(|| list::phone_name(store, &phone.udid))
    };
    phones.iter().map(name).collect()
}
