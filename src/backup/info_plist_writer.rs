//! Makes Info.plist, the one file of a backup that the host writes: it describes the phone and its
//! applications.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use plist::{Dictionary, Value};

use crate::backup::{Error, Problem};
use crate::base::cancel::CancelToken;
use crate::base::progress::Monitor;
use crate::base::{bounded_plist, product_names};
use crate::device::afc::Afc;
use crate::device::connector::values;
use crate::device::installed_apps::{self, App, Icons};
use crate::device::{self, Session};

/// Version of iTunes that we claim if the phone requires none (protocol.md, section 6).
const ITUNES_VERSION: &str = "10.0.1";
/// Small files of the media library that are copied into Info.plist.
const ITUNES_FILES: [&str; 11] = [
    "ApertureAlbumPrefs",
    "IC-Info.sidb",
    "IC-Info.sidv",
    "PhotosFolderAlbums",
    "PhotosFolderName",
    "PhotosFolderPrefs",
    "VoiceMemos.plist",
    "iPhotoAlbumPrefs",
    "iTunesApplicationIDs",
    "iTunesPrefs",
    "iTunesPrefs.plist",
];
/// Size limit in bytes for each of these files. Real ones have at most a few KiB.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Makes the file. Anything that a service does not provide is left out, and reported as a problem.
pub(crate) fn make(
    session: &mut Session,
    token: &Arc<CancelToken>,
    with_apps: bool,
    monitor: &dyn Monitor,
) -> Result<Vec<u8>, Error> {
    let mut info = basics(session)?;
    if with_apps {
        match installed_apps::user_apps(session, token) {
            Ok(apps) => add_apps(&mut info, &apps, session, token, monitor),
            Err(device::Error::Cancelled) => return Err(device::Error::Cancelled.into()),
            Err(e) => monitor.problem(Problem::NoApps(e).into()),
        }
    }
    match files(session, token) {
        Ok((itunes, ibooks)) => {
            info.insert("iTunes Files".into(), Value::Dictionary(itunes));
            if let Some(books) = ibooks {
                info.insert("iBooks Data 2".into(), Value::Data(books));
            }
        }
        Err(device::Error::Cancelled) => return Err(device::Error::Cancelled.into()),
        Err(e) => monitor.problem(Problem::NoMediaSettings(e).into()),
    }
    let mut bytes = Vec::new();
    Value::Dictionary(info)
        .to_writer_xml(&mut bytes)
        .map_err(|e| {
            Error::Device(device::Error::Strange {
                doing: "write Info.plist".to_owned(),
                why: e.to_string(),
            })
        })?;
    Ok(bytes)
}

fn basics(session: &mut Session) -> Result<Dictionary, Error> {
    let udid = session.phone().udid.to_string();
    let phone = values(session.lockdown(), None)?;
    let settings = values(session.lockdown(), Some("com.apple.iTunes"))?;
    let itunes = values(session.lockdown(), Some("com.apple.mobile.iTunes"))?;
    let mut info = Dictionary::new();
    for (key, from) in [
        ("Build Version", "BuildVersion"),
        ("Device Name", "DeviceName"),
        ("Display Name", "DeviceName"),
        ("ICCID", "IntegratedCircuitCardIdentity"),
        ("ICCID 2", "IntegratedCircuitCardIdentity2"),
        ("IMEI", "InternationalMobileEquipmentIdentity"),
        ("IMEI 2", "InternationalMobileEquipmentIdentity2"),
        ("MEID", "MobileEquipmentIdentifier"),
        ("Phone Number", "PhoneNumber"),
        ("Product Type", "ProductType"),
        ("Product Version", "ProductVersion"),
        ("Serial Number", "SerialNumber"),
    ] {
        if let Some(value) = phone.get(from) {
            info.insert(key.into(), value.clone());
        }
    }
    let product_type = phone
        .get("ProductType")
        .and_then(Value::as_string)
        .unwrap_or_default();
    info.insert(
        "Product Name".into(),
        product_names::name(product_type).into(),
    );
    info.insert(
        "GUID".into(),
        uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .to_uppercase()
            .into(),
    );
    info.insert("Last Backup Date".into(), Value::Date(now().into()));
    info.insert("Target Identifier".into(), udid.as_str().into());
    info.insert("Target Type".into(), "Device".into());
    info.insert("Unique Identifier".into(), udid.to_uppercase().into());
    info.insert("iTunes Settings".into(), Value::Dictionary(settings));
    let version = itunes.get("MinITunesVersion").cloned();
    info.insert(
        "iTunes Version".into(),
        version.unwrap_or_else(|| ITUNES_VERSION.into()),
    );
    Ok(info)
}

/// Returns the time in whole seconds: Apple writes no fractions into XML dates, and other readers
/// stumble over them.
fn now() -> SystemTime {
    let now = bounded_plist::writable(SystemTime::now());
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.map_or(0, |d| d.as_secs()))
}

fn add_apps(
    info: &mut Dictionary,
    apps: &[App],
    session: &mut Session,
    token: &Arc<CancelToken>,
    monitor: &dyn Monitor,
) {
    let mut icons = match Icons::open(session, token) {
        Ok(icons) => Some(icons),
        Err(e) => {
            // These are only icons for a list in Finder: the backup lacks no data without them.
            monitor.note(format!("this backup lacks icons of applications: {e}"));
            None
        }
    };
    let mut described = Dictionary::new();
    for app in apps {
        // Only applications that a restore can install again are described.
        let (Some(sinf), Some(metadata)) = (&app.sinf, &app.metadata) else {
            continue;
        };
        let mut entry = Dictionary::new();
        entry.insert("ApplicationSINF".into(), Value::Data(sinf.clone()));
        entry.insert("iTunesMetadata".into(), Value::Data(metadata.clone()));
        // An application without an icon can still be installed.
        if let Some(Ok(Some(png))) = icons.as_mut().map(|icons| icons.png(&app.bundle_id)) {
            entry.insert("PlaceholderIcon".into(), Value::Data(png));
        }
        described.insert(app.bundle_id.clone(), Value::Dictionary(entry));
    }
    let installed = apps
        .iter()
        .map(|app| app.bundle_id.as_str().into())
        .collect();
    info.insert("Applications".into(), Value::Dictionary(described));
    info.insert("Installed Applications".into(), Value::Array(installed));
}

fn files(
    session: &mut Session,
    token: &Arc<CancelToken>,
) -> Result<(Dictionary, Option<Vec<u8>>), device::Error> {
    let mut afc = Afc::open(session, token)?;
    let mut found = Dictionary::new();
    for name in ITUNES_FILES {
        if let Some(bytes) = afc.read(&format!("/iTunes_Control/iTunes/{name}"), FILE_BYTES_MAX)? {
            found.insert(name.into(), Value::Data(bytes));
        }
    }
    let books = afc.read("/Books/iBooksData2.plist", FILE_BYTES_MAX)?;
    Ok((found, books))
}
