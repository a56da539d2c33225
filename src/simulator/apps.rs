//! The apps on the phone, as listed by installation_proxy and named in backups.

use plist::{Dictionary, Value};

/// Identifier, name, version, and true if the App Store's files (SINF and metadata) are available.
const APPS: [(&str, &str, &str, bool); 4] = [
    ("net.whatsapp.WhatsApp", "WhatsApp", "25.20.79", true),
    ("com.example.notes", "Größere Notizen", "3.2", true),
    ("org.videolan.vlc-ios", "VLC", "3.6.5", true),
    (
        "com.example.development",
        "Built by its owner",
        "0.1",
        false,
    ),
];

/// Returns all that installation_proxy reports about the user's apps.
pub(super) fn all() -> Vec<Dictionary> {
    APPS.iter().map(describe).collect()
}

fn describe((id, name, version, from_store): &(&str, &str, &str, bool)) -> Dictionary {
    let container = format!("/private/var/mobile/Containers/Data/Application/{id}");
    let path = format!("/private/var/containers/Bundle/Application/{id}/{name}.app");
    let mut app = super::dict([
        ("ApplicationType", "User".into()),
        ("CFBundleDisplayName", (*name).into()),
        ("CFBundleExecutable", "App".into()),
        ("CFBundleIdentifier", (*id).into()),
        ("CFBundleName", (*name).into()),
        ("CFBundleShortVersionString", (*version).into()),
        ("CFBundleVersion", (*version).into()),
        ("Container", container.into()),
        ("DynamicDiskUsage", 65_536u64.into()),
        ("Path", path.into()),
        ("StaticDiskUsage", 1_048_576u64.into()),
    ]);
    if *from_store {
        app.insert("ApplicationSINF".into(), Value::Data(vec![0x53; 1024]));
        let metadata = super::dict([
            ("itemId", 310_633_997u64.into()),
            ("itemName", (*name).into()),
            ("softwareVersionBundleId", (*id).into()),
            ("bundleShortVersionString", (*version).into()),
        ]);
        let mut bytes = Vec::new();
        if Value::Dictionary(metadata)
            .to_writer_binary(&mut bytes)
            .is_ok()
        {
            app.insert("iTunesMetadata".into(), Value::Data(bytes));
        }
    }
    app
}

/// Returns the `Applications` of Manifest.plist.
pub(super) fn in_manifest() -> Dictionary {
    let apps = APPS.iter().map(|(id, name, version, _)| {
        let path = format!("/private/var/containers/Bundle/Application/{id}/{name}.app");
        let app = super::dict([
            ("CFBundleIdentifier", (*id).into()),
            ("CFBundleVersion", (*version).into()),
            ("ContainerContentClass", "Data/Application".into()),
            ("Path", path.into()),
        ]);
        ((*id).to_owned(), Value::Dictionary(app))
    });
    apps.collect()
}
