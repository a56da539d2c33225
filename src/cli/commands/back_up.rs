//! Backs up several phones at once, for `create` and `demo`.

use idev_backup::automation::policy::{self, Outcome, Plan};
use idev_backup::backup;
use idev_backup::backup::create::Options;
use idev_backup::device::connector::Connector;
use idev_backup::store::Store;
use idev_backup::transport::Attached;

use crate::cli::exit;
use crate::cli::render::create::ended;
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
    let watches: Vec<Watch<'_>> = phones
        .iter()
        .map(|phone| {
            let name = several.then(|| phone.udid.to_string());
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
    let mut codes = vec![exit::DONE; results.len()];
    for ((result, watch), code) in results.iter().zip(&watches).zip(&mut codes) {
        *code = match result {
            // A thread that panicked has printed the reason.
            None => exit::FAILED,
            Some(result) => ended(watch.udid(), &watch.prefix(), result, store, style),
        };
    }
    exit::worst(&codes)
}
